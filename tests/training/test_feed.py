"""Batches that travel are those that are there already, in the same order; and who stops early leaves no thread."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from negmerge.training.batching import batches
from negmerge.training.feed import Feed

CPU = torch.device("cpu")


def samples(count: int) -> tuple[Tensor, Tensor]:
    """Each image all of its own number, which is its label too."""
    labels = torch.arange(count)
    return labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous(), labels


def order_of(count: int, size: int) -> list[Tensor]:
    return list(batches(count, size, 1, torch.Generator().manual_seed(count)))


@pytest.mark.parametrize("room", [None, 0, 10_000], ids=["on the CPU", "travelling", "brought"])
@given(count=st.integers(1, 60), size=st.integers(1, 9))
def test_each_batch_is_what_the_order_names(room: int | None, count: int, size: int) -> None:
    images, labels = samples(count)
    order = order_of(count, size)
    found = list(Feed(CPU, room).batches(images, labels, order))
    assert [batch.tolist() for _, batch in found] == [chosen.tolist() for chosen in order]
    assert all(torch.equal(batch[:, 0, 0, 0], chosen) for (batch, _), chosen in zip(found, order, strict=True))


def test_samples_that_do_not_fit_beside_others_travel() -> None:
    """Room for one of two sets: each is still what it was, pass after pass."""
    first, second = samples(30), samples(20)
    feed = Feed(CPU, room=first[0].nbytes)
    for images, labels in (first, second, first, second):
        for batch, numbers in feed.batches(images, labels, order_of(len(labels), 7)):
            assert torch.equal(batch[:, 0, 0, 0], numbers)


def test_who_stops_early_leaves_no_thread_behind() -> None:
    images, labels = samples(30)
    feeding = Feed(CPU, room=0).batches(images, labels, order_of(30, 2))
    next(feeding)
    assert any(thread.name.startswith("feed") for thread in threading.enumerate())
    feeding.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("feed") for thread in threading.enumerate())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("room", [None, 0], ids=["brought", "travelling"])
def test_on_a_gpu_each_batch_is_what_the_order_names(room: int | None) -> None:
    images, labels = samples(60)
    order = order_of(60, 7)
    for (batch, numbers), chosen in zip(
        Feed(torch.device("cuda"), room).batches(images, labels, order), order, strict=True
    ):
        assert torch.equal(batch[:, 0, 0, 0].cpu(), chosen)
        assert torch.equal(numbers.cpu(), chosen)
