"""So that nobody wonders whether anything goes on: say what does, and every few seconds that it still does.

``python tooling/beat.py WHAT COMMAND …`` runs a command so; a ``Beat`` does the same for what a process does itself. It
needs nothing but Python, as it runs before anything is installed.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

SECONDS = 4.0
"""Between two lines, while nothing else is said."""


class Beat:
    """Whole lines to a stream, and one of its own whenever none has come for a while; from several threads, too."""

    def __init__(self, stream: TextIO, seconds: float = SECONDS) -> None:
        self._stream = stream
        self._seconds = seconds
        self._changed = threading.RLock()
        self._said = self._began = time.monotonic()
        self._what = self._detail = ""

    def say(self, line: str, stream: TextIO | None = None) -> None:
        """Print a line, on another stream if it is told one."""
        with self._changed:
            print(line, file=stream or self._stream, flush=True)
            self._said = time.monotonic()

    def begin(self, what: str) -> None:
        """Say what begins; from now on that is what goes on."""
        with self._changed:
            self._what, self._detail, self._began = what, "", time.monotonic()
            self.say(f"{what} …")

    def at(self, detail: str) -> None:
        """How far it is, for the next line that says that it goes on."""
        self._detail = detail

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Inside, a thread looks whether anything was said."""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(max(self._said + self._seconds - time.monotonic(), 0.01)):
            with self._changed:
                if time.monotonic() - self._said >= self._seconds and not ended.is_set():
                    passed = f"{time.monotonic() - self._began:.0f} s"
                    self.say(f"  {self._what}: {self._detail + ', ' if self._detail else ''}{passed}")


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit status."""
    what, *command = arguments
    beat = Beat(sys.stderr)
    beat.begin(what)
    with beat.beating():
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
