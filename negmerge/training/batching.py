"""How samples go through training: which batch sizes an epoch has, and in which order samples come."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from negmerge.errors import DataError
from negmerge.models.network import Network


def check_images(model: Network, images: Tensor) -> None:
    """Raise DataError where there is nothing to train on, or nothing that BatchNorm can take a variance of."""
    if len(images) == 0:
        raise DataError("there is nothing to train on: there are no training samples")
    if len(images) == 1 and has_batch_norm(model):
        raise DataError("one image alone cannot train a model with BatchNorm, which needs two: choose more samples")


def has_batch_norm(model: Network) -> bool:
    """Whether the model normalises over a batch, which cannot be one image then."""
    return any(isinstance(module, BatchNorm) for module in model.module.modules())


def batch_sizes(count: int, size: int, alone: bool = True) -> list[int]:
    """How many of ``count`` samples are in each batch of an epoch: ``size``, and the rest in the last.

    Where a sample may not be ``alone``, ``size`` is 2 at least, and a last one goes with the batch before.
    """
    size = size if alone else max(size, 2)
    sizes = [size] * (count // size)
    rest = count % size
    if rest == 1 and sizes and not alone:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def batches(count: int, size: int, epochs: int, generator: torch.Generator, alone: bool = True) -> Iterator[Tensor]:
    """Indices int64 of each batch: a fresh permutation an epoch, cut into ``batch_sizes``."""
    sizes = batch_sizes(count, size, alone)
    for _ in range(epochs):
        yield from torch.split(torch.randperm(count, generator=generator), sizes)
