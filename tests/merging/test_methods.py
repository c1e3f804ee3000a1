"""The merge methods, checked against plain restatements in Python numbers and fractions, and by hand."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from negmerge.merging.accumulators import COMPONENTS, mean
from negmerge.merging.partial import Partial
from negmerge.merging.vectors import apply_scale, task_vector
from negmerge.spec import job as spec
from tests.support.task_vectors import (
    BASE,
    METHODS,
    PLAIN,
    SHAPES,
    SIZE,
    flat,
    folded,
    keys,
    same_bits,
    single,
    sweeps,
    vector,
)

# The methods, said again in plain Python.


def plain_mean(values: Sequence[float], count: int) -> np.float32:
    total = sum(round(Fraction(float(np.float32(value))) * 2**50) for value in values)
    return np.float32(float(total) / count * 2.0**-50)


def plain_negmerge(column: Sequence[float], agreement: Fraction) -> np.float32:
    positives = sum(np.float32(value) > 0 for value in column)
    negatives = sum(np.float32(value) < 0 for value in column)
    if max(positives, negatives) < agreement * len(column) or positives == negatives:
        return np.float32(0)
    return plain_mean(column, len(column))


def plain_magmax(column: Sequence[float]) -> np.float32:
    return max([np.float32(0), *map(np.float32, column)], key=lambda value: (abs(value), value))


def plain_ties(taus: Sequence[Sequence[float]], density: Fraction) -> NDArray[np.float32]:
    keep = max(1, int(density * SIZE))
    trimmed = []
    for tau in np.array(taus, np.float32):
        least = sorted(np.abs(tau))[-keep]
        trimmed.append([value if abs(value) >= least else 0.0 for value in map(float, tau)])
    columns = list(zip(*trimmed, strict=True))
    totals = [sum(round(Fraction(value) * 2**50) for value in column) for column in columns]
    signs = [(total > 0) - (total < 0) for total in totals]
    majority = (sum(signs) > 0) - (sum(signs) < 0)
    merged = []
    for column, sign in zip(columns, signs, strict=True):
        elected = [value for value in column if value * (sign or majority) > 0]
        merged.append(plain_mean(elected, len(elected)) if elected else np.float32(0))
    return np.array(merged, np.float32)


@given(taus=sweeps, agreement=st.sampled_from(["1.0", "0.7", "0.55", "0.5", "0.2"]))
def test_negmerge_is_the_mean_where_the_signs_agree(taus: list[list[float]], agreement: str) -> None:
    partial = folded(taus, ["negmerge"], spec.Merge(agreement=float(agreement)))

    expected = [plain_negmerge(column, Fraction(agreement)) for column in zip(*taus, strict=True)]

    assert same_bits(flat(partial.result("negmerge")), np.array(expected, np.float32))


@given(taus=sweeps, share=st.sampled_from(["0.8", "0.55", "0.5"]))
def test_relaxed_is_negmerge_with_a_share_of_its_own(taus: list[list[float]], share: str) -> None:
    partial = folded(taus, ["negmerge", "relaxed"], spec.Merge(agreement=1.0, relaxed=float(share)))

    for method, agreement in (("negmerge", Fraction(1)), ("relaxed", Fraction(share))):
        expected = [plain_negmerge(column, agreement) for column in zip(*taus, strict=True)]
        assert same_bits(flat(partial.result(method)), np.array(expected, np.float32)), method


@given(taus=sweeps)
def test_uniform_is_the_mean(taus: list[list[float]]) -> None:
    expected = [plain_mean(column, len(taus)) for column in zip(*taus, strict=True)]
    assert same_bits(flat(folded(taus, ["uniform"]).result("uniform")), np.array(expected, np.float32))


@given(taus=sweeps)
def test_magmax_is_the_largest_magnitude_and_the_positive_of_two(taus: list[list[float]]) -> None:
    expected = [plain_magmax(column) for column in zip(*taus, strict=True)]
    assert same_bits(flat(folded(taus, ["magmax"]).result("magmax")), np.array(expected, np.float32))


@given(taus=sweeps, density=st.sampled_from(["0.05", "0.2", "0.5", "0.9", "1.0"]))
def test_ties_trims_elects_and_averages(taus: list[list[float]], density: str) -> None:
    partial = folded(taus, ["ties"], spec.Merge(density=float(density)))
    assert same_bits(flat(partial.result("ties")), plain_ties(taus, Fraction(density)))


@given(taus=sweeps, data=st.data())
def test_task_arithmetic_is_the_best_single_point(taus: list[list[float]], data: st.DataObject) -> None:
    ranks = data.draw(st.lists(keys, min_size=len(taus), max_size=len(taus)))
    partial = Partial(["task_arithmetic"], BASE, PLAIN)
    for i in data.draw(st.permutations(range(len(taus)))):
        partial.add(i, vector(taus[i]), single(i, ranks[i]))

    best = min(range(len(taus)), key=lambda i: (ranks[i], i))

    assert same_bits(flat(partial.result("task_arithmetic")), np.array(taus[best], np.float32))


def test_the_published_algorithm_gives_the_same_mask_and_the_same_mean_within_rounding() -> None:
    generator = np.random.default_rng(0)
    taus = (generator.standard_normal((12, SIZE)) * 1e-3 + 1e-3).astype(np.float32)
    taus[3, 0] = 0  # one run left this element alone
    signs = np.sign(taus).sum(0)
    published = np.where(np.abs(signs) == 12, taus.sum(0) / np.float32(12), 0)

    merged = flat(folded(taus.tolist(), ["negmerge"]).result("negmerge"))

    assert ((merged != 0) == (published != 0)).all()
    np.testing.assert_allclose(merged, published, rtol=1e-6)


# Hand-worked: four points on SHAPES' first elements.


def test_an_element_that_one_point_left_untouched_is_not_in_the_consensus() -> None:
    taus = [[0.5, 0.5, 0.0, -0.0] + [0.0] * 7, [0.25, 0.0, 0.0, -1.0] + [0.0] * 7]
    assert flat(folded(taus).result("negmerge")).tolist() == [0.375] + [0.0] * 10


def test_half_against_half_is_no_consensus_however_little_agreement_is_asked_for() -> None:
    taus = [[1.0] * SIZE, [-0.5] * SIZE]
    assert not flat(folded(taus, ["negmerge"], spec.Merge(agreement=0.5)).result("negmerge")).any()


def test_a_share_of_agreement_is_taken_as_it_is_written() -> None:
    # 0.55 · 20 is 11 on paper and a little more in binary: 11 of 20 must do.
    taus = [[1.0] * SIZE] * 11 + [[-1.0] * SIZE] * 9
    merged = folded(taus, ["negmerge"], spec.Merge(agreement=0.55)).result("negmerge")
    assert np.allclose(flat(merged), 0.1)


def test_relaxed_keeps_what_four_of_five_agree_on_where_negmerge_wants_all_five() -> None:
    # By element: five agree, four (the mean is over all five), four beside one that left it, three.
    taus = [[0.5, 0.5, 0.5, 0.5] + [0.0] * 7] * 3
    taus += [[0.5, 0.5, 0.5, -0.5] + [0.0] * 7, [0.5, -0.5, 0.0, -0.5] + [0.0] * 7]
    partial = folded(taus, ["negmerge", "relaxed"], spec.Merge(relaxed=0.8))
    assert np.allclose(flat(partial.result("relaxed")), [0.5, 0.3, 0.4] + [0.0] * 8)
    assert flat(partial.result("negmerge")).tolist() == [0.5] + [0.0] * 10


def test_an_elected_sign_of_zero_takes_the_majority_sign() -> None:
    # First element: +1 and −1 cancel out; the others elect minus, so the −1 stays.
    taus = [[1.0] + [-0.5] * 10, [-1.0] + [-0.5] * 10]
    merged = folded(taus, ["ties"], spec.Merge(density=1.0)).result("ties")
    assert flat(merged).tolist() == [-1.0] + [-0.5] * 10


def test_without_a_majority_an_elected_sign_of_zero_stays_zero() -> None:
    taus = [[1.0, 0.5, -0.5] + [0.0] * 8, [-1.0, 0.5, -0.5] + [0.0] * 8]
    merged = folded(taus, ["ties"], spec.Merge(density=1.0)).result("ties")
    assert flat(merged).tolist() == [0.0, 0.5, -0.5] + [0.0] * 8


def test_signs_are_counted_before_quantising() -> None:
    # Both are below half a step, so both sums are 0; the signs agree all the same.
    taus = [[1e-20] * SIZE, [1e-20] * SIZE]
    assert folded(taus, ["negmerge"]).consensus().share == 1.0


def test_the_consensus_is_told_by_tensor_and_over_all() -> None:
    taus = [[1, 1, 1, -1, 0, 1, 1, -1, 1, 1, 1], [1, 1, -1, -1, 0, 1, 1, -1, -1, 1, -1]]
    expected = {"visual.w": 4 / 6, "visual.b": 3 / 4, "visual.scale": 0.0, "visual.none": 0.0}
    told = folded(taus).consensus()
    assert (told.share, told.tensors) == (7 / 11, expected)
    assert told.elements == {"visual.w": 6, "visual.b": 4, "visual.scale": 1, "visual.none": 0}


def test_the_consensus_counts_the_elements_by_how_many_points_move_them_one_way() -> None:
    # None moves the first; then 1 : 1, 2 : 1, 3 : 0 and 0 : 2, and six that all three move.
    taus = [[0, 1, 1, 1, 0] + [1] * 6, [0, -1, 1, 1, -1] + [1] * 6, [0, 0, -1, 1, -1] + [1] * 6]
    told = folded(taus, merge=spec.Merge(agreement=0.6)).consensus()
    assert (told.counts, told.needed) == ([1, 1, 2, 7], 2)
    assert told.share == 9 / 11


@given(row=st.lists(st.tuples(st.floats(2**-20, 4, width=32), st.floats(-1, 1, width=32)), min_size=11, max_size=11))
def test_one_point_is_task_arithmetic(row: list[tuple[float, float]]) -> None:
    theta_0 = vector([base for base, _ in row])
    theta = {name: theta_0[name] * (1 + step) for name, step in vector([step for _, step in row]).items()}
    tau = task_vector(theta, theta_0, list(SHAPES))
    partial = Partial(METHODS, BASE, spec.Merge(density=1.0))
    partial.add(0, tau, single(0))

    for method in METHODS:
        merged = partial.result(method)
        for name, plain in tau.items():
            assert torch.equal(merged[name], plain)
            assert torch.equal(apply_scale(theta_0[name], merged[name], 0.3), theta_0[name] - plain * 0.3)


# Exactness.


@given(tau=st.floats(-7.875, 7.875, width=32))
def test_a_task_vector_is_quantised_to_the_nearest_step_half_to_even(tau: float) -> None:
    total = np.array([3])
    COMPONENTS["sum"].fold(total, np.array([tau], np.float32))
    assert int(total[0]) == 3 + round(Fraction(tau) * 2**50)


@given(total=st.integers(-(2**63) + 1, 2**63 - 1), count=st.integers(1, 1023))
def test_a_mean_is_rounded_as_the_design_says(total: int, count: int) -> None:
    expected = np.float32(float(total) / count * 2.0**-50)
    assert mean(np.array([total]), count)[0].tobytes() == expected.tobytes()


@pytest.mark.slow
def test_the_largest_sweep_of_the_largest_values_does_not_overflow() -> None:
    largest = float(np.nextafter(np.float32(8), np.float32(0)))
    partial = Partial(["negmerge", "ties"], {"w": torch.zeros(2)}, spec.Merge(density=1.0))
    for i in range(1023):
        partial.add(i, {"w": torch.tensor([largest, -largest])})
    assert partial.result("negmerge")["w"].tolist() == [largest, -largest]
    assert partial.result("ties")["w"].tolist() == [largest, -largest]


def test_a_sum_that_float32_would_lose_is_kept() -> None:
    taus = [[7.0] * SIZE, [2.0**-30] * SIZE, [-7.0] * SIZE]
    assert flat(folded(taus, ["uniform"]).result("uniform")).tolist() == [float(np.float32(2.0**-30 / 3))] * SIZE
