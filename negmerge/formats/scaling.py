"""θ₀ − λ·τ* over elements as weights files hold them, in numpy: the bits of ``merging.vectors.apply_scale``. No torch.

The front door gives a job's weights at another λ with it, and the library uses it for float32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from negmerge.errors import TensorError

Array = NDArray[Any]

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types of tensors that may take part, as numpy has them; of BF16, which it has not, the bits."""


def scaled(name: str, dtype: str, base: bytes, merged: bytes, scale: float) -> bytes:
    """Elements of a tensor at a scale: cast(f32(θ₀) − λ·τ*), and θ₀'s bits where τ* = 0 or λ = 0.

    dtype: the tensor's own, one of ``FLOATS``. base: its elements as its file has them; merged: as many of τ*, float32;
    both little-endian. Raises TensorError where an element leaves the type's range.
    """
    if scale == 0:
        return base
    tau, theta_0 = np.frombuffer(merged, "<f4"), np.frombuffer(base, FLOATS[dtype])
    if dtype == "F32":
        theta = np.empty_like(tau)
        apply_float32(theta_0, tau, scale, out=theta)
        finite = np.isfinite(theta)
    else:
        with np.errstate(all="ignore"):  # what leaves the range is found below
            moved = _float32(theta_0, dtype) - tau * np.float32(scale)
            theta = np.where(tau == 0, theta_0, _stored(moved, dtype))
            finite = np.isfinite(_float32(theta, dtype))
    if not finite.all():
        raise TensorError(name, f"leaves the range of {dtype} at scale {scale:g}; use a smaller one")
    return theta.tobytes()


def transposed(dtype: str, matrix: bytes, rows: int) -> bytes:
    """A matrix with its columns as rows. rows: how many it has itself; dtype: one of ``FLOATS``."""
    return np.frombuffer(matrix, FLOATS[dtype]).reshape(rows, -1).T.tobytes()


def apply_float32(base: Array, merged: Array, scale: float, out: Array) -> None:
    """θ₀ − λ·τ* into ``out``; all float32 and of one shape. A multiplication and then a subtraction, never fused."""
    with np.errstate(all="ignore"):  # what leaves the range is for the caller to find
        np.multiply(merged, np.float32(scale), out=out)
        np.subtract(base, out, out=out)
    # A masked copy is slow where it copies: this one has only the few elements that went from −0.0 to 0.0.
    np.copyto(out, base, where=(out.view(np.int32) != base.view(np.int32)) & (merged == 0))


def _float32(values: Array, dtype: str) -> Array:
    if dtype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def _stored(values: Array, dtype: str) -> Array:
    """float32 as the type, rounded to the nearest, of two the even one."""
    if dtype != "BF16":
        return values.astype(FLOATS[dtype])
    bits = values.view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> 16) & 1)
    return np.where(np.isfinite(values), (bits + half) >> 16, bits >> 16).astype(np.uint16)
