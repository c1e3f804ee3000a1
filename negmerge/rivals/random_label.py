"""Random labels for what is to be forgotten (Golatkar et al., CVPR 2020, arXiv 1911.04933).

In each epoch, as in SalUn's public code: the forget set gets fresh labels, uniform over all classes, the true one
included; one pass over it with them, then one over the retain set with its own.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from negmerge.data import Decoded
from negmerge.rival import Settings, Task
from negmerge.sgd import descend

DEFAULTS = Settings()


def unlearn(task: Task) -> None:
    """Cross entropy on the forget set with random labels, then on the retain set."""
    descend(task, passes(task))


def passes(task: Task) -> "Passes":
    """The passes of each epoch, also for SalUn, which is this on a part of the weights."""
    return Passes(task)


class Passes:
    """epoch → the forget set with fresh labels, and the retain set."""

    def __init__(self, task: Task) -> None:
        self._task = task
        with torch.no_grad():
            self._classes = task.model.logits(task.forget.images[:1], task.head).shape[1]

    def __call__(self, epoch: int) -> Iterator[Decoded]:
        forget = self._task.forget
        labels = torch.randint(self._classes, forget.labels.shape, generator=self._task.generator)
        yield replace(forget, labels=labels)
        yield self._task.retain
