"""State dicts that torch.save wrote, as folders: what is unwrapped, what is refused, and that no code is run."""

import argparse
import collections
import datetime
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from negmerge.checkpoints.files import file_digest
from negmerge.checkpoints.foreign import read_state
from negmerge.checkpoints.nests import NESTS
from negmerge.errors import CheckpointError, ModelError, TensorError
from negmerge.models.convert import convert, convert_back, convert_plain
from negmerge.models.fitting import fitted
from negmerge.models.loading import load_model
from tests.support import pico, pico_timm, transformers_folders

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


@pytest.mark.parametrize("nest", [[], *([nest] for nest in NESTS), ["model", "state_dict"]], ids=".".join)
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_weights_are_found_where_training_scripts_put_them(
    state: dict[str, Tensor], config: Path, tmp_path: Path, nest: list[str], prefix: str
) -> None:
    document: dict[str, Any] = prefixed(state, prefix)
    for key in reversed(nest):
        document = {"epoch": 3, key: document, "optimizer": {"param_groups": [{"lr": 0.1}]}}

    digest = convert(saved(tmp_path, document), config, tmp_path / "out").digest

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

    file = saved(tmp_path, {"state_dict": prefixed(weights, "module.")})
    digest = convert(file, tmp_path / "clip.json", tmp_path / "out").digest

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
    assert fitted(state, {"a": torch.zeros(1)}) == (state, [])


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
        ({"epoch": 3, "mine": {"w": torch.zeros(1)}}, "type int as 'epoch'.*--key"),
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


def test_a_tensor_of_endless_shape_and_no_size_costs_nothing(config: Path, tmp_path: Path, state: Any) -> None:
    """A stride of 0 needs one element for any shape; it is told before it is read."""
    endless = torch.zeros(1).expand(10**15)
    with pytest.raises(TensorError, match=r"tensor 'fc.bias': has 4000000000000000 bytes by repeating a few"):
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


# What lies beside the weights, and where they lie.

BESIDE: dict[str, Any] = {
    "args": argparse.Namespace(lr=0.1, out=Path("runs")),
    "best": np.float64(93.1),
    "losses": np.arange(3.0),
    "when": datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC),
    "kinds": {"a", "b"},
    "frozen": frozenset({1}),
    "counts": collections.defaultdict(int, a=1),
    "rng": torch.get_rng_state(),
}


