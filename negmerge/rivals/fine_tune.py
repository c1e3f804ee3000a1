"""Fine-tuning on what stays, in the hope that the rest is forgotten (Warnecke et al., NDSS 2023, arXiv 2108.11577).

θ ← argmin of the cross entropy on the retain set, from θ₀. Defaults as in SalUn's public code: learning rate 0.01,
10 epochs.
"""

from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import always, descend
from negmerge.spec.rivals import SGD

DEFAULTS = Settings()
READS = SGD


def unlearn(task: Task) -> None:
    """Cross entropy on the retain set."""
    descend(task, always(task.retain))
