"""SalUn: random labels on the weights that matter most for what is to be forgotten (Fan et al., ICLR 2024).

arXiv 2310.12508: the mask m holds the weights whose gradient of the forget loss at θ₀ is largest in magnitude;
θ = m ⊙ (θ₀ + Δθ) + (1 − m) ⊙ θ₀, and Δθ comes from training on the forget set with random labels other than the true
ones, and on the retain set. strength: the share of all weights that m holds, over the whole model (0.5).

Where the released code differs, this is the paper: the code draws labels from all classes, the true one included; its
first versions masked only the gradient, so that weight decay still shrank what was masked out (here that stays θ₀ to
the bit); and it ranks weights, where here, as in m = 1(|∇| ≥ γ), of equal gradients all are in. Each epoch's two
passes (``random_label``) and the defaults are the code's: learning rate 0.013, 10 epochs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from negmerge.errors import FieldError, SpecError
from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import descend
from negmerge.rivals.random_label import Passes
from negmerge.spec.rivals import SGD


@dataclass(frozen=True)
class SalunSettings(Settings):
    """Settings whose strength is a share. Raises SpecError for one above 1."""

    def __post_init__(self) -> None:
        if self.strength > 1:
            message = f"is the share of the weights that may move, and {self.strength:g} is more than 1"
            raise SpecError([FieldError("/rivals/salun/strength", message)])


DEFAULTS = SalunSettings(learning_rate=0.013, strength=0.5)
READS = SGD | {"strength"}


def unlearn(task: Task) -> None:
    """Random labels, and after every update the weights outside the mask go back to θ₀."""
    model = task.model
    masks = saliency(task)
    originals = [parameter.detach().clone() for parameter in model.parameters()]

    @torch.no_grad()
    def put_back() -> None:
        for parameter, original, mask in zip(model.parameters(), originals, masks, strict=True):
            parameter.copy_(torch.where(mask, parameter, original))

    descend(task, Passes(task, wrong=True), after_step=put_back)


def saliency(task: Task) -> list[Tensor]:
    """A boolean mask for each parameter: the share ``strength`` of largest |∇L_f(θ₀)|; of equal ones all are in.

    L_f is the mean cross entropy over the forget set, in eval mode.
    """
    model, samples = task.model, task.forget
    model.module.eval()
    model.module.zero_grad(set_to_none=True)
    for chosen in torch.split(torch.arange(len(samples.images)), task.settings.batch_size):
        logits = model.logits(samples.images[chosen], task.head)
        loss = functional.cross_entropy(logits, samples.labels[chosen].to(model.device), reduction="sum")
        torch.autograd.backward([loss / len(samples.images)])
        task.on_step(0, 1, None)
    sizes = [parameter.grad.abs() for parameter in model.parameters() if parameter.grad is not None]
    every = torch.cat([size.reshape(-1) for size in sizes])
    kept = round(task.settings.strength * len(every))
    if kept == 0:
        return [torch.zeros_like(size, dtype=torch.bool) for size in sizes]
    threshold = every.kthvalue(len(every) - kept + 1).values
    return [size >= threshold for size in sizes]
