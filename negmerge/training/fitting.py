"""How much of a batch goes through a network at once, so that what the backward pass needs fits into memory.

Known beforehand, and alike on all machines of a kind: two images go forward, and what autograd keeps of them is
counted. Where a batch does not fit, its gradient is accumulated over parts that do, each weighed by its share: the same
sum, rounded otherwise. A network with BatchNorm would take other statistics from a part than from the whole; so it
keeps only the inputs of its blocks, and computes what lies between again on the way back (Chen et al., arXiv
1604.06174): the same numbers, for more time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from negmerge.models.network import Network
from negmerge.models.precision import autocast
from negmerge.spec.precision import Precision
from negmerge.training.batching import has_batch_norm
from negmerge.training.room import all_bytes

_USED = 0.8
"""Of all memory: the model, the data and others have a share in it, and it lies in pieces."""
_ON_THE_WAY_BACK = 1.5
"""What a pass back needs at its peak, in terms of what the way forward has kept."""
_OF_A_PARAMETER = 4 * 4
"""Bytes for each number that is trained: its gradient, two moments, and what an update holds for a moment."""
_PROBED = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """at_once: images that go through the network together, None for a whole batch. again: whether it computes inner
    results a second time."""

    at_once: int | None = None
    again: bool = False


def fit(
    model: Network,
    images: Tensor,
    head: Tensor,
    batch: int,
    room: int | None = None,
    precision: Precision = "float32",
) -> Fit:
    """What to do with batches of ``batch`` images like ``images``, uint8 [N, 3, S, S], in a precision.

    room: bytes that training may take besides the model, by default most of what the device has. Default generators
    are drawn from, and BatchNorm's statistics move: the caller puts both back.
    """
    room = int(_USED * all_bytes(model.device)) if room is None else room
    for_all = _OF_A_PARAMETER * sum(parameter.numel() for parameter in model.parameters())
    probed = images[:_PROBED]
    for_one = max(1, round(_ON_THE_WAY_BACK * kept_for_backward(model, probed, head, precision) / len(probed)))
    found = max(1, (room - for_all) // for_one)
    if found >= batch:
        return Fit()
    if has_batch_norm(model):
        log.warning("%d images do not fit into memory: inner results are computed twice", batch)
        return Fit(again=True)
    log.warning("%d images do not fit into memory: they are trained on %d at a time", batch, found)
    return Fit(found)


def kept_for_backward(model: Network, images: Tensor, head: Tensor, precision: Precision = "float32") -> int:
    """Bytes that autograd keeps of these images on their way forward in training mode, parameters left out."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.module.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    was_training = model.tuned.training
    model.tuned.train()
    saved = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with saved, autocast(model.device, precision):
        logits = model.logits(images, head)
    model.tuned.train(was_training)
    del logits
    return sum(kept.values())


@contextmanager
def computed_again(model: Network, wanted: bool) -> Iterator[None]:
    """While it lasts, the network keeps only its blocks' inputs, if that is wanted; one that cannot stays as it is."""
    switch: Any = getattr(model.tuned, "set_grad_checkpointing", None)
    if not wanted or switch is None:
        yield
        return
    try:
        switch(True)
    except AssertionError:  # timm's way of saying that an architecture has no such mode
        log.warning("this architecture cannot compute inner results twice")
        yield
        return
    try:
        yield
    finally:
        switch(False)


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "std::bad_alloc", "could not create a memory")
    )
