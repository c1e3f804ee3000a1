"""How far rounding to a type of few digits may have moved what is stored in it."""

import math

import numpy as np
import torch

from negmerge.checkpoints.tensors import Array

ALL_DIGITS = 23
"""Of float32."""
_FRACTION = 2**ALL_DIGITS - 1
SAMPLE = 1024
"""Elements whose values tell whether a tensor has more than a few."""
_FEWEST_SHARED = 8
"""Types of few digits leave 13 and more of float32's at 0, and so many is no chance."""
FEWEST_DISTINCT = 32
"""Values; a tensor with fewer has just a few numbers."""


def digits(dtype: torch.dtype) -> int:
    """The binary digits of a type's numbers behind the first, as far as float32 keeps them: all is computed in that."""
    return min(round(-math.log2(torch.finfo(dtype).eps)), ALL_DIGITS)


def deviations(values: Array, dtype: torch.dtype) -> Array:
    """The standard deviation of what rounding to ``dtype`` did to each value: u/√12, u the step of the type there.

    values: float32 that ``dtype`` can hold. Returns float64, as long.
    """
    info = torch.finfo(dtype)
    _, exponents = np.frexp(np.maximum(np.abs(values), np.float32(info.tiny)))
    steps: Array = np.ldexp(info.eps / np.sqrt(12), exponents - 1)
    return steps


def digits_kept(values: Array) -> int:
    """The binary digits behind the first that the values really use: of float32 that came out of BF16, seven.

    values: float32. A few numbers that happen to be short, such as a layer of ones, say nothing: then it is all 23.
    """
    bits = values.reshape(-1).view(np.uint32)
    if digits_of(int(np.bitwise_or.reduce(bits[:SAMPLE], initial=0)), True) == ALL_DIGITS:
        return ALL_DIGITS
    several = np.unique(bits[:SAMPLE]).size >= FEWEST_DISTINCT
    return digits_of(int(np.bitwise_or.reduce(bits, initial=0)), several)


def digits_of(every: int, several: bool) -> int:
    """As ``digits_kept``. every: the bits that any of the values has; several: whether they are not just a few."""
    fraction = every & _FRACTION
    shared = ALL_DIGITS if fraction == 0 else (fraction & -fraction).bit_length() - 1
    return ALL_DIGITS - shared if several and shared >= _FEWEST_SHARED else ALL_DIGITS


def deviations_at(values: Array, kept: int) -> Array:
    """As ``deviations``, of values that have so many digits behind the first."""
    _, exponents = np.frexp(values)
    steps: Array = np.ldexp(2.0**-kept / np.sqrt(12), exponents - 1)
    steps *= values != 0
    return steps


def holds(dtype: torch.dtype, values: Array) -> bool:
    """Whether rounding to ``dtype`` would change none of the float32 values."""
    given = torch.from_numpy(values)
    return torch.equal(given.to(dtype).to(torch.float32), given)
