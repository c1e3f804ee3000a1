"""Each rival against its paper's definition, on softmax regression worked out in float64 (``linear``)."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from negmerge.decoding.dataset import Decoded
from negmerge.rivals import influence
from negmerge.rivals.retrain import cuts
from tests.support.linear import (
    Linear,
    Vector,
    descend,
    gradients,
    inputs,
    probabilities,
    random_samples,
    random_theta,
    samples,
    unlearn,
)

THREE = random_theta(classes=3, seed=0)
FORGET = random_samples(3, classes=3, seed=1)
RETAIN = random_samples(4, classes=3, seed=2)
OTHERS = random_samples(4, classes=3, seed=3)

TWO = random_theta(classes=2, seed=6)
FORGET_TWO = samples([[250, 30, 90], [10, 140, 60], [70, 200, 230]], [0, 1, 1])
RETAIN_TWO = random_samples(4, classes=2, seed=7)

FIVE, THIRTY = random_theta(classes=5, seed=9), random_samples(30, classes=5, seed=9)


def mean_gradient(of: Decoded, theta: Vector) -> Vector:
    return np.asarray(gradients(theta, of).mean(axis=0))


def close(found: Vector, expected: Vector) -> bool:
    """Equal up to float32's rounding of numbers around 1."""
    return bool(np.allclose(found, expected, rtol=0, atol=3e-6))


def test_the_formula_of_the_gradient_is_the_slope_of_the_loss() -> None:
    """So that what the rivals are checked against is itself checked, by central differences."""

    def loss(theta: Vector) -> float:
        return float(-np.log(probabilities(theta, inputs(FORGET))[np.arange(3), FORGET.labels.numpy()]).mean())

    steps = 1e-6 * np.eye(len(THREE))
    slopes = [(loss(THREE + step) - loss(THREE - step)) / 2e-6 for step in steps]
    assert np.allclose(mean_gradient(FORGET, THREE), slopes, atol=1e-8)


def test_gradient_ascent_worked_by_hand() -> None:
    """θ = 0 and two classes: p = ½. The pixel 191, 64, 128 of class 0 is x ≈ 0.996, −0.996, 0.008.

    ∇L = (p − onehot) xᵀ is −½ x for class 0 and ½ x for class 1, and ∓½ for the biases; ascent adds η = 0.1 of it.
    """
    x = [(191 / 255 - 0.5) / 0.25, (64 / 255 - 0.5) / 0.25, (128 / 255 - 0.5) / 0.25]
    found = unlearn("gradient_ascent", np.zeros(8), samples([[191, 64, 128]], [0]), RETAIN, learning_rate=0.1, epochs=1)
    assert close(found, np.array([*(-0.05 * v for v in x), *(0.05 * v for v in x), -0.05, 0.05]))


def test_gradient_ascent_adds_the_gradient_of_the_forget_loss() -> None:
    found = unlearn("gradient_ascent", THREE, FORGET, RETAIN, learning_rate=0.3, epochs=2)
    once = THREE + 0.3 * mean_gradient(FORGET, THREE)
    assert close(found, once + 0.3 * mean_gradient(FORGET, once))


def test_fine_tuning_is_sgd_on_the_retain_set() -> None:
    found = unlearn("fine_tune", THREE, FORGET, RETAIN, learning_rate=0.2, epochs=3, momentum=0.9, weight_decay=0.05)
    steps = [lambda theta: mean_gradient(RETAIN, theta)] * 3
    assert close(found, descend(THREE, steps, rate=0.2, momentum=0.9, decay=0.05))


@pytest.mark.parametrize("name", ["gradient_ascent", "boundary_shrink"])
def test_some_rivals_never_read_the_retain_set(name: str) -> None:
    first, second = (unlearn(name, THREE, FORGET, retain, epochs=2) for retain in (RETAIN, OTHERS))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, THREE)


