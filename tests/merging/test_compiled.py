"""The compiled loops give the bits of the numpy reference, for every method and type, and say the same of a piece."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from negmerge.checkpoints.streams import ModelReader
from negmerge.errors import TensorError
from negmerge.merging import compiled, files, floors, kernels
from negmerge.merging.compiled import CompiledPieces
from negmerge.merging.files import merge_files
from negmerge.merging.floors import find_floors
from negmerge.merging.methods import Summed, Ties, summed
from negmerge.merging.pieces import Merged, Pieces
from negmerge.merging.twins import Twins
from negmerge.progress import ignore
from negmerge.spec.job import Merge

METHODS = ["negmerge", "relaxed", "uniform", "magmax", "ties", None]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
BLOCK = kernels.BLOCK


@contextmanager
def opened(folder: Path, models: list[Tensor]) -> Iterator[list[ModelReader]]:
    """Files with one tensor ``w`` each, θ₀'s first."""
    with ExitStack() as stack:
        readers = []
        for i, values in enumerate(models):
            path = folder / f"{i}.safetensors"
            save_file({"w": values}, path)
            readers.append(stack.enter_context(ModelReader(path)))
        yield readers


def both(readers: list[ModelReader], merging: Summed | None, scale: float, floor: float) -> tuple[Merged, Merged]:
    """The whole tensor as one piece, by the reference and by the loops."""
    size = readers[0].sizes["w"]
    found = []
    for way in (Pieces, CompiledPieces):
        pieces = way(readers[0], readers[1:], merging, scale, Twins(len(readers)))
        pieces.floors = np.full(len(readers) - 1, floor, np.float32)
        found.append(pieces.merged(("w", slice(0, size))))
    return found[0], found[1]


@st.composite
def models(draw: st.DrawFn, dtype: torch.dtype, few: bool) -> list[Tensor]:
    """A base model and one to five others, in which many elements agree, are equal, cancel out, or did not move."""
    size = draw(st.sampled_from([1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5]))
    count = draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    base = torch.randn(size, generator=generator) * draw(st.sampled_from([1e-7, 0.02, 1.0]))
    base[torch.rand(size, generator=generator) < 0.05] = -0.0
    if few:
        base = (base * 4).round() / 4
    steps = draw(st.sampled_from([1e-6, 1e-3, 0.3]))
    tuned = []
    for _ in range(count):
        change = torch.randn(size, generator=generator) * steps + draw(st.sampled_from([-steps, 0.0, steps]))
        if few:
            change = change.sign() * steps
        change[torch.rand(size, generator=generator) < 0.1] = 0
        tuned.append((base.to(dtype).float() + change).clamp(-7, 7).to(dtype))
    if draw(st.booleans()) and count > 1:
        tuned[-1] = tuned[0].clone()
    return [base.clamp(-7, 7).to(dtype), *tuned]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
def test_a_piece_is_the_references(
    tmp_path_factory: pytest.TempPathFactory, method: str | None, dtype: torch.dtype, data: st.DataObject
) -> None:
    given_models = data.draw(models(dtype, data.draw(st.booleans())))
    given_models = given_models[:2] if method is None else given_models
    options = Merge(agreement=data.draw(st.sampled_from([1.0, 0.6])), relaxed=0.5)
    merging = None if method is None else summed(method, options)
    if isinstance(merging, Ties):
        merging = merging.settled(data.draw(st.integers(-1, 1)))
    scale = data.draw(st.sampled_from([0.0, 0.35, 1.0, -1.7]))
    floor = data.draw(st.sampled_from([0.0, 1e-4])) if method == "ties" else 0.0
    with opened(tmp_path_factory.mktemp("models"), given_models) as readers:
        reference, fast = both(readers, merging, scale, floor)

    assert bytes(fast.data) == bytes(reference.data)
    assert (fast.agreeing, fast.undecided, fast.balance) == (reference.agreeing, reference.undecided, reference.balance)
    assert fast.tally.changed == reference.tally.changed
    for one, other in zip(vars(fast.tally).values(), vars(reference.tally).values(), strict=True):
        assert math.isclose(one, other, rel_tol=2e-5, abs_tol=1e-30)
    assert groups(fast) == groups(reference)


