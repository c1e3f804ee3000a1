"""Uploads are judged in a process of their own: what is found, and what it falls short of."""

import json
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app.errors import InternalError, InvalidDataset, InvalidModel, NoRoom
from app.intake.judging import Judge
from app.settings import Settings
from app.store.objects import Store, StoreFull
from negmerge.data.archives import Index, index_archive
from tests.support.archive_files import PAIR, png, write_tar, write_zip
from tests.support.disks import files_of_at_most

MIB = 2**20


def judge(folder: Path, **settings: Any) -> Judge:
    return Judge(Settings(data_dir=folder, **settings))


def test_a_data_set_is_indexed_as_in_this_process(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "file", {**PAIR, "cat/2.png": png(), "cat/x.jpg": b""})
    found = judge(tmp_path).dataset(path, leave_out=True)
    assert (found.classes, found.left_out) == ({"cat": 2, "dog": 1}, ["cat/x.jpg"])
    assert Index.from_json(json.loads(found.index.read_text())) == index_archive(path, leave_out=True)


def test_what_is_wrong_is_told_as_in_this_process(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "file", {"train/cat/1.png": png(), "val/cat/1.png": png()})
    with pytest.raises(InvalidDataset, match="one class only") as caught:
        judge(tmp_path).dataset(path, leave_out=False)
    assert [wrong.pointer for wrong in caught.value.errors] == ["/file"]


def test_memory_is_limited_by_the_system_itself(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "file", {**PAIR, "cat/2.bmp": bitmap(9000)}, compression=8)
    settings = Settings(data_dir=tmp_path, check_memory_bytes=256 * MIB, max_archive_ratio=10_000)
    with pytest.raises(InvalidDataset, match=r"more than 268435456 bytes of memory \(NEGMERGE_CHECK_MEMORY_BYTES\)"):
        Judge(settings).dataset(path, leave_out=False)


def bitmap(side: int) -> bytes:
    """A black BMP of so many pixels a side, 24 bits each."""
    size = 3 * side * side
    head = b"BM" + struct.pack("<IIIIiiHHIIiiII", 54 + size, 0, 54, 40, side, side, 1, 24, 0, size, 0, 0, 0, 0)
    return head + bytes(size)


def test_seconds_are_limited_by_the_system_itself(tmp_path: Path) -> None:
    """Many gzip members with nothing in them would go on for minutes: here a tar of very many small pictures."""
    path = write_tar(tmp_path / "file", {f"{n % 2}/{n}.png": png(n % 250) for n in range(30_000)}, "w:gz")
    assert path.stat().st_size < 4 * MIB
    started = time.monotonic()
    with pytest.raises(InvalidDataset, match=r"more than \d seconds \(NEGMERGE_CHECK_SECONDS"):
        judge(tmp_path, check_seconds=1).dataset(path, leave_out=False)
    assert time.monotonic() - started < 30  # not a figure: it ends at all


def test_a_disk_that_is_full_while_a_model_is_unpacked_is_no_fault_of_the_model(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": 2 * MIB * b"x"}
    path = write_zip(tmp_path / "file", files, compression=8)
    with (
        files_of_at_most(MIB),
        pytest.raises(NoRoom, match="part 'file' cannot be unpacked: the machine's disk is full"),
    ):
        judge(tmp_path, max_archive_ratio=10_000).model(path, None)


def test_a_store_that_is_full_says_so(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(2 * MIB))
    store = Store.open((tmp_path / "store").as_uri())
    with files_of_at_most(MIB), pytest.raises(StoreFull, match="the artifact store is full"):
        store.put_file("a/key", tmp_path / "large")


def test_a_process_that_breaks_is_our_fault_and_tells_a_client_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    path = write_zip(tmp_path / "file", PAIR)
    with pytest.raises(InternalError, match=r"^the upload could not be judged; the service's log has the cause$"):
        judge(tmp_path).dataset(path, leave_out=False)


def weights_with(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def test_very_many_tensors_are_refused_before_anything_is_made_of_them(tmp_path: Path) -> None:
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(entry % number for number in range(100_001)) + "}"
    (tmp_path / "file").write_bytes(weights_with(header.encode()))
    with pytest.raises(InvalidModel, match="more than 100000 tensors"):
        judge(tmp_path).model(tmp_path / "file", json.dumps({"architecture": "resnet18", "num_classes": 3}))


def test_weights_without_a_tensor_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(weights_with(b'{"__metadata__": {"format": "pt"}}'))
    with pytest.raises(InvalidModel, match="the weights hold no tensor at all"):
        judge(tmp_path).model(tmp_path / "file", json.dumps({"architecture": "resnet18", "num_classes": 3}))
