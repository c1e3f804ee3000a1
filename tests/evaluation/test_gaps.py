"""The average gap to retraining, by hand and on a table of figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.evaluation.gaps import FourFigures, average_gap
from negmerge.evaluation.metrics import Count

# Percentages that somebody else published with their average gap. They are second-hand, and stand here only as sums
# to check the arithmetic by: nothing of ours is compared with them. Order: retain, forget, test, membership, gap.
RETRAINED = (100.00, 94.76, 94.26, 12.88)
SUMS = [
    (99.67, 92.39, 92.83, 37.36, 7.15),
    (99.20, 98.93, 93.20, 2.67, 4.06),
    (99.62, 97.15, 93.93, 14.39, 1.15),
    (99.88, 99.37, 94.06, 2.70, 3.78),
    (97.74, 95.81, 91.59, 9.84, 2.26),
    (99.50, 99.31, 94.01, 1.70, 4.12),
    (98.29, 98.22, 92.69, 8.96, 2.67),
    (99.42, 99.41, 93.85, 7.47, 2.76),
    (99.99, 99.98, 95.04, 2.15, 4.19),
    (99.88, 99.89, 94.42, 9.51, 2.20),
    (98.36, 94.85, 91.49, 10.91, 1.62),
]

figures = st.builds(
    FourFigures, *[st.integers(1, 50).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n)))] * 4
)


def percent(*numbers: float) -> FourFigures:
    """Counts out of 10,000, so that two decimals of a percentage are exact."""
    return FourFigures(*(Count(round(100 * number), 10_000) for number in numbers))


def test_the_example_by_hand() -> None:
    """Differences of 1, 2, 3 and 10 points, in either direction: 16 / 4."""
    assert average_gap(percent(99, 96, 91, 20), percent(100, 94, 94, 10)) == 4.0


def test_samples_of_different_numbers_are_compared_by_share() -> None:
    """1/2, 1/4, 1/5 and 0/1 against 1/4, 1/4, 2/5 and 1/1: (25 + 0 + 20 + 100) / 4."""
    model = FourFigures(Count(1, 2), Count(1, 4), Count(1, 5), Count(0, 1))
    retrained = FourFigures(Count(2, 8), Count(2, 8), Count(2, 5), Count(3, 3))
    assert average_gap(model, retrained) == 36.25


@pytest.mark.parametrize("row", SUMS)
def test_a_published_sum_comes_out_as_printed(row: tuple[float, float, float, float, float]) -> None:
    """To the printed two decimals, in whichever direction a half was rounded."""
    *numbers, printed = row
    assert average_gap(percent(*numbers), percent(*RETRAINED)) == pytest.approx(printed, abs=0.005 + 1e-9)


@given(figures, figures)
def test_the_gap_is_a_distance_in_percentage_points(one: FourFigures, other: FourFigures) -> None:
    assert average_gap(one, one) == 0
    assert average_gap(one, other) == average_gap(other, one)
    assert 0 <= average_gap(one, other) <= 100
