"""One step of training, the same for a point of the sweep and for a rival: from a batch to moved weights."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from negmerge.models.network import Network
from negmerge.models.precision import autocast
from negmerge.progress import OnStep
from negmerge.spec.precision import Precision
from negmerge.training.batching import has_batch_norm
from negmerge.training.fitting import out_of_memory
from negmerge.training.losses import Losses, ahead_on

log = logging.getLogger(__name__)

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
    judged. at_once: images that go through the network together; None is a whole batch. ``loss`` is a mean over images.
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
    at_once: int | None = None
    taken: int = 0
    losses: Losses = field(init=False)

    def __post_init__(self) -> None:
        self.losses = Losses(self.steps, self.an_epoch, ahead_on(self.model.device))
        self._may_halve = not has_batch_norm(self.model)

    def step(self, images: Tensor, labels: Tensor, loss: Loss) -> None:
        """One update of the weights on a batch. The device is told what to do, and nobody waits until it is done.

        images: uint8 [B, 3, S, S]. labels: int64 [B], columns of the logits; both on the model's device. Raises
        DivergedError where the loss of this step, or on CUDA of one up to ``losses.AHEAD`` steps before, is not
        finite, and what on_step raises.
        """
        value = self._gradients(self.augment(images), labels, loss)
        if self.max_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], self.max_norm)
        self.optimizer.step()
        self.after_step()
        self.taken += 1
        self.losses.keep(value, len(images))
        self.on_step(self.taken, self.steps, self.losses.newest)

    def _gradients(self, batch: Tensor, labels: Tensor, loss: Loss) -> Tensor:
        """Leave the gradient of the batch's loss with the parameters; returns the loss.

        Where memory runs out, parts are half as large from here on, and the batch goes through anew, with the weights
        and the random states that it had. The second time it is an error, as it is at once with BatchNorm.
        """
        before = random_states(self.model.device)
        try:
            return self._through(batch, labels, loss)
        except (MemoryError, RuntimeError) as error:
            if not (self._may_halve and len(batch) > 1 and out_of_memory(error)):
                raise
        self._may_halve = False  # here, since what the error holds of the first pass is free now
        self.at_once = -(-min(self.at_once or len(batch), len(batch)) // 2)
        log.warning("out of memory: images are trained on %d at a time from step %d on", self.at_once, self.taken + 1)
        set_random_states(before, self.model.device)
        return self._through(batch, labels, loss)

    def _through(self, batch: Tensor, labels: Tensor, loss: Loss) -> Tensor:
        """The gradient, whole or added up over parts of ``at_once`` images, of which each weighs what it is of all."""
        self.optimizer.zero_grad(set_to_none=True)
        size = self.at_once or len(batch)
        values = []
        for part, wanted in zip(torch.split(batch, size), torch.split(labels, size), strict=True):
            with autocast(self.model.device, self.precision):
                logits = self.model.logits(part, self.head)
            value = loss(logits, wanted)
            if len(part) < len(batch):
                value = value * (len(part) / len(batch))
            torch.autograd.backward([value])
            values.append(value.detach())
        return values[0] if len(values) == 1 else torch.stack(values).sum()

    def finish(self) -> float:
        """The mean loss over the last epoch's samples, each from before its own step. Raises DivergedError."""
        return self.losses.mean()


def random_states(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Where the default generators stand, on the CPU and on a GPU that is trained on."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def set_random_states(states: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    """Put the default generators back to where they stood."""
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1], device)