@pytest.mark.parametrize("name", ["fine_tune", "l1_sparse"])
def test_some_rivals_never_read_the_forget_set(name: str) -> None:
    first, second = (unlearn(name, THREE, forget, RETAIN, epochs=2) for forget in (FORGET, OTHERS))
    assert np.array_equal(first, second)


def test_l1_sparse_shrinks_every_weight_alike_where_the_data_ask_for_nothing() -> None:
    """One class: p = 1, so the data's gradient is zero, and what is left is η γ sign(θ), with γ, ⅔ γ, then ⅓ γ."""
    theta, retain = random_theta(classes=1, seed=4), samples([[10, 20, 30], [200, 90, 0]], [0, 0])
    found = unlearn("l1_sparse", theta, retain, retain, learning_rate=0.1, epochs=3, strength=0.3)
    assert close(found, theta - 0.1 * 0.3 * (1 + 2 / 3 + 1 / 3) * np.sign(theta))


def test_l1_sparse_adds_the_penalty_to_the_loss_of_the_retain_set() -> None:
    found = unlearn("l1_sparse", THREE, FORGET, RETAIN, learning_rate=0.1, epochs=2, strength=0.4)
    steps = [lambda theta, g=g: mean_gradient(RETAIN, theta) + g * np.sign(theta) for g in (0.4, 0.2)]
    assert close(found, descend(THREE, steps, rate=0.1))


class Watched:
    """Runs a rival one sample a step, and reads off each step's label: the one bias that went up.

    Δb = −η (p − onehot(y)), which is positive for y alone.
    """

    def __init__(self, name: str, forget: Decoded, retain: Decoded, epochs: int) -> None:
        self.model = Linear(THREE)
        self.labels: list[int] = []
        self._before = self.model.original["1.bias"]
        options: dict[str, Any] = {"learning_rate": 0.01, "epochs": epochs, "batch_size": 1}
        if name == "salun":
            options["strength"] = 1.0  # all weights may move
        unlearn(name, THREE, forget, retain, self._on_step, self.model, **options)

    def _on_step(self, step: int, total: int, loss: float | None) -> None:
        if step == 0:
            return  # nothing was trained yet: the rival only lets itself be stopped
        after = self.model.module[1].bias.detach().clone()
        self.labels.append(int((after - self._before).argmax()))
        self._before = after


def rows(of: Decoded) -> list[tuple[int, ...]]:
    return [tuple(row) for row in of.images.flatten(1).tolist()]


def by_epoch(watched: Watched) -> list[list[tuple[tuple[int, ...], int]]]:
    """(image, label) of each step, seven to an epoch: three forgotten samples, four kept ones."""
    steps = list(zip(watched.model.trained_on, watched.labels, strict=True))
    return [steps[begin : begin + 7] for begin in range(0, len(steps), 7)]


@pytest.mark.parametrize("name", ["random_label", "salun"])
def test_each_epoch_is_a_pass_over_the_forget_set_and_then_one_over_the_retain_set(name: str) -> None:
    epochs = by_epoch(Watched(name, FORGET, RETAIN, epochs=20))
    assert len(epochs) == 20
    for epoch in epochs:
        assert sorted(image for image, _ in epoch[:3]) == sorted(rows(FORGET))
        assert sorted(epoch[3:]) == sorted(zip(rows(RETAIN), RETAIN.labels.tolist(), strict=True))


def drawn(name: str) -> dict[int, Counter[int]]:
    """true label → how often each label was drawn, over 400 epochs of three samples, one of each class."""
    forget = replace(FORGET, labels=torch.tensor([0, 1, 2]))
    true = dict(zip(rows(forget), forget.labels.tolist(), strict=True))
    counts: dict[int, Counter[int]] = {label: Counter() for label in range(3)}
    for epoch in by_epoch(Watched(name, forget, RETAIN, epochs=400)):
        for image, label in epoch[:3]:
            counts[true[image]][label] += 1
    return counts


