"""Gradient ascent on what is to be forgotten (Thudi et al., EuroS&P 2022, arXiv 2109.13398).

θ ← θ + η ∇ of the cross entropy on the forget set. Learning rate and epochs default to SalUn's protocol (0.01, 10
epochs); the loss has no upper bound, so a smaller rate is often needed.
"""

from torch import Tensor
from torch.nn import functional

from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import always, descend
from negmerge.spec.rivals import SGD

DEFAULTS = Settings()
READS = SGD


def unlearn(task: Task) -> None:
    """Negated cross entropy on the forget set."""
    descend(task, always(task.forget), _negated)


def _negated(logits: Tensor, labels: Tensor) -> Tensor:
    return -functional.cross_entropy(logits, labels)
