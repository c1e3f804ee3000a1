"""Files of weights that others wrote: whatever torch.save wrote is read, other kinds are called by their names."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from negmerge.checkpoints.files import load_tensors
from negmerge.checkpoints.foreign import read_state
from negmerge.errors import CheckpointError, TensorError


@pytest.fixture
def state() -> dict[str, Tensor]:
    return {"conv.weight": torch.zeros(2, 3), "fc.bias": torch.ones(2)}


def saved(tmp_path: Path, document: Any) -> Path:
    torch.save(document, tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors.index.json", b"{}", "is the index of shards: give the folder"),
        ("pytorch_model.bin.index.json", b"{}", "is the index of shards"),
        ("model-00001-of-00003.safetensors", b"", "is one of 3 shards: give the folder"),
        ("model.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "pointer of Git LFS"),
        ("model.onnx", b"", "is ONNX"),
        ("model.h5", b"", "is Keras'"),
        ("model.gguf", b"", "is GGUF"),
        ("model.pth.gz", b"", "is packed with gzip"),
    ],
)
def test_a_kind_of_file_that_is_not_read_is_called_by_its_name(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        read_state(tmp_path / name)


@pytest.mark.parametrize("name", ["model_best.pth.tar", "checkpoint.pkl", "weights.zip", "noending", "a.th"])
def test_whatever_torch_save_wrote_is_read_by_any_name(state: dict[str, Tensor], tmp_path: Path, name: str) -> None:
    torch.save(state, tmp_path / name)
    assert read_state(tmp_path / name).keys() == state.keys()


def test_torchscript_is_called_by_its_name(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        script: Any = torch.jit.script(torch.nn.Linear(1, 1))
        script.save(str(tmp_path / "script.pt"))
    with pytest.raises(CheckpointError, match=r"is TorchScript, which is code: where you trust it"):
        read_state(tmp_path / "script.pt")


def test_a_folder_with_one_pickle_is_read_and_one_with_two_is_asked_about(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    torch.save(state, folder / "pytorch_model.bin")
    assert read_state(folder).keys() == state.keys()
    torch.save(state, folder / "other.pth")
    with pytest.raises(CheckpointError, match=r"has 2 files of weights, 'other\.pth', 'pytorch_model\.bin': name"):
        read_state(folder)


def test_safetensors_in_capitals_are_safetensors(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "MODEL.SAFETENSORS")
    assert read_state(tmp_path / "MODEL.SAFETENSORS").keys() == state.keys()
    assert load_tensors(tmp_path).keys() == state.keys()


@pytest.mark.parametrize("other", ["swa_model", "decoder", "discriminator", "model_averaged", "head"])
def test_weights_under_a_key_of_any_name_are_asked_about(state: dict[str, Tensor], tmp_path: Path, other: str) -> None:
    first = {"decoder": "encoder", "discriminator": "generator", "head": "backbone"}.get(other, "model")
    file = saved(tmp_path, {first: state, other: dict(state), "loss_state": {"w": torch.zeros(3)}})
    with pytest.raises(CheckpointError, match=f"has weights under {first}, {other}: say which with --key"):
        read_state(file)


def test_a_folder_of_a_trainer_has_one_file_of_weights(state: dict[str, Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "trainer"
    folder.mkdir()
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"x": 1}, folder / name)
    torch.save(state, folder / "pytorch_model.bin")
    assert read_state(folder).keys() == state.keys()
    torch.save(state, folder / "pytorch_model-00001-of-00002.bin")
    with pytest.raises(CheckpointError, match="has pickled shards, which are not read: save the weights"):
        read_state(folder)


def test_a_folder_with_safetensors_in_capitals_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    save_file(state, tmp_path / "folder" / "MODEL.SAFETENSORS")
    assert read_state(tmp_path / "folder").keys() == state.keys()


def test_arrays_of_numpy_are_called_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="something of type numpy's or another that is not read as 'w'"):
        read_state(saved(tmp_path, {"w": np.zeros(3)}))


def test_a_tensor_that_repeats_a_few_bytes_is_not_made_of_them(tmp_path: Path) -> None:
    """A kilobyte would become gigabytes."""
    with pytest.raises(TensorError, match=r"has 2000000000 bytes by repeating a few: save it with \.contiguous"):
        read_state(saved(tmp_path, {"w": torch.zeros(1).expand(500_000_000)}))


def test_a_small_tensor_may_repeat_itself(tmp_path: Path) -> None:
    found = read_state(saved(tmp_path, {"mask": torch.ones(1).expand(16, 16)}))
    assert torch.equal(found["mask"], torch.ones(16, 16))


def test_a_file_that_was_packed_again_is_told_so(state: dict[str, Tensor], tmp_path: Path) -> None:
    whole = saved(tmp_path, state)
    with zipfile.ZipFile(whole) as written, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as again:
        for member in written.namelist():
            again.writestr(member, written.read(member))
    with pytest.raises(CheckpointError, match=r"was packed again after torch\.save wrote it"):
        read_state(tmp_path / "packed.pt")