@pytest.mark.slow
def test_random_labels_are_uniform_over_all_classes_and_fresh_in_each_epoch() -> None:
    """A third of 400 is 133 ± 9; a count outside of four deviations has a chance below 1 in 1,000 for all nine."""
    for counts in drawn("random_label").values():
        assert all(abs(counts[label] - 400 / 3) < 4 * 9.5 for label in range(3))


@pytest.mark.slow
def test_the_labels_of_salun_are_uniform_over_the_wrong_classes() -> None:
    for true, counts in drawn("salun").items():
        assert counts[true] == 0
        assert all(abs(counts[label] - 200) < 4 * 10 for label in range(3) if label != true)


def salient(theta: Vector, share: float) -> Vector:
    """The mask by brute force, 1 or 0: sort all |∇L_f(θ₀)| and take the first ones."""
    sizes = np.abs(mean_gradient(FORGET_TWO, theta))
    chosen = sorted(range(len(theta)), key=lambda place: -sizes[place])[: round(share * len(theta))]
    return np.array([float(place in chosen) for place in range(len(theta))])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
def test_salun_trains_the_salient_weights_and_no_others(share: float) -> None:
    """Of two classes one is wrong, so that its labels are known: each is the other one."""
    mask = salient(TWO, share)
    wrong = replace(FORGET_TWO, labels=1 - FORGET_TWO.labels)
    steps = [lambda theta, of=of: mask * mean_gradient(of, theta) for of in (wrong, RETAIN_TWO) * 3]
    expected = descend(TWO, steps, rate=0.2, momentum=0.9)
    found = unlearn("salun", TWO, FORGET_TWO, RETAIN_TWO, learning_rate=0.2, epochs=3, momentum=0.9, strength=share)
    assert close(found, expected)
    assert np.array_equal(found != TWO, mask)


def test_decay_and_momentum_leave_what_salun_masks_out_where_it_was_to_the_bit() -> None:
    found = unlearn("salun", TWO, FORGET_TWO, RETAIN_TWO, epochs=5, momentum=0.9, weight_decay=0.5, strength=0.5)
    assert np.array_equal(found != TWO, salient(TWO, 0.5))


def test_of_equal_gradients_all_are_in_the_mask() -> None:
    """m = 1(|∇| ≥ γ): a grey pixel gives the three weights of a class one gradient, and none may be left out."""
    grey = samples([[255, 255, 255]], [1])
    found = unlearn("salun", THREE, grey, RETAIN, epochs=1, strength=1 / len(THREE))
    assert np.flatnonzero(found != THREE).tolist() == [3, 4, 5]


def test_salun_with_an_empty_mask_changes_nothing() -> None:
    assert np.array_equal(unlearn("salun", TWO, FORGET_TWO, RETAIN_TWO, epochs=2, strength=0.0), TWO)


def test_the_mask_of_salun_does_not_depend_on_the_batches() -> None:
    """The gradient is the mean over all samples, also where the last batch is shorter."""
    for size in (1, 2, 3):
        found = unlearn("salun", TWO, FORGET_TWO, RETAIN_TWO, epochs=1, batch_size=size, strength=0.5)
        assert np.array_equal(found != TWO, salient(TWO, 0.5)), size


def nearest_wrong(theta: Vector, of: Decoded, epsilon: float, low: float = 0, high: float = 1) -> list[int]:
    """x' = clip(x + ε sign(∇ₓL)) in pixels of [0, 1]; ∇ₓL = Wᵀ(p − onehot) up to a positive factor; likeliest wrong."""
    classes = len(theta) // 4
    weights, pixels = theta[: 3 * classes].reshape(classes, 3), of.images.flatten(1).double().numpy() / 255
    errors = probabilities(theta, inputs(of)) - np.eye(classes)[of.labels.numpy()]
    moved = np.clip(pixels + epsilon * np.sign(errors @ weights), low, high)
    chances = probabilities(theta, (moved - 0.5) / 0.25)
    return [max(set(range(classes)) - {y}, key=lambda c: chances[n, c]) for n, y in enumerate(of.labels.tolist())]


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.6])
def test_boundary_shrink_trains_on_the_nearest_wrong_class_of_the_original_model(epsilon: float) -> None:
    moved = replace(THIRTY, labels=torch.tensor(nearest_wrong(FIVE, THIRTY, epsilon)))
    steps = [lambda theta: mean_gradient(moved, theta)] * 4
    found = unlearn("boundary_shrink", FIVE, THIRTY, RETAIN, learning_rate=0.5, epochs=4, strength=epsilon)
    assert close(found, descend(FIVE, steps, rate=0.5))


