"""One step of training, the same for a point of the sweep and for a rival: from a batch to moved weights."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from negmerge.models.network import Network
from negmerge.models.precision import autocast
from negmerge.progress import OnStep
from negmerge.spec.precision import Precision
from negmerge.training.losses import Losses, ahead_on

Augment = Callable[[Tensor], Tensor]
"""uint8 [B, 3, S, S] → uint8 of the same shape."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits float32 [B, C], labels int64 [B]) → scalar."""


def as_they_are(images: Tensor) -> Tensor:
    """No augmentation."""
    return images


def nothing() -> None:
    """Nothing is done after a step."""


@dataclass
class Descent:
    """What the steps of one training share, and how many were taken; the optimiser moves the model's own parameters.

    head: what ``model.logits`` needs besides the images. steps: of the whole training; an_epoch: of its last epoch.
    precision: of the forward pass and, with it, the backward one; weights and loss are float32. max_norm: gradients are
    scaled down to this norm, over all parameters together. after_step: called after each update, before its loss is
    judged.
    """

    model: Network
    head: Tensor
    optimizer: torch.optim.Optimizer
    steps: int
    an_epoch: int
    on_step: OnStep
    augment: Augment = as_they_are
    precision: Precision = "float32"
    max_norm: float | None = None
    after_step: Callable[[], None] = nothing
    taken: int = 0
    losses: Losses = field(init=False)

    def __post_init__(self) -> None:
        self.losses = Losses(self.steps, self.an_epoch, ahead_on(self.model.device))

    def step(self, images: Tensor, labels: Tensor, loss: Loss) -> None:
        """One update of the weights on a batch. The device is told what to do, and nobody waits until it is done.

        images: uint8 [B, 3, S, S]. labels: int64 [B], columns of the logits. Raises DivergedError where the loss of
        this step, or on CUDA of one up to ``losses.AHEAD`` steps before, is not finite, and what on_step raises.
        """
        device = self.model.device
        batch = self.augment(images.to(device))
        with autocast(device, self.precision):
            logits = self.model.logits(batch, self.head)
        value = loss(logits, labels.to(device))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([value])
        if self.max_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], self.max_norm)
        self.optimizer.step()
        self.after_step()
        self.taken += 1
        self.losses.keep(value, len(images))
        self.on_step(self.taken, self.steps, self.losses.newest)

    def finish(self) -> float:
        """The mean loss over the last epoch's samples, each from before its own step. Raises DivergedError."""
        return self.losses.mean()
