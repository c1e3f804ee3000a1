"""Top-1 accuracies, kept as integer counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from negmerge.models.network import Network
from negmerge.progress import OnStep, ignore
from negmerge.spec.figures import CountRecord, FigureRecord
from negmerge.spec.intervals import wilson


@dataclass(frozen=True)
class Count:
    """``correct`` out of ``count`` samples. There is no count of no samples: a part without any has no figure."""

    correct: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.count or self.count == 0:
            raise ValueError(f"{self.correct} correct out of {self.count} samples is no figure")

    @property
    def accuracy(self) -> float:
        """Share of correct samples, in [0, 1]."""
        return self.correct / self.count

    def record(self) -> CountRecord:
        """The count as it is written."""
        return CountRecord(accuracy=self.accuracy, correct=self.correct, count=self.count)

    @classmethod
    def of(cls, record: CountRecord) -> Self:
        """What ``record`` gave."""
        return cls(record.correct, record.count)


@dataclass(frozen=True)
class Evaluation:
    """Top-1 counts over all samples, and by class for those classes that have samples."""

    total: Count
    per_class: dict[str, Count]

    def record(self, per_class: bool = True) -> FigureRecord:
        """The total, and where asked for a figure by class name; each with its 95 % interval."""
        total = _with_interval(self.total)
        if not per_class:
            return total
        return total.with_classes({name: _with_interval(count) for name, count in self.per_class.items()})

    @classmethod
    def of(cls, record: FigureRecord) -> Self:
        """What ``record`` gave."""
        per_class = {name: Count.of(figure) for name, figure in (record.per_class or {}).items()}
        return cls(Count.of(record), per_class)


def _with_interval(count: Count) -> FigureRecord:
    return FigureRecord(**count.record().given(), interval=wilson(count.correct, count.count))


@torch.no_grad()
def evaluate(
    model: Network,
    images: Tensor,
    labels: Tensor,
    head: Tensor,
    classes: Sequence[str],
    on_step: OnStep = ignore,
    batch: int = 256,
) -> Evaluation:
    """Measure the model as it stands, in float32 and eval mode.

    images: uint8 [N, 3, S, S], N ≥ 1. labels: int64 [N], into ``classes`` and the rows of ``head``
    (float32 [C, D]). on_step is called after each ``batch`` of images. Ties go to the first class. Images may lie on
    the model's device already; nothing waits for the device before the end.
    """
    model.module.eval()
    right, hits = labels.to(model.device), []
    for start in range(0, len(images), batch):
        answers = model.logits(images[start : start + batch], head).argmax(dim=1)
        hits.append(answers == right[start : start + batch])
        on_step(start // batch + 1, -(-len(images) // batch), None)
    hit = torch.cat(hits).cpu()
    counts = torch.bincount(labels, minlength=len(classes)).tolist()
    corrects = torch.bincount(labels[hit], minlength=len(classes)).tolist()
    per_class = {
        name: Count(correct, count) for name, correct, count in zip(classes, corrects, counts, strict=True) if count
    }
    return Evaluation(Count(sum(corrects), sum(counts)), per_class)
