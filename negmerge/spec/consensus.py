"""How far the points of a merge agree on the signs: over all elements, by tensor, by layer, and in words. No torch."""

import re
from dataclasses import dataclass

from pydantic import Field

from negmerge.spec.figures import Record


class Consensus(Record):
    """Elements on whose sign enough points agree. Shares in [0, 1]; an empty tensor has 0."""

    share: float = Field(description="Over the whole model.")
    tensors: dict[str, float] = Field(description="By tensor.")
    elements: dict[str, int] = Field({}, description="How many each tensor has; empty in results of earlier versions.")
    needed: int | None = Field(None, description="How many points must agree.")
    counts: list[int] = Field(
        [],
        description="How many elements k points move one way, and no more the other: from k = 0 to all points. "
        "Empty in results of earlier versions.",
    )

    def by_layer(self) -> dict[str, "Layer"]:
        """The layers in the model's order; of a result that counts no elements, every tensor weighs the same."""
        found: dict[str, list[tuple[float, int]]] = {}
        for name, share in self.tensors.items():
            found.setdefault(layer_of(name), []).append((share, self.elements.get(name, 1)))
        return {name: Layer.of(tensors) for name, tensors in found.items()}

    def agreeing(self) -> str:
        """Which runs agree where an element is in consensus: every run, or at least 9 of 12 runs."""
        points = len(self.counts) - 1
        return (
            "every run" if self.needed is None or self.needed >= points else f"at least {self.needed} of {points} runs"
        )


@dataclass(frozen=True)
class Layer:
    """A layer's share of elements in consensus, and those of its tensors."""

    share: float
    tensors: list[float]

    @classmethod
    def of(cls, tensors: list[tuple[float, int]]) -> "Layer":
        """From each tensor's share and number of elements."""
        agreed, elements = sum(share * count for share, count in tensors), sum(count for _, count in tensors)
        return cls(agreed / max(elements, 1), [share for share, _ in tensors])


def layer_of(name: str) -> str:
    """A tensor's layer: its name up to the last number in it, else up to its last dot."""
    numbered = re.match(r"(.*\.\d+)\.", name)
    return numbered[1] if numbered else name.rpartition(".")[0] or name
