"""Files and folders of weights by their kind: known by their bytes, and what is said of those that are not read."""

import json
import os
import pickle
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

from negmerge.checkpoints.foreign import read_state
from negmerge.errors import CheckpointError


@pytest.fixture
def state() -> dict[str, Tensor]:
    return {"conv.weight": torch.zeros(2, 3), "fc.bias": torch.ones(2)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_another_protocol_of_torch_save_is_called_by_its_number(
    state: dict[str, Tensor], tmp_path: Path, protocol: int, zipped: bool
) -> None:
    torch.save(state, tmp_path / "w.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=rf"pickle protocol {protocol}, .* save it with torch\.save's default"):
        read_state(tmp_path / "w.pt")


def test_a_file_of_torch_save_from_before_it_wrote_zips_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert read_state(tmp_path / "w.pt").keys() == state.keys()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_plain_pickle_is_called_so(state: dict[str, Tensor], tmp_path: Path, protocol: int) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(state, protocol))
    with pytest.raises(CheckpointError, match=r"is a plain pickle, which is not loaded, .*: write .* torch\.save\("):
        read_state(tmp_path / "w.pkl")


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w"])
def test_safetensors_are_read_by_any_name(state: dict[str, Tensor], tmp_path: Path, name: str) -> None:
    save_file(state, tmp_path / name)
    assert read_state(tmp_path / name).keys() == state.keys()


def test_safetensors_whose_length_looks_like_a_pickle_are_safetensors(tmp_path: Path) -> None:
    """A header of 640 bytes makes the file begin as a pickle of protocol 2 does."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(640)
    (tmp_path / "w.pt").write_bytes((640).to_bytes(8, "little") + header + bytes(4))
    assert read_state(tmp_path / "w.pt")["w"].tolist() == [0]


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_save_wrote_is_read_though_it_is_called_safetensors(
    state: dict[str, Tensor], folder: Path, zipped: bool
) -> None:
    torch.save(state, folder / "model.pt", _use_new_zipfile_serialization=zipped)
    (folder / "model.pt").rename(folder / "model.safetensors")
    assert read_state(folder / "model.safetensors").keys() == state.keys()
    assert read_state(folder).keys() == state.keys()


def test_a_quantised_model_is_called_so(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with warnings.catch_warnings(action="ignore"):
        quantise: Any = torch.ao.quantization.quantize_dynamic
        quantised = quantise(model, {torch.nn.Linear}, torch.qint8)
        torch.save(quantised.state_dict(), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"is quantised, at '0.*save the float model"):
        read_state(tmp_path / "w.pt")


def test_a_quantised_tensor_is_called_so(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.save({"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match="is quantised, at 'w': save the float model"):
            read_state(tmp_path / "w.pt")


def test_a_checkpoint_of_torch_distributed_is_told_how_to_become_a_file(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    with warnings.catch_warnings(action="ignore"):
        save_distributed({"model": state}, checkpoint_id=str(tmp_path / "dcp"))
    for path in (tmp_path / "dcp", tmp_path / "dcp" / "__0_0.distcp"):
        with pytest.raises(
            CheckpointError, match=rf"torch\.distributed: make .*dcp_to_torch {tmp_path / 'dcp'} weights"
        ):
            read_state(path)


def test_the_command_that_is_told_makes_a_file_that_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        save_distributed({"model": state}, checkpoint_id=str(tmp_path / "dcp"))
        dcp_to_torch_save(str(tmp_path / "dcp"), str(tmp_path / "weights.pt"))
    assert read_state(tmp_path / "weights.pt").keys() == state.keys()


def test_an_archive_with_weights_in_it_is_to_be_unpacked(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as packed:
        packed.write(tmp_path / "w.pth", "run/w.pth")
    with tarfile.open(tmp_path / "w.tar", "w") as archive:
        archive.add(tmp_path / "w.pth", "run/w.pth")
    for kind in ("zip", "tar"):
        with pytest.raises(CheckpointError, match=rf"is a {kind} archive with 'run/w\.pth' in it: unpack it"):
            read_state(tmp_path / f"w.{kind}")


# Folders.


@pytest.mark.parametrize("name", ["model_best.pth.tar", "model.pkl", "w.PT.TAR"])
def test_a_folder_with_one_file_of_torch_save_is_read_by_any_name(
    state: dict[str, Tensor], folder: Path, name: str
) -> None:
    torch.save(state, folder / name)
    assert read_state(folder).keys() == state.keys()


def test_the_files_of_timms_train_script_are_asked_about(state: dict[str, Tensor], folder: Path) -> None:
    for name in ("checkpoint-1.pth.tar", "last.pth.tar", "model_best.pth.tar"):
        torch.save({"state_dict": state}, folder / name)
    (folder / "args.yaml").write_text("x: 1")
    with pytest.raises(CheckpointError, match=r"3 files of weights, 'checkpoint-1\.pth\.tar', 'last.*: name the one"):
        read_state(folder)


def test_what_accelerate_leaves_beside_the_weights_is_passed_over(state: dict[str, Tensor], folder: Path) -> None:
    torch.save(state, folder / "pytorch_model.bin")
    for name in ("optimizer.bin", "scheduler.bin", "sampler.bin", "dl_state_dict.bin", "custom_checkpoint_0.pkl"):
        torch.save({"x": 1}, folder / name)
    assert read_state(folder).keys() == state.keys()


def test_states_of_deepspeeds_optimizer_are_no_weights(state: dict[str, Tensor], folder: Path) -> None:
    torch.save({"module": state}, folder / "mp_rank_00_model_states.pt")
    optimizer = folder / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
    torch.save({"optimizer_state_dict": {}}, optimizer)
    assert read_state(folder).keys() == state.keys()
    with pytest.raises(CheckpointError, match=r"the state of DeepSpeed's optimizer: give the file"):
        read_state(optimizer)


def test_weights_that_deepspeed_cut_in_parts_are_told_how_to_become_one(state: dict[str, Any], folder: Path) -> None:
    for rank in (0, 1):
        torch.save({"module": state}, folder / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
    for path in (folder, folder / "zero_pp_rank_0_mp_rank_00_model_states.pt"):
        with pytest.raises(CheckpointError, match=r"make one file of all with the zero_to_fp32\.py"):
            read_state(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=r"pipe is no file: name the file with the weights"):
        read_state(tmp_path / "pipe")
