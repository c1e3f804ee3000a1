"""Models that were given twice, found in the same pass that merges them."""

from collections import defaultdict
from collections.abc import Mapping

from negmerge.checkpoints.tensors import Array

BASE = 0
"""The base model's number; the fine-tuned ones are counted from 1."""


class Twins:
    """Which of the models have been equal in all pieces so far."""

    def __init__(self, models: int) -> None:
        self._groups = [tuple(range(models))]

    def alike(self, model: int) -> bool:
        """Whether a model still has its like, so that its next piece must be compared."""
        return any(model in group for group in self._groups)

    def compare(self, keys: Mapping[int, int]) -> None:
        """Take in what a piece was to each model that is alike to another, by its ``key``."""
        groups = []
        for group in self._groups:
            same = defaultdict(list)
            for model in group:
                same[keys[model]].append(model)
            groups += [tuple(models) for models in same.values() if len(models) > 1]
        self._groups = groups

    def found(self) -> list[tuple[int, ...]]:
        """The models that are equal, in groups of two or more."""
        return self._groups


def key(tau: Array) -> int:
    """A number that two models have in common where their τ on a piece are equal: 0 where they are the base model's."""
    return hash(tau.tobytes()) or 1 if tau.max(initial=0) > 0 or tau.min(initial=0) < 0 else 0
