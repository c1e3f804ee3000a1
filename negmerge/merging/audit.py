"""What a merge of files must not be silent about: what rounding took and brought, and models that were given twice.

A job trains its own points in float32, from the base model itself; files come as others saved them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from negmerge.checkpoints.tensors import Array, raw_bytes
from negmerge.merging.rounding import ALL_DIGITS, deviations, deviations_at, digits, digits_kept, holds
from negmerge.merging.twins import BASE, Twins, key
from negmerge.spec.caveats import TOLERABLE

_IMPOSSIBLE = 1.05
"""A change of so much less than rounding the base model would have made has not been made by that."""


@dataclass(frozen=True)
class Tally:
    """Sums over elements, of a piece or of the whole merge.

    changed: elements that are not θ₀'s. size: Σ|τ*|. lost: the part of it on elements where θ₀ came back.
    square: Σ(τ*)². tuned_noise, base_noise: the most of it that may be due to the fine-tuned models' digits, or to the
    base model's, where one has fewer than the other; else 0. both_noise: where both have few, and equally many.
    """

    changed: int = 0
    size: float = 0.0
    lost: float = 0.0
    square: float = 0.0
    tuned_noise: float = 0.0
    base_noise: float = 0.0
    both_noise: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.changed + other.changed,
            self.size + other.size,
            self.lost + other.lost,
            self.square + other.square,
            self.tuned_noise + other.tuned_noise,
            self.base_noise + other.base_noise,
            self.both_noise + other.both_noise,
        )

    def share_of_noise(self, noise: float) -> float:
        """The norm of a noise in units of τ*'s."""
        return float(np.sqrt(noise / self.square)) if self.square else 0.0

    @property
    def rounded_away(self) -> float:
        """Share of Σ|τ*| on elements where θ₀ came back."""
        return self.lost / self.size if self.size else 0.0


class Look:
    """A look at one piece of all models while it is merged."""

    def __init__(self, theta_0: Array, dtype: torch.dtype, twins: Twins) -> None:
        """theta_0: float32, any shape, of the type ``dtype`` in its file.

        ``keys``: the number of each model whose vector is compared with the others' → its vector's key; θ₀'s is 0.
        """
        self.keys = {BASE: 0}
        self._theta_0, self._dtype, self._twins = theta_0, dtype, twins
        self._models = 0
        self._kept = digits_kept(theta_0)
        self._tuned_noise: Array | None = None
        self._both_noise: Array | None = None
        self._rounded_base = 0
        self._base_noise = partial(deviations, dtype=dtype)

    def at_model(self, theta: Array, dtype: torch.dtype) -> None:
        """A fine-tuned model's piece as float32, of the type ``dtype`` in its file."""
        self._models += 1
        if digits(dtype) < digits(self._dtype) and not holds(dtype, self._theta_0):
            # Models that differ by less than the type can tell are rounded alike, so their errors add up.
            self._tuned_noise = _added(self._tuned_noise, deviations(theta, dtype))
        elif digits(self._dtype) < digits(dtype) and not holds(self._dtype, theta):
            self._rounded_base += 1
        else:
            self._at_digits(theta, digits_kept(theta))

    def _at_digits(self, theta: Array, kept: int) -> None:
        """The same by the digits that the values really have, whatever type they were stored in at last."""
        if kept < self._kept:
            self._tuned_noise = _added(self._tuned_noise, deviations_at(theta, kept))
        elif self._kept < kept:
            self._rounded_base += 1
            self._base_noise = partial(deviations_at, kept=self._kept)
        elif kept < ALL_DIGITS:
            self._both_noise = _added(self._both_noise, deviations_at(theta, kept))

    def at_vector(self, tau: Array) -> None:
        """The same model's τ."""
        if self._twins.alike(self._models):
            self.keys[self._models] = key(tau)

    def tally(self, theta_0: Tensor, theta: Tensor, merged: Array) -> Tally:
        """theta_0, theta: of θ₀'s type; merged: τ*, float32; all flat."""
        same, moved = _bits(theta) == _bits(theta_0), merged != 0
        sizes = np.abs(merged)
        size, lost = float(sizes.sum()), float(sizes[same & moved].sum())
        square = float(np.square(sizes, out=sizes).sum())
        return Tally(same.size - int(np.count_nonzero(same)), size, lost, square, *self._noises(moved))

    def _noises(self, moved: Array) -> tuple[float, float, float]:
        """The squared norms of what rounding the fine-tuned models, the base model, or both, may have done to τ*."""
        tuned = base = both = 0.0
        if self._tuned_noise is not None:
            tuned = float(np.square(self._tuned_noise[moved] / self._models).sum())
        if self._rounded_base:
            share = self._rounded_base / self._models
            base = float(np.square(share * self._base_noise(self._theta_0[moved])).sum())
        if self._both_noise is not None:
            both = float(np.square(self._both_noise[moved] / self._models).sum())
            both += float(np.square(deviations_at(self._theta_0[moved], self._kept)).sum())
        return tuned, base, both


