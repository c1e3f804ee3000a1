"""Task vectors: which tensors take part, τ = θᵢ − θ₀, and θ* = θ₀ − λ τ* (``docs/method.md``).

All arithmetic is float32 on the CPU, whatever the storage type. ``apply_scale`` is the one way from a merged
vector to weights, used by search, test and file alike.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from negmerge.checkpoints.tensors import Array, float32, is_finite
from negmerge.errors import DivergedError, MergeError, TensorError
from negmerge.formats.scaling import apply_float32

TaskVector = dict[str, Tensor]
"""τ: float32 CPU tensors by name, in θ₀'s state-dict order, of those tensors that take part."""

LIMIT = 8.0
"""A point with a |τ| of this or more has diverged; below it, no exact sum of a sweep overflows."""


def task_vector(tuned: Mapping[str, Tensor], base: Mapping[str, Tensor], names: Sequence[str]) -> TaskVector:
    """τ = f32(θᵢ) − f32(θ₀) for ``names``, in their order; float32 on the CPU.

    Raises TensorError where a tensor is missing or of another shape than in θ₀.
    """
    vector = {}
    for name in names:
        if name not in tuned:
            raise TensorError(name, "is missing from the fine-tuned model")
        theta, theta_0 = tuned[name], base[name]
        if theta.shape != theta_0.shape:
            raise TensorError(name, f"has the shape {list(theta.shape)}, the base model's is {list(theta_0.shape)}")
        tau = float32(theta.detach().cpu()) - float32(theta_0.detach().cpu())
        vector[name] = torch.from_numpy(np.asarray(tau))
    return vector


def check(vector: TaskVector) -> None:
    """Raise DivergedError, which names the tensor, where a τ is not finite or |τ| ≥ 8."""
    for name, tau in vector.items():
        if reaches_limit(tau.numpy()):
            raise DivergedError(f"tensor {name!r}: a |τ| is {LIMIT:g} or more, or not finite; the point diverged")


def reaches_limit(tau: Array) -> bool:
    """True where any |τ| ≥ 8, or any τ is NaN or infinite."""
    return not (tau.max(initial=0) < LIMIT and tau.min(initial=0) > -LIMIT)  # a NaN fails both


def apply_scale(base: Tensor, merged: Tensor, scale: float) -> Tensor:
    """θ = cast(f32(θ₀) − λ·τ*), of θ₀'s shape, dtype, device and memory layout.

    In float32, a multiplication and then a subtraction: never ``alpha=`` nor a fused form, whose bits depend
    on the kernel. Where τ* = 0 or λ = 0 the bits of θ₀ are copied, −0.0 and all.
    """
    if scale == 0:
        return base.clone()
    if base.dtype is torch.float32 and base.device.type == "cpu":
        theta = torch.empty_like(base)
        apply_float32(
            base.detach().numpy(), merged.detach().numpy(), scale, out=theta.numpy()
        )  # a third of torch's time
        return theta
    moved = base.to(torch.float32) - merged * scale
    return base.clone().copy_(torch.where(merged == 0, base, moved.to(base.dtype)))


def unlearned(base: Mapping[str, Tensor], merged: TaskVector, scale: float) -> dict[str, Tensor]:
    """θ*: every tensor of θ₀, those of τ* moved by ``apply_scale``, all others copied.

    Raises TensorError where τ* has a tensor that θ₀ has not, or where a tensor leaves its type's range, and
    MergeError for a scale that is not finite.
    """
    if not math.isfinite(scale):
        raise MergeError(f"the scale is {scale}: give a finite number")
    for name, tau in merged.items():
        if name not in base or base[name].shape != tau.shape:
            raise TensorError(name, "of the merged vector is not in the base model, or has another shape there")
    theta = {}
    for name, theta_0 in base.items():
        theta[name] = apply_scale(theta_0, merged[name], scale) if name in merged else theta_0.clone()
        if name in merged and not is_finite(theta[name]):
            raise TensorError(name, f"leaves the range of {theta_0.dtype} at scale {scale:g}; use a smaller one")
    return theta


def rounded_away(base: Mapping[str, Tensor], merged: TaskVector, scale: float) -> float:
    """Share of Σ|λτ*| on elements where rounding to a 16-bit type gave θ₀ back; 0.0 without such types."""
    total = swallowed = 0.0
    for name, tau in merged.items():
        weight = tau.abs().to(torch.float64)
        total += float(weight.sum())
        if base[name].dtype.itemsize == 2:
            same = apply_scale(base[name], tau, scale) == base[name]
            swallowed += float((weight * same).sum())
    return swallowed / total if total and scale else 0.0
