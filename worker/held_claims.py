"""What this process holds: the running step, and the points that it has folded but not committed yet.

The computing thread takes and lets go; the keeper renews all of it and says when the running step must stop.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from app.record.leases import Claim
from negmerge.errors import Interrupted

TRACE = 64
"""Losses of a running step that are kept to be shown: where there are more, every second one is forgotten."""

SAFE_SHARE = 0.8
"""Share of a lease after which a step that could not be renewed is taken for lost. The rest is for stopping."""


@dataclass(frozen=True)
class Standing:
    """Where a running step stands, and its losses up to there as pairs of step and loss."""

    step: int
    total: int
    loss: float | None
    trace: list[tuple[int, float]]


class Reason(StrEnum):
    """Why the running step must stop."""

    SHUTDOWN = "shutdown"
    CANCELLED = "cancelled"
    LOST = "lost"


class Stopped(Interrupted):
    """The running step was asked to stop; ``reason`` says why."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(f"stopped: {reason}")


class HeldClaims:
    """The claims of this process, shared between its two threads.

    The running step stops by itself before its lease ends, even where the keeper hangs in a database that does not
    answer, or the whole process was paused.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._safe_seconds = lease_seconds * SAFE_SHARE
        self._safe_until = 0.0  # by the monotonic clock
        self._lock = threading.Lock()
        self._running: Claim | None = None
        self._folded: dict[str, Claim] = {}
        self._reason: Reason | None = None
        self._progress: tuple[int, int, float | None] | None = None
        self._trace: list[tuple[int, float]] = []
        self._every = 1  # of the steps whose loss is kept
        self._stopping = False
        self.broken = False
        """True once something failed that only a new process can mend: the device, or a thread of ours."""

    @property
    def stopping(self) -> bool:
        """True once the process has been told to end."""
        return self._stopping

    def shut_down(self) -> None:
        """Stop the running step and begin no other. Plain assignments, so a signal handler may call it."""
        self._stopping = True

    def break_off(self) -> None:
        """End the process in its ordinary way, because it must be replaced; a supervisor starts another."""
        self.broken = True
        self.shut_down()
        os.kill(os.getpid(), signal.SIGTERM)

    def begin(self, claim: Claim, asked_at: float) -> None:
        """The computing thread starts on a claim that it asked for at ``asked_at`` (``time.monotonic()``)."""
        self.renewed(asked_at)
        with self._lock:
            self._running, self._reason, self._progress = claim, None, None
            self._trace, self._every = [], 1

    def renewed(self, asked_at: float) -> None:
        """All leases live from ``asked_at`` on, which is a moment before the record was asked for that."""
        self._safe_until = max(self._safe_until, asked_at + self._safe_seconds)

    def end(self) -> None:
        """The computing thread has left its claim: done, folded, failed or given back."""
        with self._lock:
            self._running = None

    def keep(self, claim: Claim) -> None:
        """A folded point stays claimed, and renewed, until it is committed."""
        with self._lock:
            self._folded[claim.token] = claim

    def let_go(self, tokens: Collection[str]) -> None:
        """These folded points are committed, or lost."""
        with self._lock:
            for token in tokens:
                self._folded.pop(token, None)

    def claims(self) -> list[Claim]:
        """Everything that must be renewed."""
        with self._lock:
            running = [self._running] if self._running is not None else []
            return [*running, *self._folded.values()]

    def progress(self) -> tuple[Claim, Standing] | None:
        """The running step and where it stands, if it has said so since the last call."""
        with self._lock:
            progress, self._progress = self._progress, None
            if self._running is None or progress is None:
                return None
            return self._running, Standing(*progress, list(self._trace))

    def lose(self, tokens: Collection[str]) -> None:
        """These leases are gone: stop the running step if it is among them.

        A folded point that is lost stays in the list: its flush finds out, and does what is due then.
        """
        self._stop_if(lambda claim: claim.token in tokens, Reason.LOST)

    def cancel(self, job_ids: Collection[str]) -> None:
        """These jobs were cancelled or have ended: stop the running step if it is one of theirs."""
        self._stop_if(lambda claim: claim.job_id in job_ids, Reason.CANCELLED)

    def on_step(self, step: int, total: int, loss: float | None) -> None:
        """What every step of work calls. Raises Stopped once there is a reason to stop."""
        if self._stopping:
            raise Stopped(Reason.SHUTDOWN)
        if self._reason is not None:
            raise Stopped(self._reason)
        if time.monotonic() > self._safe_until:
            raise Stopped(Reason.LOST)
        self._progress = (step, total, loss)
        if loss is not None and step % self._every == 0 and math.isfinite(loss):
            self._keep_loss(step, loss)

    def _keep_loss(self, step: int, loss: float) -> None:
        trace = [*self._trace, (step, round(loss, 4))]
        if len(trace) > TRACE:
            self._every *= 2
            trace = [kept for kept in trace if kept[0] % self._every == 0]
        self._trace = trace  # another list: the keeper may be reading the one before

    def _stop_if(self, concerns: Callable[[Claim], bool], reason: Reason) -> None:
        with self._lock:
            if self._running is not None and concerns(self._running):
                self._reason = reason
