"""How timings are told."""

import statistics
from collections.abc import Sequence


def spread(seconds: Sequence[float], unit: str = "s") -> str:
    """Median with minimum and maximum, and how many runs."""
    middle = statistics.median(seconds)
    return f"{middle:.3g} {unit} ({min(seconds):.3g}–{max(seconds):.3g}, n = {len(seconds)})"
