"""Loading a model's folder, and what is refused: for its config, for its weights."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from negmerge.errors import CheckpointError, ModelError, TensorError
from negmerge.formats.timm_config import WEIGHTS_FILE
from negmerge.models.loading import load_model, load_tag
from tests.support import pico_timm
from tests.support.states import changed


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


def test_a_config_that_asks_for_more_than_its_weights_account_for_is_refused(tmp_path: Path) -> None:
    """A window of 32 × 32 has an index from each of its 1,024 places to each: 8 MiB in each of forty blocks."""
    swin: dict[str, Any] = {"embed_dim": 4, "depths": [40, 1, 1], "num_heads": [1, 1, 1], "patch_size": 2}
    config = pico_timm.config("swin_tiny_patch4_window7_224", 256, img_size=256, window_size=32, **swin)
    folder = pico_timm.write_folder(tmp_path / "model", config, {"head.bias": torch.zeros(5)})
    with pytest.raises(ModelError, match="more than 256 MiB of tables and masks: look at its windows"):
        load_model(folder)


def add(tensors: dict[str, Tensor]) -> None:
    tensors["extra"] = torch.zeros(2)


def spoil(tensors: dict[str, Tensor]) -> None:
    tensors["fc.weight"][0, 0] = torch.nan


@pytest.mark.parametrize(
    ("change", "tensor", "said"),
    [
        (lambda t: t.pop("fc.bias"), "fc.bias", "missing"),
        (add, "extra", "extra"),
        (
            lambda t: t.update({"fc.weight": torch.zeros(4, 8)}),
            "fc.weight",
            r"\[4, 8\], the architecture's is \[5, 8\]",
        ),
        (spoil, "fc.weight", "NaN"),
        (lambda t: t.pop("bn1.running_var"), "bn1.running_var", "missing"),
    ],
    ids=["missing", "extra", "another head", "nan", "no buffer"],
)
def test_weights_that_do_not_fit_name_the_tensor(
    folders: dict[str, Path], tmp_path: Path, change: Callable[[dict[str, Tensor]], object], tensor: str, said: str
) -> None:
    with pytest.raises(TensorError, match=said) as caught:
        load_model(changed(folders["resnet18"], tmp_path / "changed", change))
    assert caught.value.tensor == tensor


def test_a_pickle_is_never_opened(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = pico_timm.with_config(folders["resnet18"], tmp_path / "pickled", pico_timm.CONFIGS["resnet18"])
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    (folder / WEIGHTS_FILE).write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="never a pickle"):
        load_model(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (pico_timm.config("resnet1800"), "no architecture"),
        (pico_timm.CONFIGS["vit"] | {"stem": "cifar"}, "ResNets with a plain stem"),
        (pico_timm.config("vit_base_patch32_224", layers=[1]), "no vit_base_patch32_224 can be built"),
        (pico_timm.config("vit_base_patch32_224", embed_dim=10, num_heads=3), "no vit_base_patch32_224 can be built"),
    ],
    ids=["unknown", "stem of another", "argument of another", "does not divide"],
)
def test_a_config_that_no_model_can_be_built_from_is_refused(
    folders: dict[str, Path], tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        load_model(pico_timm.with_config(folders["vit"], tmp_path / "bad", config))


@pytest.mark.slow
def test_a_config_far_larger_than_its_weights_takes_no_memory(folders: dict[str, Path], tmp_path: Path) -> None:
    """Blocks of 4096 channels each, 200 of them: 100 GB, were it built before it is compared."""
    config = pico_timm.config("resnet18", layers=[200, 1, 1, 1], channels=[4096] * 4)
    with pytest.raises(TensorError, match="shape"):
        load_model(pico_timm.with_config(folders["resnet18"], tmp_path / "huge", config))


def test_a_folder_without_weights_says_so(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = pico_timm.with_config(folders["resnet18"], tmp_path / "half", pico_timm.CONFIGS["resnet18"])
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=WEIGHTS_FILE):
        load_model(folder)


@pytest.mark.parametrize(("architecture", "tag"), [("resnet18", "no_such_tag"), ("resnet1800", "a1_in1k")])
def test_an_unknown_tag_is_refused(architecture: str, tag: str) -> None:
    with pytest.raises(ModelError, match="known tags"):
        load_tag("timm", architecture, tag)


def test_loading_leaves_the_global_random_state_alone(folders: dict[str, Path]) -> None:
    before = torch.get_rng_state()
    load_model(folders["resnet18"])
    assert torch.equal(torch.get_rng_state(), before)
