"""ℓ1-sparse unlearning: fine-tuning on what stays, with a penalty that thins the model out (Jia et al., NeurIPS 2023).

arXiv 2304.04934, Eq. 3: θ ← argmin of the cross entropy on the retain set + γ ‖θ‖₁, from θ₀, with γ falling linearly to
zero. strength: γ at the beginning (5e-4, the paper's).
"""

import torch
from torch import Tensor

from negmerge.rival import Settings, Task
from negmerge.sgd import always, descend

DEFAULTS = Settings(strength=5e-4)


def unlearn(task: Task) -> None:
    """Cross entropy on the retain set, and γ times the sum of all weights' magnitudes."""

    def penalty(done: float) -> Tensor:
        magnitudes = torch.stack([parameter.abs().sum() for parameter in task.model.parameters()])
        return task.settings.strength * (1 - done) * magnitudes.sum()

    descend(task, always(task.retain), penalty=penalty)
