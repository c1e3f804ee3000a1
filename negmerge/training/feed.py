"""Where the samples of a training lie, and how their batches come to the device that trains."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from negmerge.training.room import free_bytes

_SHARE = 4
"""Samples may fill the fourth part of a GPU's free memory: the rest is for training."""
_AHEAD = 2
"""How many batches are on their way while one is trained on."""


@dataclass(frozen=True)
class _Sent:
    """A batch on its way. there: CUDA's event that it has arrived; None where it need not travel."""

    images: Tensor
    there: Any


class Feed:
    """Batches of samples on a device, in an order that somebody else draws.

    Samples that fit are brought to the device once, and stay there as long as the feed; on a CPU that is where they
    are. The others stay in host memory: a thread gathers batches in pinned memory and sends them on a stream of its
    own, two ahead of the one that is trained on. room: bytes that samples may take on the device besides those that are
    there already; by default a fourth of what is free on a GPU. With 0 all travel, on a CPU too.
    """

    def __init__(self, device: torch.device, room: int | None = None) -> None:
        self._device = device
        self._there: dict[
            int, tuple[Tensor, Tensor]
        ] = {}  # by identity, with the original, so that it stays the only one
        self._always = room is None and device.type == "cpu"
        self._room = free_bytes(device) // _SHARE if room is None and not self._always else room or 0
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def batches(self, images: Tensor, labels: Tensor, order: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches that ``order`` names by int64 indices: uint8 [B, 3, S, S] and int64 [B], both on the device."""
        labels = labels.to(self._device)
        resident = self._resident(images)
        places = (chosen.to(self._device, non_blocking=True) for chosen in order)
        if resident is None:
            yield from (
                (batch, labels[place]) for batch, place in zip(self._travelling(images, order), places, strict=True)
            )
        else:
            yield from ((resident[place], labels[place]) for place in places)

    def _resident(self, images: Tensor) -> Tensor | None:
        """The samples on the device, where they fit."""
        if self._always:
            return images
        if id(images) not in self._there and images.nbytes <= self._room:
            self._room -= images.nbytes
            self._there[id(images)] = images, images.to(self._device)
        return self._there[id(images)][1] if id(images) in self._there else None

    def _travelling(self, images: Tensor, order: Sequence[Tensor]) -> Iterator[Tensor]:
        waiting = iter(order)
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as thread:
            sent: deque[Future[_Sent]] = deque()
            while True:
                sent.extend(
                    thread.submit(self._send, images, chosen) for chosen in islice(waiting, _AHEAD - len(sent) + 1)
                )
                if not sent:
                    return
                yield self._received(sent.popleft().result())

    def _send(self, images: Tensor, chosen: Tensor) -> _Sent:
        shape = (len(chosen), *images.shape[1:])
        gathered = torch.empty(shape, dtype=images.dtype, pin_memory=self._stream is not None)
        torch.index_select(images, 0, chosen, out=gathered)
        if self._stream is None:
            return _Sent(gathered, None)
        with torch.cuda.stream(self._stream):
            moved = gathered.to(self._device, non_blocking=True)
            there: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
            there.record(self._stream)
        return _Sent(moved, there)

    def _received(self, sent: _Sent) -> Tensor:
        if sent.there is not None:
            here = torch.cuda.current_stream(self._device)
            here.wait_event(sent.there)
            sent.images.record_stream(here)
        return sent.images