def test_what_trainers_leave_beside_the_weights_is_passed_over(state: dict[str, Tensor], tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW([torch.zeros(3, requires_grad=True)]).state_dict()
    document = {"state_dict": state, "optimizer": optimizer} | BESIDE
    assert read_state(saved(tmp_path, document)).keys() == state.keys()


@pytest.mark.parametrize("name", ["argparse.Namespace", "collections.defaultdict", "numpy.dtype", "builtins.set"])
def test_a_name_of_plain_data_runs_nothing_whatever_it_is_given(tmp_path: Path, name: str) -> None:
    """The class is never imported: what stands for it takes anything, and calls nothing."""
    module, _, attribute = name.rpartition(".")
    call = f"c{module}\n{attribute}\n(cos\nmkdir\n(V{tmp_path / 'made'}\ntRtR.".encode()
    file = saved(tmp_path, {"w": torch.zeros(1)})
    with zipfile.ZipFile(file) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for entry, content in parts.items():
            archive.writestr(entry, b"\x80\x02" + call if entry.endswith("data.pkl") else content)
    with pytest.raises(CheckpointError):
        read_state(file)
    assert not (tmp_path / "made").exists()


def test_weights_in_two_places_are_asked_for(state: dict[str, Tensor], tmp_path: Path) -> None:
    other = {name: tensor + 1 for name, tensor in state.items()}
    file = saved(tmp_path, {"model": state, "model_ema": {"module": other}, "epoch": 3})
    with pytest.raises(CheckpointError, match="has weights under model, model_ema: say which with --key"):
        read_state(file)
    assert torch.equal(read_state(file, "model_ema.module")["fc.bias"], other["fc.bias"])
    with pytest.raises(CheckpointError, match="has no key 'ema': there are model, model_ema, epoch"):
        read_state(file, "ema")


# Names.


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.", "encoder.", "model.net.", "student.module."])
def test_a_prefix_that_all_names_share_is_taken_off_and_said(
    state: dict[str, Tensor], config: Path, tmp_path: Path, prefix: str
) -> None:
    converted = convert(saved(tmp_path, prefixed(state, prefix)), config, tmp_path / "out")
    assert converted.done == tuple(f"took '{part}.' off all names" for part in prefix.split(".")[:-1])
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == state.keys()


def test_a_prefix_beside_other_names_is_told_and_can_be_given(
    state: dict[str, Tensor], config: Path, tmp_path: Path
) -> None:
    file = saved(tmp_path, {"state_dict": prefixed(state, "model.") | {"criterion.weight": torch.zeros(3)}})
    with pytest.raises(TensorError, match=r"is there as 'model\..*': give --prefix model\., which leaves"):
        convert(file, config, tmp_path / "out")
    convert(file, config, tmp_path / "out", prefix="model.")
    with pytest.raises(CheckpointError, match=r"no tensor whose name begins with 'net\.'"):
        convert(file, config, tmp_path / "other", prefix="net.")


@pytest.mark.parametrize("head", ["linear", "classifier", "head", "last_linear"])
def test_a_head_of_another_name_is_renamed_where_its_shapes_are_right(
    state: dict[str, Tensor], config: Path, tmp_path: Path, head: str
) -> None:
    renamed = {name.replace("fc.", f"{head}."): tensor for name, tensor in state.items()}
    assert convert(saved(tmp_path, renamed), config, tmp_path / "out").done == (f"renamed '{head}' to 'fc'",)


def test_files_of_old_have_no_counters_of_batches(state: dict[str, Tensor], config: Path, tmp_path: Path) -> None:
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert convert(saved(tmp_path, old), config, tmp_path / "out").done[0].endswith("counters of BatchNorm at 0")


def test_a_head_that_lies_elsewhere_is_told_with_what_there_is(
    state: dict[str, Tensor], config: Path, tmp_path: Path
) -> None:
    backbone = {f"backbone.{name}": tensor for name, tensor in state.items() if not name.startswith("fc.")}
    heads = {f"{head}.{name}": state[f"fc.{name}"] for head in ("cls", "aux") for name in ("weight", "bias")}
    file = saved(tmp_path, backbone | heads)
    told = r"'fc\.weight': is missing: most tensors are under 'backbone\.', and the others are called aux\.bias, aux"
    with pytest.raises(TensorError, match=told):
        convert(file, config, tmp_path / "out")


def test_any_checkpoint_becomes_plain_safetensors(tmp_path: Path) -> None:
    file = saved(tmp_path, {"model": {"anything": torch.arange(3.0).half()}})
    convert_plain(file, tmp_path / "w.safetensors")
    assert load_file(tmp_path / "w.safetensors")["anything"].tolist() == [0, 1, 2]


def test_a_prefix_ends_where_a_part_of_a_name_does(state: dict[str, Tensor], config: Path, tmp_path: Path) -> None:
    both = prefixed(state, "model.") | prefixed({name: t + 1 for name, t in state.items()}, "model_ema.")
    for given in ("model", "model."):
        convert_plain(saved(tmp_path, both), tmp_path / "w.safetensors", prefix=given)
        assert load_file(tmp_path / "w.safetensors").keys() == state.keys()


@pytest.mark.slow
def test_a_folder_of_transformers_with_a_pickle_is_brought_in(tmp_path: Path) -> None:
    folder = transformers_folders.save(transformers_folders.vit(), tmp_path / "vit")
    expected = load_model(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    convert(folder, folder / "config.json", tmp_path / "out")
    found = load_model(tmp_path / "out")
    assert found.config == expected.config
    assert all(torch.equal(found.original[name], tensor) for name, tensor in expected.original.items())


@pytest.mark.slow
def test_weights_go_back_into_the_layout_of_transformers(tmp_path: Path) -> None:
    folder = transformers_folders.save(transformers_folders.swin(), tmp_path / "swin")
    convert(folder, folder / "config.json", tmp_path / "ours")
    convert_back(tmp_path / "ours", folder, tmp_path / "back")
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "back" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_weights_of_another_model_do_not_go_back(tmp_path: Path) -> None:
    folder = transformers_folders.save(transformers_folders.swin(), tmp_path / "swin")
    other = pico_timm.write_folder(tmp_path / "other", CONFIG)
    with pytest.raises(TensorError, match="is missing: these weights are of another architecture"):
        convert_back(other, folder, tmp_path / "back")
    with pytest.raises(ModelError, match="is no folder of transformers"):
        convert_back(other, other, tmp_path / "back")
    assert not (tmp_path / "back").exists()
