"""Batches: their sizes add up, nobody is alone who must not be, and an epoch is a permutation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from negmerge.training.batching import batch_sizes, batches

COUNTS, SIZES = st.integers(0, 300), st.integers(1, 50)


@pytest.mark.parametrize(
    ("count", "size", "alone", "sizes"),
    [
        (0, 4, True, []),
        (1, 4, True, [1]),
        (8, 4, True, [4, 4]),
        (9, 4, True, [4, 4, 1]),
        (9, 4, False, [4, 5]),
        (10, 4, False, [4, 4, 2]),
        (3, 1, True, [1, 1, 1]),
        (3, 1, False, [3]),
        (4, 1, False, [2, 2]),
        (1, 4, False, [1]),
    ],
)
def test_sizes_worked_by_hand(count: int, size: int, alone: bool, sizes: list[int]) -> None:
    """The last: a single sample has nobody to go with, so it is alone whatever is asked for."""
    assert batch_sizes(count, size, alone) == sizes


@given(count=COUNTS, size=SIZES, alone=st.booleans())
def test_the_sizes_add_up_to_all_samples(count: int, size: int, alone: bool) -> None:
    assert sum(batch_sizes(count, size, alone)) == count


@given(count=st.integers(2, 300), size=SIZES)
def test_no_batch_is_a_single_sample_where_none_may_be_alone(count: int, size: int) -> None:
    assert 1 not in batch_sizes(count, size, alone=False)


@given(count=COUNTS, size=SIZES)
def test_all_batches_but_the_last_are_of_the_size_that_was_asked_for(count: int, size: int) -> None:
    *full, last = [*batch_sizes(count, size), 0] if count == 0 else batch_sizes(count, size)
    assert set(full) <= {size}
    assert last <= size


@given(count=st.integers(2, 60), size=SIZES, epochs=st.integers(1, 3), alone=st.booleans())
def test_each_epoch_has_every_sample_once_in_batches_of_the_sizes(
    count: int, size: int, epochs: int, alone: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    found = [batch.tolist() for batch in batches(count, size, epochs, generator, alone)]
    sizes = batch_sizes(count, size, alone)
    assert [len(batch) for batch in found] == sizes * epochs
    for begin in range(0, len(found), len(sizes)):
        epoch = found[begin : begin + len(sizes)]
        assert sorted(sample for batch in epoch for sample in batch) == list(range(count))


def test_each_epoch_has_an_order_of_its_own() -> None:
    first, second = batches(50, 50, 2, torch.Generator().manual_seed(0))
    assert first.tolist() != second.tolist()


def test_the_order_comes_from_the_generator_alone() -> None:
    first, second = (list(batches(20, 6, 2, torch.Generator().manual_seed(5))) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
