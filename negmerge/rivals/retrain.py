"""Retraining from scratch on what stays: the reference that every unlearning method is compared with.

The recipe is that of SalUn's public code (Fan et al., ICLR 2024, arXiv 2310.12508): SGD with momentum 0.9 and weight
decay 5e-4, batch 256, 182 epochs, the learning rate 0.1 cut to a tenth at a half and at three quarters of them (epochs
91 and 136); random crops and flips.
"""

from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import always, descend
from negmerge.spec.rivals import SGD

DEFAULTS = Settings(learning_rate=0.1, epochs=182, batch_size=256)
READS = SGD


def unlearn(task: Task) -> None:
    """Train fresh random weights of the same architecture on the retain set alone."""
    from negmerge.models import classifiers  # and with it timm, which other rivals do not need

    fresh = classifiers.build(task.model.config)  # drawn from the generators that the task's seed has set
    task.model.load_state(fresh.state_dict())
    descend(task, always(task.retain), factor=lambda epoch: cuts(epoch, task.settings.epochs))


def cuts(epoch: int, epochs: int) -> float:
    """1, a tenth from half of the epochs on, a hundredth from three quarters on; the first epoch is never cut."""
    return 0.1 ** sum(epoch >= max(1, start) for start in (epochs // 2, epochs * 3 // 4))