def noise_at(kept: int, powers: float) -> float:
    """The square of what rounding to so many digits may have done. powers: Σ of the squared powers of two below."""
    return float((deviations_at(np.ones(1, np.float32), kept)[0]) ** 2 * powers)


def _added(noise: Array | None, more: Array) -> Array:
    return more if noise is None else noise + more


def _bits(values: Tensor) -> Array:
    """The elements as whole numbers, for numpy: it has no bfloat16, and torch would start threads in each of ours."""
    return np.frombuffer(raw_bytes(values), f"u{values.element_size()}")


def doubts(
    total: Tally, scale: float, twins: Sequence[Sequence[int]], names: Sequence[str], base_type: str, tuned_type: str
) -> list[str]:
    """What a person must know before using the merge.

    twins: models that are equal; names: all models, the base first; base_type, tuned_type: the narrowest types of the
    tensors that take part, in the format's words.
    """
    found = []
    for group in twins:
        called = [names[model] for model in group if model != BASE]
        if BASE in group:
            found += [
                f"{name} is the base model: a model that left everything as it was agrees with none" for name in called
            ]
        else:
            found.append(f"{' and '.join(called)} are the same model: it counts {len(called)} times")
    if total.changed == 0:
        found.append(f"the result is the base model, {_why_unchanged(total, scale)}: nothing was unlearned")
    elif total.rounded_away > TOLERABLE:
        found.append(
            f"{100 * total.rounded_away:.1f} % of the change is lost in rounding to the base model's {base_type}: "
            "save the base model as F32 first, and merge into that"
        )
    noise = total.share_of_noise(total.tuned_noise)
    if noise > TOLERABLE:
        as_they_are = f"hold numbers of fewer digits than {base_type} has"
        told = f"are {tuned_type}, the base model is {base_type}" if tuned_type != base_type else as_they_are
        found.append(
            f"the fine-tuned models {told}: rounding them makes up to "
            f"{100 * min(noise, 1):.0f} % of the change (by its norm): give them in the type that they were trained in"
        )
    noise = total.share_of_noise(total.base_noise)
    if TOLERABLE < noise < _IMPOSSIBLE:
        as_it_is = f"holds numbers of fewer digits than {tuned_type} has"
        told = f"is {base_type}, the fine-tuned ones are wider" if tuned_type != base_type else as_it_is
        found.append(
            f"the base model {told}: if it was rounded after they began from "
            f"it, that makes up to {100 * min(noise, 1):.0f} % of the change (by its norm): give the base model that "
            "they began from"
        )
    noise = total.share_of_noise(total.both_noise)
    if noise > TOLERABLE:
        found.append(
            "the base model and the fine-tuned ones all hold numbers of few digits: if they were rounded after "
            f"training, that makes up to {100 * min(noise, 1):.0f} % of the change (by its norm): give all as they "
            "were trained"
        )
    return found


def _why_unchanged(total: Tally, scale: float) -> str:
    if scale == 0:
        return "because the scale is 0"
    if total.size == 0:
        return "because the merged task vector is zero"
    return "because rounding to its type takes all of the change back"
