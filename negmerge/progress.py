"""How long work tells where it stands, and how it is stopped."""

from collections.abc import Callable

OnStep = Callable[[int, int, float | None], None]
"""``on_step(step, total, loss)``: called after each step (1 … total) with its loss, where there is one.

It may raise ``Interrupted`` to stop the work at once; the work then leaves nothing behind.
"""


def ignore(step: int, total: int, loss: float | None) -> None:
    """An OnStep that nobody listens to."""


def frozen_at(on_step: OnStep, step: int, total: int, loss: float | None = None) -> OnStep:
    """An OnStep for work inside one step: it lets the work be stopped, and progress stands still."""
    return lambda _step, _total, _loss: on_step(step, total, loss)


OnStage = Callable[[str], OnStep]
"""Called with a stage's name before it begins; returns the OnStep that follows it."""


class Stages:
    """Several pieces of work behind one OnStep: each takes up its own share of ``total`` steps."""

    def __init__(self, on_step: OnStep, total: int) -> None:
        self._on_step = on_step
        self._total = total
        self._done = 0

    def next(self, size: int) -> OnStep:
        """The OnStep of the next piece, which is worth ``size`` steps however finely it counts its own."""
        begin = self._done
        self._done += size

        def on_step(step: int, total: int, loss: float | None) -> None:
            self._on_step(begin + size * step // max(total, 1), self._total, loss)

        return on_step
