"""How far rounding to a type of few digits may have moved what is stored in it."""

import math

import numpy as np
import torch

from negmerge.checkpoints.tensors import Array

_DIGITS_OF_FLOAT32 = 23


def digits(dtype: torch.dtype) -> int:
    """The binary digits of a type's numbers behind the first, as far as float32 keeps them: all is computed in that."""
    return min(round(-math.log2(torch.finfo(dtype).eps)), _DIGITS_OF_FLOAT32)


def deviations(values: Array, dtype: torch.dtype) -> Array:
    """The standard deviation of what rounding to ``dtype`` did to each value: u/√12, u the step of the type there.

    values: float32 that ``dtype`` can hold. Returns float64, as long.
    """
    info = torch.finfo(dtype)
    _, exponents = np.frexp(np.maximum(np.abs(values), np.float32(info.tiny)))
    steps: Array = np.ldexp(info.eps / np.sqrt(12), exponents - 1)
    return steps


def holds(dtype: torch.dtype, values: Array) -> bool:
    """Whether rounding to ``dtype`` would change none of the float32 values."""
    given = torch.from_numpy(values)
    return torch.equal(given.to(dtype).to(torch.float32), given)
