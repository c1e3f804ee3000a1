"""Safetensors headers: what is read, what is written, and what is refused."""

import io
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from negmerge.errors import CheckpointError, TensorError
from negmerge.formats.headers import ITEM_BYTES, MAX_HEADER_BYTES, MAX_TENSORS, check_finite, encode_header, read_header

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def raw(document: Any, data: bytes = b"\0" * 8) -> io.BytesIO:
    """A safetensors file put together by hand."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return io.BytesIO(struct.pack("<Q", len(text)) + text + data)


def test_a_header_tells_each_tensors_type_shape_and_bytes(tmp_path: Path) -> None:
    tensors = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(7)}
    save_file(tensors, tmp_path / "m.safetensors", {"format": "pt"})

    header = read_header(tmp_path / "m.safetensors")

    info = header.tensors["w"]
    assert (info.dtype, info.shape) == ("F32", (2, 3))
    data = (tmp_path / "m.safetensors").read_bytes()
    assert np.frombuffer(data[info.start : info.end], np.float32).tolist() == [0, 1, 2, 3, 4, 5]
    assert header.tensors["n"].shape == ()
    assert header.metadata == {"format": "pt"}
    assert header.size == len(data)


def test_a_stream_is_read_as_a_path_is(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "m.safetensors")

    stream = io.BytesIO((tmp_path / "m.safetensors").read_bytes())

    assert read_header(stream) == read_header(tmp_path / "m.safetensors")


def test_tensors_stand_in_the_order_of_their_data() -> None:
    document = {
        "second": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]},
        "first": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
    }
    assert list(read_header(raw(document)).tensors) == ["first", "second"]


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 40, -1])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, cut: int) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "whole.safetensors")
    path = tmp_path / "half.safetensors"
    path.write_bytes((tmp_path / "whole.safetensors").read_bytes()[:cut])

    with pytest.raises(CheckpointError, match=r"half\.safetensors is cut off"):
        read_header(path)


def test_a_file_of_torch_save_is_called_a_pickle(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="never a pickle"):
        read_header(tmp_path / "m.pt")


def test_a_bare_pickle_is_called_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(pickle.dumps({"w": [1.0] * 50}))
    with pytest.raises(CheckpointError, match="never a pickle"):
        read_header(tmp_path / "m.bin")


def test_a_header_whose_length_looks_like_a_pickle_is_still_read() -> None:
    text = json.dumps({"w": ONE}).encode().ljust(0x280)  # the length's first bytes are 80 02, as a pickle's
    assert list(read_header(raw(text)).tensors) == ["w"]


def test_what_is_no_weights_file_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_text("something else altogether")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(tmp_path / "m.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors cannot be read: No such file"):
        read_header(tmp_path / "gone.safetensors")


def test_a_header_that_claims_more_than_100_mb_is_not_read() -> None:
    with pytest.raises(CheckpointError):
        read_header(io.BytesIO(struct.pack("<Q", 100_000_001) + b"{" + b" " * 100))


@pytest.mark.parametrize(
    "text",
    [b'{"w": ', b'{"w": 1, "w": 2}', b"{" + b'"a":[' * 100_000, b'{"\xff": 1}', b'{"a": ' + b"1" * 5000 + b"}"],
    ids=["unfinished", "a name twice", "nested without end", "no UTF-8", "a number without end"],
)
def test_a_damaged_header_is_refused(text: bytes) -> None:
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(raw(text))


@pytest.mark.parametrize(
    "entry",
    [
        ONE | {"dtype": "F8"},
        ONE | {"dtype": ["F32"]},
        ONE | {"shape": [-2]},
        ONE | {"shape": [2.0]},
        ONE | {"shape": [True, 2]},
        ONE | {"shape": [3]},
        ONE | {"shape": [2**70]},
        ONE | {"data_offsets": [0, 8, 8]},
        ONE | {"data_offsets": [8, 0]},
        ONE | {"more": 1},
        {"dtype": "F32", "shape": [2]},
        7,
    ],
)
def test_an_entry_that_cannot_be_is_refused_by_name(entry: Any) -> None:
    with pytest.raises(TensorError) as caught:
        read_header(raw({"w": entry}))
    assert caught.value.tensor == "w"


@pytest.mark.parametrize("begin", [4, 12], ids=["overlap", "hole"])
def test_data_that_overlap_or_leave_a_hole_are_refused_by_name(begin: int) -> None:
    second = {"dtype": "F32", "shape": [2], "data_offsets": [begin, begin + 8]}
    with pytest.raises(TensorError) as caught:
        read_header(raw({"w": ONE, "v": second}, b"\0" * (begin + 8)))
    assert caught.value.tensor == "v"


def test_bytes_after_the_last_tensor_are_refused() -> None:
    with pytest.raises(CheckpointError, match="3 bytes too many"):
        read_header(raw({"w": ONE}, b"\0" * 11))


def test_metadata_other_than_strings_are_refused() -> None:
    with pytest.raises(CheckpointError, match="metadata"):
        read_header(raw({"__metadata__": {"a": 1}, "w": ONE}))


def test_a_header_that_we_write_is_read_by_safetensors(tmp_path: Path) -> None:
    start, infos = encode_header({"é": ("BF16", (1,)), "w": ("F32", (2,)), "none": ("F32", (0, 3))}, {"a": "b"})
    (tmp_path / "m.safetensors").write_bytes(start + struct.pack("<2f", 1.5, -2) + b"\x80\x3f")

    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert file.get_tensor("w").tolist() == [1.5, -2.0]
        assert file.get_tensor("é").item() == 1.0
        assert file.metadata() == {"a": "b"}
    assert read_header(tmp_path / "m.safetensors").tensors == infos


def test_every_tensor_that_we_lay_out_is_aligned() -> None:
    _, infos = encode_header({f"{d}.{i}": (d, (3,)) for d in ITEM_BYTES for i in range(2)}, {})
    assert len(infos) == 2 * len(ITEM_BYTES)
    assert all(info.start % ITEM_BYTES[info.dtype] == 0 for info in infos.values())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_named_by_its_tensor(tmp_path: Path, dtype: torch.dtype, value: float) -> None:
    bad = torch.zeros(300_000, dtype=dtype)
    bad[-1] = value
    save_file({"good": torch.ones(2, dtype=dtype), "z.bad": bad}, tmp_path / "m.safetensors")

    with pytest.raises(TensorError) as caught:
        check_finite(tmp_path / "m.safetensors")

    assert caught.value.tensor == "z.bad"


def test_the_largest_finite_values_and_all_integers_pass(tmp_path: Path) -> None:
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    largest = {str(dtype): torch.full((2,), torch.finfo(dtype).max, dtype=dtype) for dtype in dtypes}
    save_file(largest | {"i": torch.tensor([-1, 2**62])}, tmp_path / "m.safetensors")

    check_finite(tmp_path / "m.safetensors")


def test_reading_headers_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, negmerge.formats.headers; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("shape", [[2**63], [1] * 65, [10**3000] * 40])
def test_a_shape_that_no_tensor_can_have_is_refused_before_it_is_multiplied_out(
    tmp_path: Path, shape: list[int]
) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(TensorError, match="64 at most"):
        read_header(path)


def test_a_header_of_more_bytes_than_any_model_needs_is_told_its_size(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{")
        file.truncate(2 * MAX_HEADER_BYTES)
    with pytest.raises(CheckpointError, match=r"has a header of 16777217 bytes: at most 16777216 are read\. Split it"):
        read_header(path)


def with_tensors(count: int) -> io.BytesIO:
    return raw({str(number): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(count)}, b"")


def test_as_many_tensors_as_any_known_model_has_are_read_and_one_more_than_the_limit_is_not() -> None:
    assert len(read_header(with_tensors(MAX_TENSORS)).tensors) == MAX_TENSORS
    with pytest.raises(CheckpointError, match="more than 100000 tensors: split it into shards"):
        read_header(with_tensors(MAX_TENSORS + 1))


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS.*git lfs pull"),
        (b'{"weight_map": {}}', "is JSON, such as the index of shards: give the folder"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"GGUF\x03\0\0\0\0\0", "is GGUF"),
        (b"\x80\x02}q\0.....", "`negmerge convert` makes them of one"),
    ],
)
def test_what_is_no_weights_file_is_called_by_its_kind(tmp_path: Path, start: bytes, said: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(start)
    with pytest.raises(CheckpointError, match=said):
        read_header(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"w\ud800": ONE}).encode(),
        json.dumps({"w": ONE}).encode("utf-16-le"),
        b'{"w\xed\xa0\x80": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
        json.dumps({"w": ONE, "__metadata__": {"a": "\udfff"}}).encode(),
        json.dumps({"w": ONE, "__metadata__": {"\udfff": "a"}}).encode(),
    ],
)
def test_half_characters_and_other_encodings_are_refused_as_by_safetensors_itself(text: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_header(raw(text))


def test_what_an_error_repeats_of_a_file_is_cut() -> None:
    for document in ({"w": ONE | {"dtype": "x" * 10**6}}, {"x" * 10**6: ONE | {"dtype": "F8"}}):
        with pytest.raises(TensorError) as caught:
            read_header(raw(document))
        assert len(str(caught.value)) < 1000
