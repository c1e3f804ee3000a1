"""Fine-tuning as the product does it, beside the published loop: images a second, and the same digest twice.

A training's cost beside its steps (optimizer, weights to the CPU) is left out by timing a short and a long one.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision import transforms

from benchmarks.gpu import models
from benchmarks.gpu.ceilings import MATMUL
from benchmarks.gpu.table import Bench, Wrong
from negmerge.checkpoints.tensors import digest
from negmerge.models.network import Network
from negmerge.spec.sweep import HyperParameters
from negmerge.training.fine_tune import fine_tune

Make = Callable[[torch.device, bool], Network]

_MOST_EPOCHS = 64
_TINY_SECONDS = 1.0
_SHARE = 0.3
"""Of a row's time for the long training; making the model and the published loop take the rest."""


def b_32(device: torch.device, tiny: bool) -> Network:
    """CLIP ViT-B/32."""
    return models.clip("ViT-B-32", device, tiny)


def l_14(device: torch.device, tiny: bool) -> Network:
    """CLIP ViT-L/14."""
    return models.clip("ViT-L-14", device, tiny)


def speed(make: Make, batch: int, batches: int) -> Callable[[Bench, float], str]:
    """A row: ours and the published loop, on ``batches`` batches of noise an epoch."""

    def run(bench: Bench, seconds: float) -> str:
        size, count = (8, 2) if bench.tiny else (batch, batches)
        seconds = _SHARE * (_TINY_SECONDS if bench.tiny else seconds)
        model = make(bench.device, bench.tiny)
        data = (models.images_of(model, size * count), models.labels_of(size * count), models.head_of(model))
        flops = models.training_flops(model)
        hyper = hyper_of(model, size)
        ours = _ours(bench, model, data, hyper, seconds)
        told = f"{ours:,.0f} images/s, batch {size}, {bench.share(MATMUL, ours * flops)} of the matmul ceiling"
        try:
            theirs = _published(bench, model, data, hyper, seconds)
        except torch.OutOfMemoryError:
            return f"{told}; published loop: out of memory"
        return f"{told}; published loop {theirs:,.0f} ({ours / theirs:.1f} ×)"

    return run


def hyper_of(model: Network, batch: int, epochs: int = 1) -> HyperParameters:
    """What each family is usually trained with."""
    if model.is_classifier:
        return HyperParameters(
            learning_rate=0.05, weight_decay=5e-5, optimizer="sgd", crop_flip=True, batch_size=batch, epochs=epochs
        )
    return HyperParameters(batch_size=batch, epochs=epochs)


def tuned(model: Network, data: tuple[Tensor, Tensor, Tensor], hyper: HyperParameters, seed: int = 0) -> Any:
    """The product's own training, in bfloat16."""
    return fine_tune(model, *data, hyper, seed, precision="bfloat16")


def _ours(
    bench: Bench, model: Network, data: tuple[Tensor, Tensor, Tensor], hyper: HyperParameters, seconds: float
) -> float:
    """Images a second: what a long training takes more than one of one epoch."""

    def timed(epochs: int) -> float:
        started = bench.clock()
        tuned(model, data, hyper.model_copy(update={"epochs": epochs}))
        return bench.clock() - started

    timed(1)  # kernels are chosen, and memory is taken
    short = timed(1)
    more = max(1, min(_MOST_EPOCHS, int(seconds / short)))
    return more * len(data[0]) / max(timed(1 + more) - short, 1e-9)


def _published(
    bench: Bench, model: Network, data: tuple[Tensor, Tensor, Tensor], hyper: HyperParameters, seconds: float
) -> float:
    """Images a second of the published way: each image prepared by itself, float32, the loss read in every step."""
    images, labels, head = data
    prepare = _prepare(model)
    parameters, head = model.parameters(), head.to(bench.device)
    rate, decay = hyper.learning_rate, hyper.weight_decay
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)
        if model.is_classifier
        else torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    )
    steps, started, deadline = 0, 0.0, time.monotonic() + seconds
    model.tuned.train()
    while steps < 2 or time.monotonic() < deadline:
        if steps == 1:
            started = bench.clock()  # the first step chose kernels and took memory
        chosen = torch.randperm(len(images))[: hyper.batch_size].tolist()
        batch = torch.stack([prepare(images[place]) for place in chosen]).to(bench.device)
        features = model.module.encode_image(batch) if hasattr(model.module, "encode_image") else model.module(batch)
        logits = features if model.is_classifier else functional.normalize(features, dim=1) @ head.T
        loss = functional.cross_entropy(logits, labels[chosen].to(bench.device))
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        if not model.is_classifier:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        loss.item()
        steps += 1
    taken = bench.clock() - started
    model.module.eval()
    model.restore()
    return (steps - 1) * hyper.batch_size / taken


def _prepare(model: Network) -> Callable[[Tensor], Tensor]:
    size, mean, std = model.preprocess.size, model.preprocess.mean, model.preprocess.std
    random = [transforms.RandomCrop(size, padding=size // 8), transforms.RandomHorizontalFlip()]
    steps = [transforms.ToPILImage(), *(random if model.is_classifier else []), transforms.ToTensor()]
    prepared: Callable[[Tensor], Tensor] = transforms.Compose([*steps, transforms.Normalize(mean, std)])
    return prepared


def twice(bench: Bench, _seconds: float) -> str:
    """The same training twice, of either family: the same weights to the bit, or Wrong."""
    told = []
    for name, make in (("ResNet-18", models.resnet_18), ("ViT-B/32", b_32)):
        model = make(bench.device, bench.tiny)
        size = 8 if bench.tiny else 128
        data = (models.images_of(model, 4 * size), models.labels_of(4 * size), models.head_of(model))
        hyper = hyper_of(model, size, epochs=2)
        first, second = (digest(tuned(model, data, hyper, seed=7).state) for _ in range(2))
        if first != second:
            raise Wrong(f"{name} trained twice from one seed gave {first[:19]}… and {second[:19]}…")
        told.append(f"{name} {first[:19]}…")
    return f"the same weights twice: {', '.join(told)}"