def test_the_step_and_the_clipping_of_boundary_shrink_decide_about_labels() -> None:
    """So that the test above tells one ε from another, and the clipped x' from one that is not."""
    assert nearest_wrong(FIVE, THIRTY, 0.0) != nearest_wrong(FIVE, THIRTY, 0.1) != nearest_wrong(FIVE, THIRTY, 0.6)
    assert nearest_wrong(FIVE, THIRTY, 0.1, low=-9, high=9) != nearest_wrong(FIVE, THIRTY, 0.1)


def newton_step(theta: Vector, forget: Decoded, retain: Decoded) -> tuple[Vector, Vector]:
    """F = Σ g gᵀ / N over the retain set, and v = (Σ_f g − Σ_r g · N_f / N_r) / (N_f + N_r)."""
    kept, gone = gradients(theta, retain), gradients(theta, forget)
    fisher = kept.T @ kept / len(kept)
    right = (gone.sum(axis=0) - kept.sum(axis=0) * len(gone) / len(kept)) / (len(gone) + len(kept))
    return np.asarray(fisher), np.asarray(right)


def test_influence_is_the_newton_step_with_the_damped_fisher_inverted_directly() -> None:
    retain = random_samples(40, classes=3, seed=10)
    fisher, right = newton_step(THREE, FORGET, retain)
    expected = THREE + 20 * np.linalg.inv(np.eye(len(THREE)) + fisher) @ right
    found = unlearn("influence", THREE, FORGET, retain, strength=20.0, batch_size=16)
    assert np.abs(expected - THREE).max() > 0.3
    assert np.allclose(found, expected, rtol=0, atol=2e-5)


def test_influence_is_what_the_recursion_of_woodfisher_comes_to() -> None:
    """F⁻¹ ← F⁻¹ − F⁻¹ g gᵀ F⁻¹ / (N + gᵀ F⁻¹ g), sample by sample, from the identity (WoodFisher, §3)."""
    retain = random_samples(40, classes=3, seed=11)
    inverse = np.eye(len(THREE))
    for g in gradients(THREE, retain):
        inverse -= np.outer(inverse @ g, g @ inverse) / (40 + g @ inverse @ g)
    _, right = newton_step(THREE, FORGET, retain)
    found = unlearn("influence", THREE, FORGET, retain, strength=20.0)
    assert np.allclose(found, THREE + 20 * inverse @ right, rtol=0, atol=2e-5)


def test_the_fisher_matrix_is_over_a_thousand_retain_samples() -> None:
    """What is looked at is every sample once, for the gradients, and then the same thousand in each iteration."""
    model, retain = Linear(THREE), random_samples(1100, classes=3, seed=12)
    unlearn("influence", THREE, FORGET, retain, model=model)
    first, *more = np.split(np.array(model.looked_at[1103:]), range(1000, len(model.looked_at) - 1103, 1000))
    assert len(first) == influence.FISHER_SAMPLES == 1000
    assert more
    assert all(np.array_equal(first, again) for again in more)


def test_the_learning_rate_of_retraining_is_cut_at_epochs_91_and_136_of_182() -> None:
    rates = [cuts(epoch, 182) for epoch in range(182)]
    assert [epoch for epoch in range(1, 182) if rates[epoch] != rates[epoch - 1]] == [91, 136]
    assert (rates[0], rates[91], rates[136]) == pytest.approx((1, 0.1, 0.01))


def test_the_first_epoch_of_retraining_is_never_cut() -> None:
    assert cuts(0, 1) == cuts(0, 2) == 1
