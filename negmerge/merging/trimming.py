"""TIES' first step: how large a |τ| must be to stay, exactly and in constant memory."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import floor

import numpy as np

from negmerge.checkpoints.tensors import Array

_LOW_BITS = 16


def kept(density: float, size: int) -> int:
    """How many of a task vector's elements stay: ⌊density·size⌋ with the density as written, at least one."""
    return max(1, floor(Fraction(str(density)) * size))


def kth_magnitude(read: Callable[[], Iterable[Array]], k: int) -> np.float32:
    """The k-th largest |τ| over all float32 chunks that ``read`` gives; it is called twice.

    The bit patterns of non-negative float32 are ordered as their values are (IEEE 754), so a histogram of the
    upper halves finds the half of the k-th, and one of the lower halves under it finds the rest.
    """
    high, k = _descend(_histogram(_patterns(tau) >> _LOW_BITS for tau in read()), k)
    low, _ = _descend(_histogram(_lower_halves(_patterns(tau), high) for tau in read()), k)
    return np.uint32(high << _LOW_BITS | low).view(np.float32)


def _patterns(tau: Array) -> Array:
    return np.abs(tau).view(np.uint32)


def _lower_halves(patterns: Array, high: int) -> Array:
    lower: Array = patterns[patterns >> _LOW_BITS == high] & ((1 << _LOW_BITS) - 1)
    return lower


def _histogram(values: Iterable[Array]) -> Array:
    counts = np.zeros(1 << _LOW_BITS, np.int64)
    for chunk in values:
        found = np.bincount(chunk)
        counts[: len(found)] += found
    return counts


def _descend(counts: Array, k: int) -> tuple[int, int]:
    """The bin that holds the k-th value from the top, and which one it is within that bin."""
    from_top = np.cumsum(counts[::-1])
    steps = int(np.searchsorted(from_top, k))
    above = int(from_top[steps - 1]) if steps else 0
    return len(counts) - 1 - steps, k - above
