"""A spec's references as a command line means them."""

from pathlib import Path

import pytest

from negmerge.pipeline.local import open_model
from negmerge.spec.job import parse
from tests.support import pico

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["mdl_1", "openai"], ids=["like an id", "like a tag"])
def test_a_folder_that_is_here_is_meant_whatever_its_name_looks_like(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pico.make_model(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    spec = parse(
        {
            "base_model": {"family": "open_clip", "weights": name},
            "forget": {"uri": "digits.zip", "select": {"classes": ["seven"]}},
            "retain": {"uri": "digits.zip"},
            "sweep": {"grid": {"epochs": [1]}},
        }
    )
    assert open_model(spec, "cpu").family == "open_clip"
