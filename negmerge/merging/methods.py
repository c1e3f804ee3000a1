"""The merge: how the task vectors of a sweep become one, τ*. Read this first.

NegMerge (Kim, Han, Choe, ICML 2025): fine-tune many times on the forget set, keep only those weight changes
on whose sign every run agrees, average them, subtract the result: θ* = θ₀ − λ τ* (``vectors.apply_scale``).

Each method below says what it adds up (its ``components``, from ``accumulators``) and what it makes of that;
``partial`` adds up. Another method is one class here.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

import numpy as np

from negmerge.checkpoints.tensors import Array
from negmerge.errors import MergeError
from negmerge.merging.accumulators import State, mean
from negmerge.spec import job as spec


class Method(ABC):
    """A merge method, element by element: which components it adds up, and τ* from them."""

    components: ClassVar[tuple[str, ...]]

    def balance(self, state: State) -> int:
        """A figure that ``merge`` needs of the whole model: this is summed over all of it beforehand."""
        return 0

    @abstractmethod
    def merge(self, state: State, points: int, balance: int) -> Array:
        """τ* as flat float32, from the components of ``points`` task vectors."""


@dataclass(frozen=True)
class NegMerge(Method):
    """The mean where all points agree on the sign, 0 elsewhere. sign(0) = 0: who left an element, disagrees.

    agreement: the share of the points that must agree, 1 as published.
    """

    components = ("positives", "negatives", "sum")  # the sum last: it drives τ from a core's cache
    agreement: float = 1.0

    def consensus(self, state: State, points: int) -> Array:
        """Where max(P, M) ≥ ⌈agreement·N⌉ and P ≠ M; boolean."""
        needed = ceil(Fraction(str(self.agreement)) * points)
        positives, negatives = state["positives"], state["negatives"]
        agreed: Array = (np.maximum(positives, negatives) >= needed) & (positives != negatives)
        return agreed

    def merge(self, state: State, points: int, balance: int) -> Array:
        return self.kept(state, self.consensus(state, points), points)

    def kept(self, state: State, consensus: Array, points: int) -> Array:
        """τ*, flat float32, where ``consensus`` (boolean, as long) is known already."""
        merged = mean(state["sum"], points)
        np.multiply(merged, consensus, out=merged)
        merged += np.float32(0)  # a negative mean times 0 is −0.0: now 0.0, and nothing else changes
        return merged


@dataclass(frozen=True)
class Uniform(Method):
    """The plain mean."""

    components = ("sum",)

    def merge(self, state: State, points: int, balance: int) -> Array:
        return mean(state["sum"], points)


@dataclass(frozen=True)
class MagMax(Method):
    """The value of largest magnitude, of two equal ones the positive (Marczak et al., ECCV 2024)."""

    components = ("largest",)

    def merge(self, state: State, points: int, balance: int) -> Array:
        return state["largest"].copy()


@dataclass(frozen=True)
class Ties(Method):
    """Trim each τ to its largest magnitudes, elect a sign, average what has it (Yadav et al., NeurIPS 2023).

    The elected sign is that of the sum of the trimmed τ; where that is 0, the sign that most elements
    elected (0 if there are as many of each). density: the share of each τ that trimming keeps.
    """

    components = ("trimmed_positive_sum", "trimmed_negative_sum", "trimmed_positives", "trimmed_negatives")
    density: float = 0.2

    def balance(self, state: State) -> int:
        return int(self._elected(state).sum())

    def merge(self, state: State, points: int, balance: int) -> Array:
        sign = self._elected(state)
        sign[sign == 0] = np.sign(balance)
        total = np.where(sign > 0, state["trimmed_positive_sum"], state["trimmed_negative_sum"])
        count = np.where(sign > 0, state["trimmed_positives"], state["trimmed_negatives"])
        return np.where(sign == 0, np.float32(0), mean(total, np.maximum(count, 1)))

    def _elected(self, state: State) -> Array:
        sign: Array = np.sign(state["trimmed_positive_sum"] + state["trimmed_negative_sum"])
        return sign


SINGLE = "task_arithmetic"
"""Task arithmetic adds nothing up: it keeps the best single point (Ilharco et al., ICLR 2023)."""


def method_for(method: str, merge: spec.Merge) -> Method:
    """The method by its name in the spec. Raises MergeError for one that is not added up here."""
    rules: dict[str, Method] = {
        "negmerge": NegMerge(merge.agreement),
        "relaxed": NegMerge(merge.relaxed),
        "uniform": Uniform(),
        "magmax": MagMax(),
        "ties": Ties(merge.density),
    }
    if method not in rules:
        raise MergeError(f"{method!r} cannot be merged here: use {', '.join([*rules, SINGLE])}")
    return rules[method]
