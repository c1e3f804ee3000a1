"""A model's folder whose config is not JSON as it should be."""

from pathlib import Path

import pytest

from negmerge.errors import ModelError
from negmerge.models.loading import load_model
from tests.support import pico_timm


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"architecture": "resnet18", "architecture": "resnet34"}', "the key 'architecture' is there twice"),
        ("{", "this is not JSON"),
        ('{"num_classes": NaN}', "NaN is not a JSON number"),
        ('{"architecture": "\\ud800"}', "a string holds a NUL or a lone surrogate"),
    ],
    ids=["a key twice", "cut off", "not a number", "a lone surrogate"],
)
def test_a_config_is_read_as_strictly_as_over_http(text: str, told: str, tmp_path: Path) -> None:
    folder = pico_timm.write_folder(tmp_path / "model", pico_timm.CONFIGS["resnet18"])
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=rf"config\.json: .*{told}"):
        load_model(folder)
