"""The rivals of a job as a spec names them. No torch: the rivals themselves are in ``rivals``, one file each.

Which there are, and what each reads, is listed in ``rivals.json``: ``make names`` writes it, and a test says when it
is old.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from negmerge.spec.fields import Spec
from negmerge.spec.sweep import BatchSize, Epochs, LearningRate, WeightDecay

FILE = Path(__file__).with_name("rivals.json")

SGD = frozenset({"learning_rate", "epochs", "batch_size", "weight_decay", "momentum", "crop_flip"})
"""The options that ``rivals._sgd.descend`` reads."""

RETRAIN = "retrain"
"""The rival that all others are compared with."""


class RivalOptions(Spec):
    """What a rival may be told; whatever is left out is as its file says, mostly as published."""

    learning_rate: LearningRate | None = None
    epochs: Epochs | None = None
    batch_size: BatchSize | None = None
    weight_decay: WeightDecay | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    strength: Annotated[float, Field(ge=0, le=1e38)] | None = Field(
        None, description="The one number that the rival has besides; see its file."
    )
    crop_flip: bool | None = Field(None, description="Random crops and flips while training.")


@dataclass(frozen=True)
class RivalRun:
    """One rival in one repeat, with its seed."""

    name: str
    repeat: int
    seed: int

    def __str__(self) -> str:
        return self.name if self.repeat == 0 else f"{self.name}, repeat {self.repeat + 1}"


def rival_names() -> tuple[str, ...]:
    """All rivals, by the names of their files."""
    return tuple(sorted(_listed()))


def options_read(name: str) -> frozenset[str]:
    """The options that a rival reads: ``READS`` of its file."""
    return _listed()[name]


@cache
def _listed() -> dict[str, frozenset[str]]:
    return {name: frozenset(reads) for name, reads in json.loads(FILE.read_text(encoding="utf-8")).items()}
