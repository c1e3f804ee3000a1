"""Random labels for what is to be forgotten (Golatkar et al., CVPR 2020, arXiv 1911.04933).

The labels of the forget set are drawn anew, and the model is fine-tuned with them and on the retain set. As in SalUn's
public code, each epoch is a pass over the forget set with fresh labels, then one over the retain set with its own; a
label is uniform over all classes, the true one included (only SalUn's own paper leaves that out: ``salun``).
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from negmerge.decoding.dataset import Decoded
from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import descend
from negmerge.spec.rivals import SGD

DEFAULTS = Settings()
READS = SGD


def unlearn(task: Task) -> None:
    """Cross entropy on the forget set with random labels, then on the retain set."""
    descend(task, Passes(task))


class Passes:
    """epoch → the forget set with fresh labels, and the retain set; also for SalUn, on a part of the weights.

    wrong: a label is uniform over the other classes, never the true one.
    """

    def __init__(self, task: Task, *, wrong: bool = False) -> None:
        self._task, self._wrong = task, wrong
        with torch.no_grad():
            self._classes = task.model.logits(task.forget.images[:1], task.head).shape[1]

    def __call__(self, epoch: int) -> Iterator[Decoded]:
        forget = self._task.forget
        labels = torch.randint(self._classes - self._wrong, forget.labels.shape, generator=self._task.generator)
        if self._wrong:
            labels += labels >= forget.labels  # the numbers from the true label on are those of the next class
        yield replace(forget, labels=labels)
        yield self._task.retain
