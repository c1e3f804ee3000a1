"""How timings are told."""

import statistics
from collections.abc import Sequence


def spread(seconds: Sequence[float], unit: str = "s") -> str:
    """Median with minimum and maximum, and how many runs."""
    middle = statistics.median(seconds)
    return f"{middle:.3g} {unit} ({min(seconds):.3g}–{max(seconds):.3g}, n = {len(seconds)})"


def ratios(ours: Sequence[float], others: Sequence[float]) -> list[float]:
    """How many times as long the others took, run by run: both took turns, so each pair saw the same machine."""
    return [other / own for own, other in zip(ours, others, strict=True)]


def against(value: float, target: float, *, at_most: bool = False) -> str:
    """A target beside what was measured. A time that misses it is said, and fails nothing."""
    met = value <= target if at_most else value >= target
    return f"target {'≤' if at_most else '≥'} {target:g}: {'met' if met else 'MISSED'}"
