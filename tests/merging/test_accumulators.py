"""Components by themselves: what one τ adds to a total, exactly, where a whole merge would seldom show it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.merging.accumulators import COMPONENTS


def sum_after(total: int, tau: float) -> int:
    """The fixed-point sum ``total``, in steps of 2⁻⁵⁰, when a float32 τ was added."""
    sums = np.array([total], np.int64)
    COMPONENTS["sum"].fold(sums, np.array([tau], np.float32))
    return int(sums[0])


@pytest.mark.parametrize(
    ("steps", "expected"), [(0.5, 0), (0.75, 1), (1.5, 2), (2.5, 2), (-0.5, 0), (-0.75, -1), (-1.5, -2), (-2.5, -2)]
)
def test_a_part_of_a_step_is_rounded_to_the_nearest_and_a_half_to_even(steps: float, expected: int) -> None:
    assert sum_after(0, steps * 2.0**-50) == expected


@given(tau=st.floats(-(2.0**-40), 2.0**-40, width=32))
def test_a_tiny_tau_is_rounded_to_the_nearest_step(tau: float) -> None:
    assert sum_after(3, tau) == 3 + round(Fraction(tau) * 2**50)


def test_a_single_step_is_not_lost_in_a_sum_that_a_double_could_not_hold() -> None:
    assert sum_after(2**60 + 1, 2.0**-50) == 2**60 + 2
