"""Weight files: one or sharded, written atomically, with digests."""

import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from negmerge.checkpoints.files import (
    DTYPES,
    atomic_path,
    check_output,
    file_digest,
    load_tensors,
    placement,
    save_tensors,
)
from negmerge.checkpoints.tensors import digest
from negmerge.errors import CheckpointError, TensorError

WEIGHTS = {
    "visual.w": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
    "half": torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False, True]),
    "none": torch.zeros(0, 4),
}


def sharded(folder: Path, index: dict[str, str] | None = None) -> Path:
    """WEIGHTS in two shards with an index, as huggingface writes them."""
    folder.mkdir()
    first = {"visual.w": WEIGHTS["visual.w"], "count": WEIGHTS["count"]}
    rest = {name: tensor for name, tensor in WEIGHTS.items() if name not in first}
    save_file(first, folder / "model-00001-of-00002.safetensors", {"format": "pt"})
    save_file(rest, folder / "model-00002-of-00002.safetensors", {"format": "pt"})
    places = dict.fromkeys(first, "model-00001-of-00002.safetensors")
    places |= dict.fromkeys(rest, "model-00002-of-00002.safetensors")
    document = {"metadata": {}, "weight_map": places if index is None else index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))
    return folder


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    save_tensors(WEIGHTS, tmp_path / "m.safetensors")
    assert digest(load_tensors(tmp_path / "m.safetensors")) == digest(WEIGHTS)


def test_every_type_comes_back(tmp_path: Path) -> None:
    tensors = {name: torch.ones(3).to(dtype) for name, dtype in DTYPES.items()}
    save_tensors(tensors, tmp_path / "m.safetensors")
    assert digest(load_tensors(tmp_path / "m.safetensors")) == digest(tensors)


def test_safetensors_reads_what_we_write(tmp_path: Path) -> None:
    save_tensors(WEIGHTS, tmp_path / "m.safetensors", {"format": "pt"})
    assert digest(load_file(tmp_path / "m.safetensors")) == digest(WEIGHTS)
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_tensors_that_do_not_lie_row_by_row_are_saved_by_their_values(tmp_path: Path) -> None:
    square = torch.arange(6.0).reshape(2, 3)
    tensors = {"t": square.T, "one": square[:, 2][:1], "strided": square[:, ::2], "expanded": torch.ones(1).expand(3)}
    save_tensors(tensors, tmp_path / "m.safetensors")
    loaded = load_tensors(tmp_path / "m.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_saving_tells_the_digest_of_the_file(tmp_path: Path) -> None:
    told = save_tensors(WEIGHTS, tmp_path / "m.safetensors")
    found = hashlib.sha256((tmp_path / "m.safetensors").read_bytes()).hexdigest()
    assert told == file_digest(tmp_path / "m.safetensors") == f"sha256:{found}"


def test_the_same_tensors_in_another_order_are_the_same_file(tmp_path: Path) -> None:
    backwards = dict(reversed(WEIGHTS.items()))
    assert save_tensors(WEIGHTS, tmp_path / "a.safetensors") == save_tensors(backwards, tmp_path / "b.safetensors")


def test_saving_makes_the_folder(tmp_path: Path) -> None:
    save_tensors(WEIGHTS, tmp_path / "points" / "0" / "m.safetensors")
    assert digest(load_tensors(tmp_path / "points" / "0" / "m.safetensors")) == digest(WEIGHTS)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"m\.safetensors cannot be written: "):
        save_tensors(WEIGHTS, tmp_path / "file" / "m.safetensors")


def test_shards_are_loaded_as_one_model(tmp_path: Path) -> None:
    assert digest(load_tensors(sharded(tmp_path / "model"))) == digest(WEIGHTS)


