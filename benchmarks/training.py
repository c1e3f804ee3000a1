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

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import spread
from experiments.cifar10 import CONFIG
from negmerge.memory import keep_freed_memory
from negmerge.models import classifiers, zero_shot
from negmerge.models.classifiers import Classifier
from negmerge.models.devices import device_of
from negmerge.models.network import Network
from negmerge.models.zero_shot import ZeroShotModel
from negmerge.spec.sweep import HyperParameters, RandAugment
from negmerge.training.augment import rand_augment
from negmerge.training.crop_flip import crop_and_flip
from negmerge.training.fine_tune import MAX_GRADIENT_NORM, fine_tune
from tooling.machine import machine

STEPS = 10
CLASSES = 10
STRENGTH = RandAugment(magnitude=5, operations=2)


def main(steps: int = STEPS) -> None:
    """Print the parts of a step and the rate of a whole training, for either model."""
    print(machine())
    keep_freed_memory()
    device = device_of("auto")
    for name, make, batch, crops in (("ResNet-18", resnet_18, 128, True), ("ViT-B/32", vit_b_32, 32, False)):
        model, head = make(device)
        images, labels = samples(model.preprocess.size, 2 * batch)
        print(f"training: {name}, batches of {batch} on {device}, {torch.get_num_threads()} threads")
        for part, seconds in parts(model, head, images, labels, batch, crops, steps).items():
            print(f"  {part:14} {spread([1e3 * one for one in seconds], 'ms')}")
        rates = [whole(model, head, images, labels, batch, crops, steps) for _ in range(3)]
        print(f"  {'in all':14} {spread(rates, 'images/s')}")


def resnet_18(device: str) -> tuple[Network, Tensor]:
    """CIFAR's, with its 3×3 stem; its head is its own."""
    torch.manual_seed(0)
    config = {key: value for key, value in CONFIG.items() if key != "model_args"} | {"stem": "cifar"}
    module = classifiers.build(config)
    return Classifier(module, config, module.state_dict(), device), torch.zeros(0)


def vit_b_32(device: str) -> tuple[Network, Tensor]:
    """CLIP's, with a head of random words."""
    torch.manual_seed(0)
    model_cfg = open_clip.get_model_config("ViT-B-32")
    module = zero_shot.build(model_cfg)
    config = {"model_cfg": model_cfg, "preprocess_cfg": {}}
    return ZeroShotModel(module, config, module.state_dict(), device), torch.randn(CLASSES, model_cfg["embed_dim"])


def samples(size: int, count: int) -> tuple[Tensor, Tensor]:
    """Noise, and a class for each image."""
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    return images, torch.arange(count) % CLASSES


def parts(
    model: Network, head: Tensor, images: Tensor, labels: Tensor, batch: int, crops: bool, steps: int
) -> dict[str, list[float]]:
    """Seconds of each part of a step, by its name, written out as ``Descent`` has it."""
    seconds: dict[str, list[float]] = defaultdict(list)
    model.restore()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    generator = torch.Generator().manual_seed(0)
    model.tuned.train()
    half = torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda")
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
        with half:
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


def whole(model: Network, head: Tensor, images: Tensor, labels: Tensor, batch: int, crops: bool, steps: int) -> float:
    """Images a second of ``fine_tune`` itself, start and end included."""
    hyper = HyperParameters(
        learning_rate=1e-5, epochs=max(1, steps // 2), batch_size=batch, crop_flip=crops, randaugment=STRENGTH
    )
    started = time.perf_counter()
    tuned = fine_tune(model, images, labels, head, hyper, seed=0)
    return tuned.steps * batch / (time.perf_counter() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
