"""Wilson's interval against its own equation, and the spread over repeats."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.evaluation.metrics import Count
from negmerge.spec.figures import Spread
from negmerge.spec.intervals import spread, wilson

TWO_DEVIATIONS = math.erf(2 / math.sqrt(2))
"""The confidence at which z = 2, so that the examples work out on paper."""

counts = st.integers(1, 5_000).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n)))
confidences = st.floats(0.5, 0.999)


def deviation(confidence: float) -> float:
    """z by bisection of the error function, with nothing of the code under test."""
    low, high = 0.0, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle / math.sqrt(2)) < confidence else (low, middle)
    return low


@pytest.mark.parametrize(
    ("correct", "low", "high"),
    [
        (0, 0, 1 / 4),  # z² / (n + z²) = 4 / 16
        (6, 1 / 4, 3 / 4),  # ½ ± 3/2 · √(¼/12 + 1/144) = ½ ± 3/2 · √(4/144)
        (12, 3 / 4, 1),
    ],
)
def test_the_interval_by_hand_at_two_deviations_of_twelve_samples(correct: int, low: float, high: float) -> None:
    assert wilson(correct, 12, TWO_DEVIATIONS) == pytest.approx((low, high), abs=1e-12)


def test_the_default_is_95_percent() -> None:
    """5 of 10 with z = 1.959964: ½ ± 1.959964 / 1.384146 · √(0.025 + 0.009604) = ½ ± 0.263407."""
    assert wilson(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)


@given(counts, confidences)
def test_the_ends_are_the_roots_of_the_defining_quadratic(count: Count, confidence: float) -> None:
    """(p̂ − p)² = z² p (1 − p) / n, that is (n + z²) p² − (2 n p̂ + z²) p + n p̂² = 0."""
    n, share, squared = count.count, count.correct / count.count, deviation(confidence) ** 2
    roots = sorted(np.roots([n + squared, -(2 * n * share + squared), n * share**2]).real.tolist())
    assert wilson(count.correct, count.count, confidence) == pytest.approx(roots, abs=1e-7)


@given(counts, confidences)
def test_the_interval_lies_within_0_and_1_and_holds_the_share(count: Count, confidence: float) -> None:
    low, high = wilson(count.correct, count.count, confidence)
    assert 0 <= low <= count.accuracy <= high <= 1
    assert low < high


@given(counts)
def test_the_wrong_ones_have_the_mirrored_interval(count: Count) -> None:
    low, high = wilson(count.correct, count.count)
    assert wilson(count.count - count.correct, count.count) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_none_of_n_begins_at_exactly_0_and_has_a_width() -> None:
    for n in range(1, 200):
        low, high = wilson(0, n)
        assert low == 0
        assert 0 < high < 1


def test_all_of_n_end_at_exactly_1_and_have_a_width() -> None:
    for n in range(1, 200):
        low, high = wilson(n, n)
        assert 0 < low < 1
        assert high == 1


def test_more_samples_narrow_the_interval() -> None:
    widths = [interval.high - interval.low for interval in (wilson(n // 4, n) for n in (8, 80, 800, 8000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_what_is_no_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        wilson(1, 2, confidence)


def test_the_spread_by_hand() -> None:
    """1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, over n − 1 = 2."""
    assert spread([1.0, 2.0, 6.0]) == Spread(mean=3.0, deviation=math.sqrt(7), repeats=3)


def test_a_single_run_has_no_spread() -> None:
    assert spread([0.5]) == Spread(mean=0.5, deviation=None, repeats=1)


def test_equal_runs_have_a_spread_of_0() -> None:
    assert spread([0.1] * 3).deviation == 0


def test_no_runs_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no repeats"):
        spread([])
