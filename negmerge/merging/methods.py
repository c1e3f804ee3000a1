"""The merge: how the task vectors of a sweep become one, τ*. Read this first.

NegMerge (Kim, Han, Choe, ICML 2025): fine-tune many times on the forget set, keep only those weight changes
on whose sign every run agrees, average them, subtract the result: θ* = θ₀ − λ τ* (``vectors.apply_scale``).

Each method below is one class: what it is called, what it needs of a job, and, where it adds task vectors up, which
components it adds (``accumulators``; ``partial`` does so) and what it makes of them. Another method is one class here;
``make names`` then tells its name to those who may not load numpy (``spec.methods``).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import ClassVar, Self

import numpy as np

from negmerge.checkpoints.tensors import Array
from negmerge.errors import MergeError
from negmerge.merging.accumulators import State, mean
from negmerge.spec import job

METHODS: dict[str, type["Method"]] = {}
"""Every merge method by its name in a spec, in the order of the classes below."""


class Method(ABC):
    """What a job, its result and its plots know of a merge method.

    name: in a spec. label: in tables. colour: in plots, one of Okabe and Ito's, which colour-blind readers tell apart,
    with violet for their yellow. needs_singles: every point is also searched and tested as a single model.
    needs_kept_vectors: the task vectors are read again when all are there. components: what it adds up.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    colour: ClassVar[str]
    needs_singles: ClassVar[bool] = False
    needs_kept_vectors: ClassVar[bool] = False
    components: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls) and METHODS.setdefault(cls.name, cls) is not cls:
            raise TypeError(f"two merge methods are called {cls.name!r}")

    @classmethod
    def of(cls, options: job.Merge) -> Self:
        """The method with the options that a spec gives it."""
        return cls()


class Summed(Method):
    """A method that works element by element on components, which are added up point by point."""

    @abstractmethod
    def merge(self, state: State, points: int) -> Array:
        """τ* as flat float32, from the components of ``points`` task vectors."""


class Balanced(Summed):
    """A summed method that must know one figure of the whole model before it can merge some of its elements."""

    @abstractmethod
    def balance(self, state: State) -> int:
        """What this piece of the model adds to the figure."""

    @abstractmethod
    def undecided(self, state: State) -> int:
        """How many elements of this piece depend on the figure, mostly none."""

    @abstractmethod
    def settled(self, balance: int) -> Self:
        """The method that knows the figure: the sum of ``balance`` over all pieces."""


@dataclass(frozen=True)
class NegMerge(Summed):
    """The mean where all points agree on the sign, 0 elsewhere. sign(0) = 0: who left an element, disagrees.

    agreement: the share of the points that must agree, 1 as published.
    """

    name = "negmerge"
    label = "NegMerge"
    colour = "#0072b2"
    components = ("positives", "negatives", "sum")  # the sum last: it drives τ from a core's cache
    agreement: float = 1.0

    @classmethod
    def of(cls, options: job.Merge) -> Self:
        return cls(options.agreement)

    def consensus(self, state: State, points: int) -> Array:
        """Where max(P, M) ≥ ⌈agreement·N⌉ and P ≠ M; boolean."""
        agreed: Array = (self.majority(state) >= self.needed(points)) & (state["positives"] != state["negatives"])
        return agreed

    def needed(self, points: int) -> int:
        """How many of so many points must agree: ⌈agreement·N⌉."""
        return ceil(Fraction(str(self.agreement)) * points)

    @staticmethod
    def majority(state: State) -> Array:
        """How many points move each element one way, and no more the other: max(P, M), of the counts' own type."""
        most: Array = np.maximum(state["positives"], state["negatives"])
        return most

    def merge(self, state: State, points: int) -> Array:
        return self.kept(state, self.consensus(state, points), points)

    def kept(self, state: State, consensus: Array, points: int) -> Array:
        """τ*, flat float32, where ``consensus`` (boolean, as long) is known already."""
        merged = mean(state["sum"], points)
        np.multiply(merged, consensus, out=merged)
        merged += np.float32(0)  # a negative mean times 0 is −0.0: now 0.0, and nothing else changes
        return merged


@dataclass(frozen=True)
class Relaxed(NegMerge):
    """NegMerge with a smaller share of agreement, for comparison: k of N points instead of all."""

    name = "relaxed"
    label = "relaxed consensus"
    colour = "#d55e00"

    @classmethod
    def of(cls, options: job.Merge) -> Self:
        return cls(options.relaxed)


@dataclass(frozen=True)
class Uniform(Summed):
    """The plain mean."""

    name = "uniform"
    label = "uniform mean"
    colour = "#009e73"
    components = ("sum",)

    def merge(self, state: State, points: int) -> Array:
        return mean(state["sum"], points)


class TaskArithmetic(Method):
    """The best single point, which adds nothing up (Ilharco et al., ICLR 2023): ``partial`` keeps the best so far."""

    name = "task_arithmetic"
    label = "best single"
    colour = "#e69f00"
    needs_singles = True


@dataclass(frozen=True)
class MagMax(Summed):
    """The value of largest magnitude, of two equal ones the positive (Marczak et al., ECCV 2024)."""

    name = "magmax"
    label = "MagMax"
    colour = "#56b4e9"
    components = ("largest",)

    def merge(self, state: State, points: int) -> Array:
        return state["largest"].copy()


@dataclass(frozen=True)
class Ties(Balanced):
    """Trim each τ to its largest magnitudes, elect a sign, average what has it (Yadav et al., NeurIPS 2023).

    The elected sign is that of the sum of the trimmed τ; where that is 0, the sign that most elements
    elected (0 if there are as many of each). density: the share of each τ that trimming keeps. majority: the sign that
    most elements of the whole model elected.
    """

    name = "ties"
    label = "TIES"
    colour = "#cc79a7"
    components = ("trimmed_positive_sum", "trimmed_negative_sum", "trimmed_positives", "trimmed_negatives")
    density: float = 0.2
    majority: int = 0

    @classmethod
    def of(cls, options: job.Merge) -> Self:
        return cls(options.density)

    def balance(self, state: State) -> int:
        return int(self._elected(state).sum())

    def undecided(self, state: State) -> int:
        return int(np.count_nonzero((self._elected(state) == 0) & (state["trimmed_positive_sum"] != 0)))

    def settled(self, balance: int) -> Self:
        return replace(self, majority=int(np.sign(balance)))

    def merge(self, state: State, points: int) -> Array:
        sign = self._elected(state)
        sign[sign == 0] = self.majority
        total = np.where(sign > 0, state["trimmed_positive_sum"], state["trimmed_negative_sum"])
        count = np.where(sign > 0, state["trimmed_positives"], state["trimmed_negatives"])
        return np.where(sign == 0, np.float32(0), mean(total, np.maximum(count, 1)))

    def _elected(self, state: State) -> Array:
        sign: Array = np.sign(state["trimmed_positive_sum"] + state["trimmed_negative_sum"])
        return sign


class Greedy(Method):
    """A soup of the points by rank, as long as it helps (``pipeline.greedy``)."""

    name = "greedy"
    label = "greedy soup"
    colour = "#5e3c99"
    needs_singles = True
    needs_kept_vectors = True


def summed(method: str, options: job.Merge) -> Summed:
    """The method by its name in a spec. Raises MergeError for one that is not added up."""
    found = METHODS.get(method)
    if found is None or not issubclass(found, Summed):
        known = [name for name, one in METHODS.items() if issubclass(one, Summed)]
        raise MergeError(f"{method!r} cannot be merged here: use {', '.join([*known, TaskArithmetic.name])}")
    return found.of(options)
