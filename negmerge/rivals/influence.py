"""Influence unlearning: one Newton step towards the model without the samples (Izzo et al., AISTATS 2021).

arXiv 2002.10077, as SalUn's public code has it for a network: θ = θ₀ + α (I + F)⁻¹ (∇L_f − ∇L_r). L_f is the sum of the
forget set's losses over all training samples, L_r that of the retain set's, weighted by the forget set's share of it;
F = Σ g gᵀ / N over the gradients g of N = 1,000 retain samples is WoodFisher's estimate of the Hessian (Singh and
Alistarh, NeurIPS 2020, arXiv 2004.14340). strength: α (1, a whole Newton step; the code leaves it to the caller).

WoodFisher inverts by N rank-one updates, of which each needs all earlier ones: N vectors of all parameters, 45 GB for
a ResNet-18. The released code keeps one of them, so that its result is not that inverse. Here (I + F) x = v is solved
by conjugate gradients: the same x as WoodFisher's, up to rounding, with memory for up to ten such vectors (45 MB each
for a ResNet-18) and for two backward passes of a batch.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from negmerge.decoding.dataset import Decoded
from negmerge.errors import DivergedError
from negmerge.progress import frozen_at
from negmerge.rivals._base import Settings, Task

DEFAULTS = Settings(strength=1.0, batch_size=250)
READS = frozenset({"batch_size", "strength"})
FISHER_SAMPLES = 1000
MAX_ITERATIONS = 100
TOLERANCE = 1e-5
"""Of the residual's norm to the right-hand side's."""


def unlearn(task: Task) -> None:
    """Take the step."""
    forget, retain = len(task.forget.images), len(task.retain.images)
    task.model.module.eval()
    right = _gradient(task, task.forget) / (forget + retain)
    right -= _gradient(task, task.retain) * (forget / ((forget + retain) * retain))
    order = torch.randperm(retain, generator=task.generator)[:FISHER_SAMPLES]
    step = solve(lambda x: x + fisher_product(task, order, x), right, frozen_at(task.on_step, 0, 1))
    place = 0
    with torch.no_grad():
        for parameter in task.model.parameters():
            own = step[place : place + parameter.numel()].view(parameter.shape)
            parameter.add_(task.settings.strength * own)
            place += parameter.numel()
    task.on_step(1, 1, None)


def solve(product: Callable[[Tensor], Tensor], right: Tensor, on_step: Callable[[int, int, None], None]) -> Tensor:
    """x with product(x) = right, for a symmetric positive definite product, by conjugate gradients (Hestenes 1952).

    Raises DivergedError where so many iterations do not reach the tolerance.
    """
    x = torch.zeros_like(right)
    residual, direction = right.clone(), right.clone()
    square = residual @ residual
    goal = TOLERANCE**2 * square
    for iteration in range(MAX_ITERATIONS):
        if square <= goal:
            return x
        image = product(direction)
        length = square / (direction @ image)
        x += length * direction
        residual -= length * image
        square, before = residual @ residual, square
        direction = residual + square / before * direction
        on_step(iteration + 1, MAX_ITERATIONS, None)
    if square <= goal:
        return x
    raise DivergedError(f"influence: {MAX_ITERATIONS} iterations of conjugate gradients do not solve the Newton step")


def fisher_product(task: Task, chosen: Tensor, vector: Tensor) -> Tensor:
    """F·v, where F is the mean of ∇ℓ ∇ℓᵀ over the chosen retain samples; vectors are float32 [P], all parameters.

    F·v is the gradient of the losses weighted by their own derivatives along v. These come from differentiating
    vᵀ(Jᵀu) by u, so no gradient of a single sample is ever made.
    """
    total = torch.zeros_like(vector)
    for images, labels in _batches(task, task.retain, chosen):
        losses = _losses(task, images, labels)
        weights = torch.ones_like(losses, requires_grad=True)
        gradient = _flat(torch.autograd.grad(losses, task.model.parameters(), weights, create_graph=True))
        (slopes,) = torch.autograd.grad(gradient @ vector, weights, retain_graph=True)
        total += _flat(torch.autograd.grad(losses, task.model.parameters(), slopes))
    return total / len(chosen)


def _gradient(task: Task, samples: Decoded) -> Tensor:
    """The gradient of the sum of all samples' losses; float32 [P] on the model's device."""
    total = torch.zeros_like(_flat(task.model.parameters()))
    for images, labels in _batches(task, samples, torch.arange(len(samples.images))):
        total += _flat(torch.autograd.grad(_losses(task, images, labels).sum(), task.model.parameters()))
    return total


def _losses(task: Task, images: Tensor, labels: Tensor) -> Tensor:
    """The loss of each sample, float32 [B]."""
    with sdpa_kernel(SDPBackend.MATH):  # the faster kernels of attention have no second derivative
        logits = task.model.logits(images, task.head)
    return functional.cross_entropy(logits, labels, reduction="none")


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _batches(task: Task, samples: Decoded, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for part in torch.split(chosen, task.settings.batch_size):
        task.on_step(0, 1, None)
        yield samples.images[part], samples.labels[part].to(task.model.device)
