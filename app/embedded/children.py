"""Child processes that never outlive their parent: how ``up`` starts, watches and stops its parts.

Each child leads its own process group, so that Ctrl-C reaches the parent alone, and asks the kernel (Linux) to
be killed when the parent dies, so that even ``kill -9`` of the parent leaves no orphan.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LONGEST_PAUSE = 30.0
_STEADY_AFTER = 60.0


class Child:
    """One supervised process: ``command`` with ``environment``. log: what its output is appended to; None: our own."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._started_at = 0.0
        self._start_again_at = 0.0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process. Call it from the main thread: the child lives as long as the thread that made it."""
        with self.log.open("ab") if self.log is not None else nullcontext() as output:
            self._process = subprocess.Popen(
                self.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                process_group=0,
                preexec_fn=_dies_with_parent(),
            )
        self._started_at = time.monotonic()

    def exit_status(self) -> int | None:
        """None while the process runs, else its exit status (negative: the signal that ended it)."""
        return None if self._process is None else self._process.poll()

    def buried(self) -> int | None:
        """The exit status of a process found dead just now. It will be due again after a pause that grows."""
        status = self.exit_status()
        if status is None:
            return None
        now = time.monotonic()
        self._deaths = 1 if now - self._started_at > _STEADY_AFTER else self._deaths + 1
        self._start_again_at = now + min(_LONGEST_PAUSE, 0.25 * 2**self._deaths)
        self._process = None
        return status

    def start_if_due(self) -> bool:
        """Start a buried child whose pause is over; True if it was started."""
        if self._process is not None or time.monotonic() < self._start_again_at:
            return False
        self.start()
        return True

    def ask_to_stop(self) -> None:
        """Send TERM, if the process still runs."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, grace: float) -> None:
        """TERM, then after ``grace`` seconds KILL to the whole group; returns when the process is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def last_words(self, lines: int = 20) -> str:
        """The end of the child's log, for a message."""
        text = self.log.read_text(errors="replace") if self.log is not None and self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _dies_with_parent() -> Callable[[], None] | None:
    """What the child runs between fork and exec: ask for KILL when the parent dies. Linux only."""
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: nothing may lock after it

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
