"""Losses that are read late: none is lost, the first bad one is named, and none is more than so many steps late."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from negmerge.errors import DivergedError
from negmerge.training.losses import AHEAD, Losses, ahead_on

LOSSES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30)


@given(values=LOSSES, ahead=st.integers(0, 8))
def test_the_newest_is_at_most_so_many_steps_old(values: list[float], ahead: int) -> None:
    losses = Losses(len(values), len(values), ahead)
    for step, value in enumerate(values):
        losses.keep(torch.tensor(value), 1)
        assert losses.newest == (values[step - ahead] if step >= ahead else None)


@given(values=LOSSES, ahead=st.integers(0, 8), data=st.data())
def test_the_mean_is_over_the_images_of_the_last_steps_however_late_they_are_read(
    values: list[float], ahead: int, data: st.DataObject
) -> None:
    window = data.draw(st.integers(1, len(values)))
    counts = data.draw(st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
    losses = Losses(len(values), window, ahead)
    for value, count in zip(values, counts, strict=True):
        losses.keep(torch.tensor(value), count)
    images = [value for value, count in zip(values[-window:], counts[-window:], strict=True) for _ in range(count)]
    assert losses.mean() == pytest.approx(sum(images) / len(images), abs=1e-6)


@given(before=st.integers(0, 20), ahead=st.integers(0, 8), bad=st.sampled_from([float("nan"), float("inf")]))
def test_what_is_not_finite_is_found_in_time_and_the_first_of_them_named(before: int, ahead: int, bad: float) -> None:
    losses = Losses(100, 10, ahead)
    for _ in range(before):
        losses.keep(torch.tensor(1.0), 1)
    for _ in range(ahead):
        losses.keep(torch.tensor(bad), 1)
    with pytest.raises(DivergedError, match=f"at step {before + 1} of 100; lower the learning rate"):
        losses.keep(torch.tensor(bad), 1)


def test_a_bad_loss_of_the_last_steps_is_found_at_the_end() -> None:
    losses = Losses(2, 2, ahead=4)
    losses.keep(torch.tensor(1.0), 1)
    losses.keep(torch.tensor(float("nan")), 1)
    with pytest.raises(DivergedError, match="at step 2 of 2"):
        losses.mean()


def test_on_a_cpu_every_loss_is_read_at_once() -> None:
    assert ahead_on(torch.device("cpu")) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_losses_arrive_as_they_were() -> None:
    losses = Losses(50, 50, AHEAD)
    for step in range(50):
        losses.keep(torch.tensor(float(step), device="cuda"), 1)
    assert losses.mean() == 24.5
