"""State dicts that torch.save wrote, as folders: what is unwrapped, what is refused, and that no code is run."""

import argparse
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from negmerge.checkpoints.files import file_digest
from negmerge.errors import CheckpointError, ModelError, TensorError
from negmerge.models.convert import convert, read_state, without_prefix
from tests.support import pico, pico_timm

CONFIG = pico_timm.CONFIGS["resnet18"]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return dict(pico_timm.module(CONFIG).state_dict())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return path


def saved(tmp_path: Path, document: Any) -> Path:
    torch.save(document, tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("nest", [[], ["state_dict"], ["model"], ["model_state_dict"], ["model", "state_dict"]])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_weights_are_found_where_training_scripts_put_them(
    state: dict[str, Tensor], config: Path, tmp_path: Path, nest: list[str], prefix: str
) -> None:
    document: dict[str, Any] = prefixed(state, prefix)
    for key in reversed(nest):
        document = {"epoch": 3, key: document, "optimizer": {"param_groups": [{"lr": 0.1}]}}

    digest = convert(saved(tmp_path, document), config, tmp_path / "out")

    written = load_file(tmp_path / "out" / "model.safetensors")
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in state.items())
    assert digest == file_digest(tmp_path / "out" / "model.safetensors")
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == CONFIG


def test_timm_loads_what_was_written(state: dict[str, Tensor], config: Path, tmp_path: Path) -> None:
    convert(saved(tmp_path, state), config, tmp_path / "out")
    loaded = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.slow
def test_a_clip_becomes_a_folder_of_open_clip(tmp_path: Path) -> None:
    model = pico.make_model(tmp_path / "model")
    weights = load_file(model / "open_clip_model.safetensors")
    (tmp_path / "clip.json").write_text(json.dumps(pico.CONFIG))

    digest = convert(
        saved(tmp_path, {"state_dict": prefixed(weights, "module.")}), tmp_path / "clip.json", tmp_path / "out"
    )

    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "open_clip_config.json",
        "open_clip_model.safetensors",
    }
    assert digest == file_digest(tmp_path / "out" / "open_clip_model.safetensors")
    assert load_file(tmp_path / "out" / "open_clip_model.safetensors").keys() == weights.keys()


def test_sixteen_bit_weights_keep_their_type(state: dict[str, Tensor], config: Path, tmp_path: Path) -> None:
    half = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    convert(saved(tmp_path, half), config, tmp_path / "out")
    assert load_file(tmp_path / "out" / "model.safetensors")["fc.weight"].dtype == torch.float16


def test_a_prefix_that_only_some_names_have_is_part_of_them() -> None:
    state = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert without_prefix(state) == state


def test_a_tensor_that_is_called_like_a_nest_is_a_tensor(tmp_path: Path) -> None:
    assert list(read_state(saved(tmp_path, {"model": torch.zeros(1)}))) == ["model"]


class Hostile:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("plain", [False, True], ids=["torch.save", "pickle.dump"])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path: Path, plain: bool) -> None:
    document = {"weight": torch.zeros(1), "bias": Hostile(tmp_path / "made")}
    file = saved(tmp_path, document)
    if plain:
        file.write_bytes(pickle.dumps(document, protocol=2))

    with pytest.raises(CheckpointError, match="mkdir" if not plain else "not loaded|nothing that torch.save"):
        read_state(file)

    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        ({"state_dict": {"w": torch.zeros(1)}, "args": argparse.Namespace(lr=0.1)}, r"argparse\.Namespace"),
        ({"epoch": 3, "net": {"w": torch.zeros(1)}}, "type int as 'epoch'"),
        ({"w": torch.zeros(1), "lr": 0.1}, "type float as 'lr'"),
        ({1: torch.zeros(1)}, "'1'"),
        ({}, "no tensors by name"),
        ([torch.zeros(1)], "no tensors by name"),
        (torch.zeros(1), "no tensors by name"),
        ({"w": torch.eye(2).to_sparse()}, "tensor 'w'.*dense"),
        ({"w": torch.zeros(1, device="meta")}, "tensor 'w'.*meta"),
        ({"w": torch.zeros(1, dtype=torch.complex64)}, "tensor 'w'.*complex64"),
    ],
    ids=[
        "module",
        "arguments",
        "other nest",
        "number",
        "no name",
        "empty",
        "list",
        "tensor",
        "sparse",
        "meta",
        "complex",
    ],
)
def test_what_is_no_state_dict_is_refused_by_name(tmp_path: Path, document: Any, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_state(saved(tmp_path, document))


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80"], ids=["empty", "text", "one byte"])
def test_what_torch_never_wrote_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"file\.pth"):
        read_state(tmp_path / "file.pth")


def test_a_file_that_is_cut_off_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    file = saved(tmp_path, state)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut off"):
        read_state(file)


def test_a_tensor_of_endless_shape_and_no_size_is_told_by_its_shape(config: Path, tmp_path: Path, state: Any) -> None:
    """A stride of 0 needs one element for any shape; compared before it is read, it costs nothing."""
    endless = torch.zeros(1).expand(10**15)
    with pytest.raises(TensorError, match=r"tensor 'fc.bias': has the shape"):
        convert(saved(tmp_path, state | {"fc.bias": endless}), config, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.weight": torch.zeros(4, 8)}, "tensor 'fc.weight': has the shape"),
        ({"extra": torch.zeros(1)}, "tensor 'extra': is extra"),
        ({"fc.bias": torch.full((5,), torch.nan)}, "tensor 'fc.bias': holds a NaN"),
        ({"fc.bias": torch.zeros(5, dtype=torch.int64)}, "tensor 'fc.bias': is torch.int64"),
    ],
    ids=["another head", "extra", "nan", "integer"],
)
def test_weights_that_do_not_fit_name_the_tensor_and_leave_nothing(
    state: dict[str, Tensor], config: Path, tmp_path: Path, change: dict[str, Tensor], said: str
) -> None:
    file = saved(tmp_path, state | change)
    before = set(tmp_path.iterdir())
    with pytest.raises(TensorError, match=said):
        convert(file, config, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "JSON"), ("{}", "neither"), ('{"architecture": "hf-hub:a/b", "num_classes": 1}', "plain name")],
)
def test_a_config_that_describes_no_model_is_refused(
    state: dict[str, Tensor], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=said):
        convert(saved(tmp_path, state), tmp_path / "config.json", tmp_path / "out")