def test_a_folder_with_one_file_is_that_file(tmp_path: Path) -> None:
    save_tensors(WEIGHTS, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text("{}")
    assert digest(load_tensors(tmp_path)) == digest(WEIGHTS)


def test_a_folder_with_two_files_and_no_index_is_refused(tmp_path: Path) -> None:
    save_tensors(WEIGHTS, tmp_path / "a.safetensors")
    save_tensors(WEIGHTS, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="holds 2 safetensors files and 0 indexes"):
        load_tensors(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds 0 safetensors files"):
        load_tensors(tmp_path)


def test_a_shard_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors cannot be read"):
        load_tensors(folder)


def test_a_tensor_that_the_index_places_elsewhere_is_named(tmp_path: Path) -> None:
    index = dict.fromkeys(WEIGHTS, "model-00001-of-00002.safetensors")
    index["none"] = "model-00002-of-00002.safetensors"
    with pytest.raises(TensorError, match="but the index says otherwise"):
        placement(sharded(tmp_path / "model", index))


def test_a_tensor_that_only_the_index_knows_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    path = folder / "model.safetensors.index.json"
    document = json.loads(path.read_text())
    document["weight_map"]["ghost"] = "model-00001-of-00002.safetensors"
    path.write_text(json.dumps(document))
    with pytest.raises(TensorError, match="'ghost'"):
        placement(folder)


@pytest.mark.parametrize("place", ["../secret.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "x.bin", 7])
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(CheckpointError, match="no safetensors file beside it"):
        placement(sharded(tmp_path / "model", {"visual.w": place}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}'])
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    folder = sharded(tmp_path / "model")
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        placement(folder)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="never a pickle"):
        load_tensors(tmp_path / "m.safetensors")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_text("old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        write_half()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_appears_whole_under_its_name_only(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Path.mkdir, "a folder"),
        (os.mkfifo, "a pipe"),
        (_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/null"), "a link"),
        (lambda path: path.symlink_to("/dev/stdout"), "a link"),
        (lambda path: path.symlink_to(path.parent / "nowhere"), "a link"),
        (lambda path: path.symlink_to(__file__), "a link"),
    ],
    ids=["folder", "pipe", "socket", "link to a device", "link to a link", "link to nothing", "link to a file"],
)
def test_a_file_takes_the_place_of_nothing_but_a_file(
    make: Callable[[Path], None], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    out = Path("out.safetensors")
    make(out)
    before = out.lstat()
    with pytest.raises(CheckpointError, match=rf"^out\.safetensors is {told}: name the file to write$"):
        save_tensors(WEIGHTS, out)
    assert os.path.samestat(out.lstat(), before)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_what_appears_while_a_file_is_written_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"

    def write() -> None:
        with atomic_path(out) as temporary:
            temporary.write_bytes(b"whole")
            os.mkfifo(out)

    with pytest.raises(CheckpointError, match="is a pipe: name the file to write"):
        write()
    assert stat.S_ISFIFO(out.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [out]


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(CheckpointError, match=r"^/dev/null is a device: name the file to write$"):
        check_output(Path("/dev/null"))  # not save_tensors: it could, where a test runs as root


def test_a_new_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save_tensors(WEIGHTS, tmp_path / "m.safetensors")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "m.safetensors")]
    assert modes[0] == modes[1]


def test_a_loaded_model_survives_that_its_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_tensors(WEIGHTS, path)
    loaded = load_tensors(path)
    zeros: dict[str, Tensor] = {name: torch.zeros_like(tensor) for name, tensor in WEIGHTS.items()}
    save_tensors(zeros, path)
    assert digest(loaded) == digest(WEIGHTS)


def test_a_folder_of_pickles_is_called_by_its_name(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"'pytorch_model\.bin', a pickle: make it safetensors with `negmerge"):
        placement(tmp_path)


def test_an_index_that_places_a_tensor_twice_is_refused(tmp_path: Path) -> None:
    save_tensors({"w": torch.zeros(1)}, tmp_path / "a.safetensors")
    index = '{"weight_map": {"w": "a.safetensors", "w": "b.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="a name stands there twice"):
        placement(tmp_path)


def test_an_index_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors.index.json")
    with pytest.raises(CheckpointError, match=r"is no file: copy the index of the shards itself"):
        placement(tmp_path)


@pytest.mark.parametrize("name", ["a\0.safetensors", "\ud800.safetensors", "a\n.safetensors", "../a.safetensors"])
def test_a_shard_of_a_name_that_no_file_has_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(CheckpointError, match="which is no safetensors file beside it"):
        placement(tmp_path)
