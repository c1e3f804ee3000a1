"""The rivals' training loop against SGD written out in float64, batch by batch (``linear``)."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from negmerge.decoding.dataset import Decoded
from negmerge.errors import DataError, DivergedError
from negmerge.progress import OnStep, ignore
from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import always, descend
from negmerge.spec.precision import Precision
from negmerge.training.crop_flip import crop_and_flip
from tests.support import linear
from tests.support.linear import Linear, Vector, flat, gradients, random_samples, random_theta, samples

THETA = random_theta(classes=3, seed=0)
FIVE = random_samples(5, classes=3, seed=1)
THREE = random_samples(3, classes=3, seed=2)


def make(on_step: OnStep = ignore, **changes: Any) -> Task:
    plain: dict[str, Any] = {"crop_flip": False, "momentum": 0.0, "weight_decay": 0.0, "batch_size": 2}
    settings = Settings(**(plain | changes))
    return Task(Linear(THETA), torch.zeros(0), FIVE, FIVE, settings, torch.Generator().manual_seed(7), on_step)


def trained(task: Task) -> Vector:
    return flat(dict(task.model.module.state_dict()))


def seen(task: Task) -> list[tuple[int, ...]]:
    assert isinstance(task.model, Linear)
    return task.model.trained_on


def batch(pixels: list[tuple[int, ...]], of: Decoded) -> Decoded:
    """These samples with their labels, which are found by their pixels."""
    labels = dict(zip(map(tuple, of.images.flatten(1).tolist()), of.labels.tolist(), strict=True))
    return samples(pixels, [labels[one] for one in pixels])


def test_training_is_sgd_with_momentum_and_decay_over_ragged_batches() -> None:
    """Five samples in batches of 2, 2 and 1, of which each counts alike; momentum goes on from epoch to epoch."""
    task = make(learning_rate=0.2, epochs=2, momentum=0.9, weight_decay=0.05)
    descend(task, always(FIVE))
    order = seen(task)
    steps = []
    for begin, end in ((0, 2), (2, 4), (4, 5), (5, 7), (7, 9), (9, 10)):
        part = batch(order[begin:end], FIVE)
        steps.append(lambda theta, part=part: gradients(theta, part).mean(axis=0))
    expected = linear.descend(THETA, steps, rate=0.2, momentum=0.9, decay=0.05)
    assert np.allclose(trained(task), expected, rtol=0, atol=3e-6)


def test_momentum_goes_on_from_one_pass_of_an_epoch_to_the_next() -> None:
    task = make(learning_rate=0.1, epochs=2, momentum=0.9, batch_size=10)
    descend(task, lambda epoch: iter([FIVE, THREE]))
    steps = [lambda theta, of=of: gradients(theta, of).mean(axis=0) for of in (FIVE, THREE) * 2]
    assert np.allclose(trained(task), linear.descend(THETA, steps, rate=0.1, momentum=0.9), rtol=0, atol=3e-6)


def test_the_passes_of_an_epoch_come_one_after_the_other_each_shuffled_by_itself() -> None:
    task = make(epochs=30)
    descend(task, lambda epoch: iter([FIVE, THREE]))
    epochs = [seen(task)[begin : begin + 8] for begin in range(0, 240, 8)]
    five, three = ([tuple(row) for row in of.images.flatten(1).tolist()] for of in (FIVE, THREE))
    assert all(sorted(epoch[:5]) == sorted(five) for epoch in epochs)
    assert all(sorted(epoch[5:]) == sorted(three) for epoch in epochs)
    assert len({tuple(epoch[:5]) for epoch in epochs}) > 10


def test_the_factor_is_of_the_rate_of_its_epoch() -> None:
    factors = [1.0, 0.5, 0.0]
    task = make(learning_rate=0.4, epochs=3, batch_size=10)
    descend(task, always(FIVE), factor=lambda epoch: factors[epoch])
    theta = THETA
    for factor in factors:
        theta = theta - 0.4 * factor * gradients(theta, FIVE).mean(axis=0)
    assert np.allclose(trained(task), theta, rtol=0, atol=3e-6)


def test_the_penalty_is_told_which_share_of_the_epochs_is_over() -> None:
    """Batches of 2, 2 and 1: three steps an epoch, all with the epoch's share."""
    shares: list[float] = []

    def penalty(done: float) -> Tensor:
        shares.append(done)
        return torch.zeros(())

    descend(make(epochs=4), always(FIVE), penalty=penalty)
    assert shares == [share for share in (0, 0.25, 0.5, 0.75) for _ in range(3)]


def test_the_loss_that_is_told_is_that_before_the_step_with_the_penalty() -> None:
    """One batch of all five: the mean of −log p at θ₀, and a penalty of 2."""
    told: list[float | None] = []
    task = make(lambda step, total, loss: told.append(loss), epochs=1, batch_size=10, learning_rate=0.5)
    expected = -np.log(linear.probabilities(THETA, linear.inputs(FIVE))[np.arange(5), FIVE.labels.numpy()]).mean()
    descend(task, always(FIVE), penalty=lambda done: torch.tensor(2.0))
    assert told == [pytest.approx(expected + 2, rel=1e-5)]


def test_what_follows_a_step_is_called_after_each_one_and_before_it_is_told() -> None:
    calls: list[str] = []
    task = make(lambda step, total, loss: calls.append(f"{step} of {total}"), epochs=1)
    descend(task, always(FIVE), after_step=lambda: calls.append("after"))
    assert calls == ["after", "1 of 3", "after", "2 of 3", "after", "3 of 3"]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_names_its_step_and_is_not_told(value: float) -> None:
    told: list[int] = []
    task = make(lambda step, total, loss: told.append(step), epochs=2)
    with pytest.raises(DivergedError, match=f"the loss is {value} at step 4 of 6; lower the learning rate"):
        descend(task, always(FIVE), penalty=lambda done: torch.tensor(value if done else 0.0))
    assert told == [1, 2, 3]


def test_with_crops_and_flips_the_model_sees_each_batch_cut_anew() -> None:
    """The same draws once more: an epoch's order, then the cuts of each batch; 8×8 pixels, so a frame of one."""
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    big = Decoded(images, torch.zeros(5, dtype=torch.int64), ())
    model = Watching()
    settings = Settings(epochs=2, batch_size=2, learning_rate=0.01)
    descend(Task(model, torch.zeros(0), big, big, settings, torch.Generator().manual_seed(7), ignore), always(big))
    again, expected = torch.Generator().manual_seed(7), []
    for _ in range(2):
        order = torch.randperm(5, generator=again)
        expected += [crop_and_flip(images[order[a:b]], again) for a, b in ((0, 2), (2, 4), (4, 5))]
    assert len(model.batches) == 6
    assert all(torch.equal(one, other) for one, other in zip(model.batches, expected, strict=True))


class Watching(Linear):
    """Looks at one pixel of each image, and keeps the batches that it was given."""

    def __init__(self) -> None:
        super().__init__(THETA)
        self.batches: list[Tensor] = []

    def logits(self, images: Tensor, head: Tensor) -> Tensor:
        self.batches.append(images.clone())
        return super().logits(images[:, :, :1, :1], head)


def test_a_pass_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        descend(make(), always(Decoded(FIVE.images[:0], FIVE.labels[:0], ())))


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_rivals_steps_are_in_the_jobs_precision(precision: Precision, dtype: torch.dtype) -> None:
    task = replace(make(), precision=precision)
    seen = set()
    task.model.module.register_forward_hook(lambda module, given, out: seen.add(out.dtype))
    descend(task, always(FIVE))
    assert seen == {dtype}
