"""Fine-tuning one point of the sweep on the forget set (``docs/method.md``, "Training a point").

Of a zero-shot model only the image tower's parameters move, against the frozen head; of a classifier all do.
Everything random comes from the point's seed, and the process's own random state is left as it was: the same seed on
the same device with the same number of threads and the same precision gives the same weights, to the bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import cos, pi

import torch
from torch import Tensor
from torch.nn import functional

from negmerge.models.network import Network
from negmerge.progress import OnStep, ignore
from negmerge.spec.precision import Precision
from negmerge.spec.sweep import HyperParameters
from negmerge.training.augment import rand_augment
from negmerge.training.batching import batch_sizes, batches, check_images, has_batch_norm
from negmerge.training.crop_flip import crop_and_flip
from negmerge.training.descent import Descent
from negmerge.training.feed import Feed
from negmerge.training.fitting import computed_again, fit

MAX_GRADIENT_NORM = 1.0
MAX_WARMUP_STEPS = 500
MOMENTUM = 0.9


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned point: θᵢ (float32, CPU, by name), the last epoch's mean loss over samples, steps taken."""

    state: dict[str, Tensor]
    loss: float
    steps: int


def fine_tune(
    model: Network,
    images: Tensor,
    labels: Tensor,
    head: Tensor,
    hyper: HyperParameters,
    seed: int,
    on_step: OnStep = ignore,
    precision: Precision = "float32",
    room: int | None = None,
) -> Tuned:
    """Fine-tune the model from θ₀; the model itself is back at θ₀ afterwards, whatever happened.

    images: uint8 [N, 3, S, S]. labels: int64 [N], columns of the logits that the model gives with ``head``.
    Decay is on every parameter, the gradient norm clipped at 1.0. precision: of the two passes (``Descent``). room:
    bytes of memory that training may take besides the model, by default most of what the device has: where a batch
    needs more, it goes through in parts, or inner results are computed twice (``fitting``).
    Raises DivergedError as soon as a loss is not finite, DataError without images, and what on_step raises.
    """
    check_images(model, images)
    head = head.to(model.device)
    with seeded(model.device, seed):
        fitting = fit(model, images, head, min(hyper.batch_size, len(images)), room, precision)
    model.restore()
    parameters = model.parameters()
    optimizer = _optimizer(parameters, hyper)
    alone = not has_batch_norm(model)
    an_epoch = len(batch_sizes(len(images), hyper.batch_size, alone))
    steps = an_epoch * hyper.epochs
    warmup = warmup_steps(steps) if hyper.warmup_steps is None else hyper.warmup_steps
    feed = Feed(model.device)
    smoothed = partial(functional.cross_entropy, label_smoothing=hyper.label_smoothing)
    fill = [round(255 * mean) for mean in model.preprocess.mean]
    try:
        with seeded(model.device, seed) as generator, computed_again(model, fitting.again):
            augment = partial(_augment, hyper=hyper, generator=generator, fill=fill)
            descent = Descent(model, head, optimizer, steps, an_epoch, on_step, augment, precision, MAX_GRADIENT_NORM)
            descent.at_once = fitting.at_once
            model.tuned.train()
            for _ in range(hyper.epochs):
                order = list(batches(len(images), hyper.batch_size, 1, generator, alone))
                for batch in feed.batches(images, labels, order):
                    rate = learning_rate(descent.taken, steps, warmup, hyper.learning_rate)
                    optimizer.param_groups[0]["lr"] = rate
                    descent.step(*batch, smoothed)
            loss = descent.finish()
        state = {
            name: parameter.detach().to("cpu", torch.float32, copy=True)
            for name, parameter in zip(model.names, parameters, strict=True)
        }
        return Tuned(state, loss, steps)
    finally:
        optimizer.zero_grad(set_to_none=True)
        model.module.eval()
        model.restore()


def warmup_steps(steps: int) -> int:
    """Steps of warm-up where none are given: a tenth of all steps, at most 500."""
    return min(MAX_WARMUP_STEPS, steps // 10)


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """The rate of a step (from 0): linear from peak/warmup up to peak, then half a cosine towards zero.

    As the released CLIP code has it (open_clip's cosine schedule).
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + cos(pi * (step - warmup) / (steps - warmup)))


def _optimizer(parameters: list[torch.nn.Parameter], hyper: HyperParameters) -> torch.optim.Optimizer:
    """AdamW with torch's own betas and eps, or SGD with momentum 0.9."""
    rate, decay = hyper.learning_rate, hyper.weight_decay
    if hyper.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM, weight_decay=decay, fused=True)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


def _augment(images: Tensor, hyper: HyperParameters, generator: torch.Generator, fill: list[int]) -> Tensor:
    if hyper.crop_flip:
        images = crop_and_flip(images, generator)
    if hyper.randaugment is not None:
        images = rand_augment(images, hyper.randaugment, generator, fill)
    return images


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[torch.Generator]:
    """A generator for order and augmentation; inside, the default generators too are seeded, then put back.

    The default ones serve what a network draws itself (dropout, patch dropout).
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)
