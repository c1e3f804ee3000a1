"""Where the time of a point's training goes: its parts one by one, and images a second in all.

``python -m benchmarks training``: a CIFAR ResNet-18 (3×3 stem, 32 pixels, batches of 128, crops, flips and RandAugment)
and the image tower of a CLIP ViT-B/32 (224 pixels, batches of 32, RandAugment), on the GPU if there is one, from random
weights and noise. Each part is timed by itself between two waits for the device, so that on a GPU the parts add up
to more than a step that does not wait.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.gpu import models
from benchmarks.timing import spread
from negmerge.memory import keep_freed_memory
from negmerge.models.devices import device_of
from negmerge.models.network import Network
from negmerge.models.precision import autocast, training_precision
from negmerge.spec.precision import Precision
from negmerge.spec.sweep import HyperParameters, RandAugment
from negmerge.training.augment import rand_augment
from negmerge.training.crop_flip import crop_and_flip
from negmerge.training.fine_tune import MAX_GRADIENT_NORM, fine_tune
from tooling.machine import machine

STEPS = 10
STRENGTH = RandAugment(magnitude=5, operations=2)


def main(steps: int = STEPS) -> None:
    """Print the parts of a step and the rate of a whole training, for either model."""
    print(machine())
    keep_freed_memory()
    device = torch.device(device_of("auto"))
    resnet, vit = models.resnet_18(device, tiny=False), models.clip("ViT-B-32", device, tiny=False)
    for name, model, batch, crops in (("ResNet-18", resnet, 128, True), ("ViT-B/32", vit, 32, False)):
        data = models.images_of(model, 2 * batch), models.labels_of(2 * batch), models.head_of(model)
        precision = training_precision("auto", model).precision
        print(f"training: {name}, batches of {batch} on {device}, {torch.get_num_threads()} threads, {precision}")
        for part, seconds in parts(model, *data, batch, crops, steps, precision).items():
            print(f"  {part:14} {spread([1e3 * one for one in seconds], 'ms')}")
        rates = [whole(model, *data, batch, crops, steps, precision) for _ in range(3)]
        print(f"  {'in all':14} {spread(rates, 'images/s')}")


def parts(
    model: Network,
    images: Tensor,
    labels: Tensor,
    head: Tensor,
    batch: int,
    crops: bool,
    steps: int,
    precision: Precision,
) -> dict[str, list[float]]:
    """Seconds of each part of a step, by its name, written out as ``Descent`` has it."""
    seconds: dict[str, list[float]] = defaultdict(list)
    model.restore()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    generator = torch.Generator().manual_seed(0)
    model.tuned.train()
    head = head.to(model.device)

    def timed(part: str, work: Callable[[], Any]) -> Any:
        _wait(model.device)
        started = time.perf_counter()
        done = work()
        _wait(model.device)
        seconds[part].append(time.perf_counter() - started)
        return done

    def sent(chosen: Tensor) -> Tensor:
        return images[chosen].to(model.device)

    def forward(pixels: Tensor) -> Tensor:
        with autocast(model.device, precision):
            return model.logits(pixels, head)

    for step in range(steps + 1):
        if step == 1:
            seconds.clear()  # the first is a warm-up
        chosen = torch.randperm(len(images), generator=generator)[:batch]
        pixels = timed("index, send", partial(sent, chosen))
        target = labels[chosen].to(model.device)
        if crops:
            pixels = timed("crops, flips", partial(crop_and_flip, pixels, generator))
        pixels = timed("RandAugment", partial(rand_augment, pixels, STRENGTH, generator))
        logits = timed("forward", partial(forward, pixels))
        loss = timed("loss", partial(functional.cross_entropy, logits, target))
        optimizer.zero_grad(set_to_none=True)
        timed("backward", partial(torch.autograd.backward, [loss]))
        timed("clip", partial(torch.nn.utils.clip_grad_norm_, model.parameters(), MAX_GRADIENT_NORM))
        timed("optimizer", optimizer.step)
        timed("read the loss", partial(float, loss.detach()))
    model.module.eval()
    model.restore()
    return dict(seconds)


def whole(
    model: Network,
    images: Tensor,
    labels: Tensor,
    head: Tensor,
    batch: int,
    crops: bool,
    steps: int,
    precision: Precision,
) -> float:
    """Images a second of ``fine_tune`` itself, start and end included."""
    hyper = HyperParameters(
        learning_rate=1e-5, epochs=max(1, steps // 2), batch_size=batch, crop_flip=crops, randaugment=STRENGTH
    )
    started = time.perf_counter()
    tuned = fine_tune(model, images, labels, head, hyper, seed=0, precision=precision)
    return tuned.steps * batch / (time.perf_counter() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