def groups(merged: Merged) -> set[frozenset[int]]:
    """Which models were equal, whatever their keys."""
    return {
        frozenset(model for model, key in merged.keys.items() if key == wanted) for wanted in set(merged.keys.values())
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loops_are_what_merges_a_piece(tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would compare the reference with itself."""

    def never(self: Pieces, piece: object) -> Merged:
        raise AssertionError("the reference was asked")

    monkeypatch.setattr(Pieces, "merged", never)
    values = torch.linspace(-1, 1, 100).to(dtype)
    with opened(tmp_path, [values, values + 0.1, values + 0.2]) as readers:
        pieces = CompiledPieces(readers[0], readers[1:], summed("negmerge", Merge()), 1.0, Twins(3))
        assert pieces.merged(("w", slice(0, 100))).agreeing == 100


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_number_of_16_bits_is_read_and_written_as_it_is(tmp_path: Path, dtype: torch.dtype) -> None:
    """All 65,536 patterns but NaN and infinity, from a τ of 0 and from one that moves each a little."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    every = every[every.isfinite() & (every.abs() < 7)]
    with opened(tmp_path, [every, (every.float() * 1.01 + 1e-7).to(dtype)]) as readers:
        for start in range(0, len(every), BLOCK):
            for scale in (0.0, 0.3):
                found = [
                    way(readers[0], readers[1:], None, scale, Twins(2)).merged(("w", slice(start, start + BLOCK)))
                    for way in (Pieces, CompiledPieces)
                    if start + BLOCK <= len(every)
                ]
                assert len({bytes(one.data) for one in found}) <= 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_result_between_two_numbers_of_16_bits_goes_to_the_nearest_and_of_two_to_the_even(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    """θ₀ each number below 4; λ takes it to where rounding is hard: at, just above and just below a half."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    every = every[every.isfinite() & (every.abs() < 4)][: 40 * BLOCK]
    other = torch.roll(every, 1)
    with opened(tmp_path, [every, other]) as readers:
        for scale in (0.5, 0.25, 1.0 + 2**-20, 0.75):
            reference, fast = both(readers, None, scale, 0.0)
            assert bytes(fast.data) == bytes(reference.data)


@pytest.mark.parametrize("where", [0, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf, 9.0])
def test_what_the_loops_refuse_is_said_by_the_reference(tmp_path: Path, value: float, where: int) -> None:
    values = [torch.zeros(2 * BLOCK) for _ in range(4)]
    values[where][BLOCK + 3] = value
    with opened(tmp_path, values) as readers:
        pieces = CompiledPieces(readers[0], readers[1:], summed("negmerge", Merge()), 1.0, Twins(4))
        with pytest.raises(TensorError, match="'w'"):
            pieces.merged(("w", slice(0, 2 * BLOCK)))


def test_a_type_without_loops_is_merged_by_the_reference(tmp_path: Path) -> None:
    values = torch.linspace(0, 1, 9, dtype=torch.float64)
    with opened(tmp_path, [values, values + 0.1]) as readers:
        reference, fast = both(readers, None, 1.0, 0.0)
    assert bytes(fast.data) == bytes(reference.data)


def test_pieces_are_as_long_as_the_cache_lets_them(tmp_path: Path) -> None:
    """Of nine models and of sixty, float32: two megabytes and a half."""
    with opened(tmp_path, [torch.zeros(1)] * 60) as readers:
        lengths = [CompiledPieces(readers[0], readers[1:count], None, 1.0, Twins(count)).longest for count in (9, 60)]
    assert lengths == [1 << 16, 1 << 13]


@pytest.mark.parametrize(
    ("dtype", "much", "way"),
    [
        (torch.float32, 12, CompiledPieces),
        (torch.float32, 13, Pieces),
        (torch.bfloat16, 60, CompiledPieces),
        (torch.bfloat16, 61, Pieces),
    ],
)
def test_the_loops_are_for_much(
    tmp_path: Path, dtype: torch.dtype, much: int, way: type[Pieces], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three models of four elements; one of 16 bits counts as five."""
    monkeypatch.setattr(files, "_MUCH", much)
    with opened(tmp_path, [torch.zeros(4, dtype=dtype)] * 3) as readers:
        assert files._way(readers) is way


@pytest.mark.parametrize("way", [Pieces, CompiledPieces])
@pytest.mark.parametrize("density", [1e-4, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_floors_of_one_reading_are_the_exact_ones(
    tmp_path: Path, density: float, dtype: torch.dtype, way: type[Pieces], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "_FEW", 0)
    generator = torch.Generator().manual_seed(7)
    size = 40_000
    base = (torch.randn(size, generator=generator) * 0.1).to(dtype)
    tuned = [(base.float() + torch.randn(size, generator=generator) * 1e-3 * i).to(dtype) for i in (1, 5)]
    with opened(tmp_path, [base, *tuned]) as readers, ThreadPoolExecutor(2) as pool:
        places = [("w", slice(start, min(start + 3000, size))) for start in range(0, size, 3000)]
        pieces = way(readers[0], readers[1:], summed("ties", Merge()), 1.0, Twins(3))
        found = find_floors(pieces, places, density, pool, ignore)
    for floor, theta in zip(found, tuned, strict=True):
        magnitudes = (theta.float() - base.float()).abs().sort(descending=True).values
        assert floor == magnitudes[max(1, math.floor(density * size)) - 1]


def test_floors_that_the_sample_did_not_foresee_are_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece begins with elements that did not move, and no others are looked at."""
    monkeypatch.setattr(floors, "_FEW", 0)
    monkeypatch.setattr(floors, "_SAMPLED", 10)
    change = torch.linspace(0, 1, 5000)
    change.view(50, 100)[:, :10] = 0
    with opened(tmp_path, [torch.zeros(5000), change]) as readers, ThreadPoolExecutor(2) as pool:
        places = [("w", slice(start, start + 100)) for start in range(0, 5000, 100)]
        pieces = CompiledPieces(readers[0], readers[1:], summed("ties", Merge()), 1.0, Twins(2))
        (found,) = find_floors(pieces, places, 0.2, pool, ignore)
    assert found == change.sort(descending=True).values[999]


def test_a_sign_that_only_the_whole_model_decides_is_decided(tmp_path: Path) -> None:
    """One element cancels out exactly, in the first piece; that most others rise is known after the last (TIES)."""
    save_file({"a": torch.zeros(1), "b": torch.zeros(9)}, tmp_path / "base.safetensors")
    for i, sign in enumerate((1.0, -1.0)):
        save_file({"a": torch.tensor([sign]), "b": torch.full((9,), 0.5)}, tmp_path / f"{i}.safetensors")
    tuned = [tmp_path / f"{i}.safetensors" for i in range(2)]
    merge_files(tmp_path / "base.safetensors", tuned, tmp_path / "out.safetensors", method="ties", density=1.0)
    with ModelReader(tmp_path / "out.safetensors") as merged:
        assert merged.read_float32("a", slice(0, 1)).tolist() == [-1.0]


def test_a_thread_keeps_its_room_from_piece_to_piece(tmp_path: Path) -> None:
    with opened(tmp_path, [torch.zeros(10), torch.ones(10)]) as readers:
        pieces = CompiledPieces(readers[0], readers[1:], None, 1.0, Twins(2))
        first, second = (bytes(pieces.merged(("w", slice(i, i + 5))).data) for i in (0, 5))
    assert first == second == np.full(5, -1, np.float32).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS[:1] + METHODS[2:5])
def test_a_file_has_the_same_bits_whichever_way_it_was_merged(
    tmp_path: Path, method: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several tensors in many pieces, by two threads; one tensor in a type without loops."""
    generator = torch.Generator().manual_seed(1)
    base = {f"w{i}": torch.randn(5 * BLOCK + i, generator=generator).to(dtype) for i in range(3)}
    base["double"] = torch.randn(2 * BLOCK, generator=generator, dtype=torch.float64)
    save_file(base, tmp_path / "base.safetensors")
    for i in range(3):
        moved = {
            name: theta + (torch.randn(theta.shape, generator=generator) * 0.05).to(theta.dtype)
            for name, theta in base.items()
        }
        save_file(moved, tmp_path / f"tuned{i}.safetensors")
    tuned = sorted(tmp_path.glob("tuned*"))
    reference = merge_files(tmp_path / "base.safetensors", tuned, tmp_path / "reference.safetensors", method=method)
    monkeypatch.setattr(files, "_MUCH", 0)
    monkeypatch.setattr(compiled, "_CACHED_BYTES", 0)
    monkeypatch.setattr(compiled, "_SHORTEST", 2 * BLOCK)
    fast = merge_files(tmp_path / "base.safetensors", tuned, tmp_path / "fast.safetensors", method=method)
    assert fast.digest == reference.digest
    assert fast.consensus == reference.consensus
