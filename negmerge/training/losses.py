"""The losses of a training's steps: they stay on the device, and are read without the device having to wait for it."""

from collections import deque
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from negmerge.errors import DivergedError

AHEAD = 4
"""How many steps a CUDA device may be told of before the first of them is over: enough that it never lacks work, and
few enough that a step to stop at is soon reached."""


@dataclass(frozen=True)
class _Kept:
    """A step's loss on its way. there: CUDA's event that it has reached the host; None where it is there already."""

    loss: Tensor
    count: int
    there: Any


class Losses:
    """Of each step, from first to last, the loss of its batch. At most ``ahead`` of them are not read yet.

    steps: of the whole training. window: how many of the last steps ``mean`` is over. newest: the newest loss that was
    read. On a CPU nothing is ahead, since reading costs nothing there.
    """

    def __init__(self, steps: int, window: int, ahead: int) -> None:
        self._steps, self._ahead = steps, ahead
        self._waiting: deque[_Kept] = deque()
        self._last: deque[tuple[float, int]] = deque(maxlen=window)
        self._read = 0
        self.newest: float | None = None

    def keep(self, loss: Tensor, count: int) -> None:
        """Take the loss of the next step, a scalar over ``count`` images, and read what is due or has arrived.

        Raises DivergedError where one that is read is not finite: at most ``ahead`` steps late, and it names the step.
        """
        self._waiting.append(_sent(loss.detach(), count))
        while self._waiting and (len(self._waiting) > self._ahead or _arrived(self._waiting[0])):
            self._take()

    def mean(self) -> float:
        """The mean loss over the images of the last ``window`` steps, once all are read. Raises DivergedError."""
        while self._waiting:
            self._take()
        total, seen = 0.0, 0
        for loss, count in self._last:
            total, seen = total + loss * count, seen + count
        return total / seen

    def _take(self) -> None:
        kept = self._waiting.popleft()
        if kept.there is not None:
            kept.there.synchronize()
        self._read += 1
        self.newest = float(kept.loss)
        if not isfinite(self.newest):
            raise DivergedError(
                f"the loss is {self.newest} at step {self._read} of {self._steps}; "
                "lower the learning rate, or the weight decay"
            )
        self._last.append((self.newest, kept.count))


def ahead_on(device: torch.device) -> int:
    """How many losses may be unread on a device."""
    return AHEAD if device.type == "cuda" else 0


def _sent(loss: Tensor, count: int) -> _Kept:
    if not loss.is_cuda:
        return _Kept(loss, count, None)
    host = torch.empty_like(loss, device="cpu", pin_memory=True).copy_(loss, non_blocking=True)
    there: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    there.record(torch.cuda.current_stream(loss.device))
    return _Kept(host, count, there)


def _arrived(kept: _Kept) -> bool:
    return kept.there is not None and bool(kept.there.query())
