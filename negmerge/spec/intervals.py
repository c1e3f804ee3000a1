"""How sure a figure is: an interval for one count, and the spread over repeats."""

import statistics
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from negmerge.spec.figures import Spread


class ConfidenceInterval(NamedTuple):
    """Both ends belong to it; for a share 0 ≤ low ≤ high ≤ 1."""

    low: float
    high: float


def wilson(correct: int, count: int, confidence: float = 0.95) -> ConfidenceInterval:
    """Wilson's score interval for the share that these samples estimate: how much the choice of samples matters.

    It holds each share p that a two-sided score test does not reject, |p̂ − p| ≤ z √(p (1 − p) / n), which is a
    quadratic in p. So it stays within [0, 1] and has a width at 0 of n and n of n too. Another training run's
    luck is not in it: that is what repeats are for.

    confidence: in (0, 1); else a ValueError. Source: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", JASA 22 (1927) 209–212.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, and {confidence} does not")
    share = correct / count
    squared = statistics.NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = sqrt(squared) / (1 + squared / count) * sqrt(share * (1 - share) / count + squared / (4 * count * count))
    # At the ends the root is 0 or 1 exactly, which the rounding of centre ∓ half would miss by a hair.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == count else min(1.0, centre + half)
    return ConfidenceInterval(low, high)


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample deviation (divisor n − 1) of the same figure over repeats; a ValueError where there are none.

    There is no deviation of a single value: one run says nothing about the next.
    """
    if not values:
        raise ValueError("no repeats, no spread")
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean=statistics.fmean(values), deviation=deviation, repeats=len(values))
