"""ℓ1-sparse unlearning: fine-tuning on what stays, with a penalty that thins the model out (Jia et al., NeurIPS 2023).

arXiv 2304.04934: θ ← argmin of the cross entropy on the retain set + γ ‖θ‖₁, from θ₀. As in SalUn's public code, γ
falls epoch by epoch from its first value towards zero, γ (1 − epoch / epochs), and ‖θ‖₁ is over all parameters.
strength: γ at the beginning (5e-4; the code leaves it to the caller).
"""

import torch
from torch import Tensor

from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import always, descend
from negmerge.spec.rivals import SGD

DEFAULTS = Settings(strength=5e-4)
READS = SGD | {"strength"}


def unlearn(task: Task) -> None:
    """Cross entropy on the retain set, and γ times the sum of all weights' magnitudes."""

    def penalty(done: float) -> Tensor:
        magnitudes = torch.stack([parameter.abs().sum() for parameter in task.model.parameters()])
        return task.settings.strength * (1 - done) * magnitudes.sum()

    descend(task, always(task.retain), penalty=penalty)
