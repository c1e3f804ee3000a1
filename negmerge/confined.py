"""What strangers sent is read in a process of its own, with the system's limits on memory and seconds.

Whatever a file does to the process that reads it, it does to that one. What is asked goes there as JSON on stdin, the
answer comes back as JSON on stdout. The reader is a module with ``if __name__ == "__main__": confined.answer(…)``.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

_SECONDS_LEFT = 30
"""How long the clock may go on after the seconds of CPU: for waiting for a disk."""
_LIBRARIES = {
    "MALLOC_ARENA_MAX": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "RUST_BACKTRACE": "0",
}
"""Threads of libraries would take a limit of memory with what they never touch."""
_INHERITED = ("PATH", "PYTHON", "LD_", "LANG", "LC_", "TMPDIR", "HOME")
"""Beginnings of the variables that the process gets: no keys and no passwords, whatever becomes of it."""
_FILES = 64
_NO_MEMORY = {"no_memory": True}
_OUT_OF_MEMORY = ("MemoryError", "memory allocation of")
"""What Python says, and Rust, where the process has no memory left to say it better."""
_PR_SET_PDEATHSIG = 1


class TooMuch(Exception):
    """The reader wanted more than its limit of ``memory`` or of ``seconds``. It would again."""

    def __init__(self, of: Literal["memory", "seconds"]) -> None:
        super().__init__(f"reading it takes more {of} than it may")
        self.of = of


class Starved(OSError):
    """The machine ended the reader, or left it no time. It may go well the next time."""


class Broken(Exception):
    """The reader ended without an answer, of itself. The text is for a log: what it said last."""


def ask(
    module: str, question: dict[str, Any], memory: int, seconds: int, inherited: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What ``python -m module`` answers. Raises TooMuch, Starved, Broken.

    memory: bytes of address space; seconds: of CPU; inherited: how more variables begin that it needs.
    """
    # -P: what lies in the current folder, beside a stranger's files, is no module
    command = [sys.executable, "-P", "-m", module]
    text = json.dumps(question | {"memory": memory, "seconds": seconds})
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds + _SECONDS_LEFT,
            env=_environment(inherited),
        )
    except subprocess.TimeoutExpired:
        raise Starved(f"reading it took more than {seconds + _SECONDS_LEFT} s of the clock") from None
    if done.returncode == -signal.SIGXCPU:
        raise TooMuch("seconds")
    if done.returncode == -signal.SIGKILL:
        raise Starved("the system ended the process that read it")
    if done.returncode and any(word in done.stderr for word in _OUT_OF_MEMORY):
        raise TooMuch("memory")
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise Broken(f"status {done.returncode}: {done.stderr[-4000:]}") from None
    if found == _NO_MEMORY:
        raise TooMuch("memory")
    return found


def _environment(inherited: tuple[str, ...]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED + inherited)}
    home = str(Path(__file__).parent.parent)
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | _LIBRARIES | {"PYTHONPATH": path}


def answer(question_to_answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer the one question on stdin, within its limits."""
    question = json.load(sys.stdin)
    _end_with_parent()
    _limit(question["memory"], question["seconds"])
    try:
        found = question_to_answer(question)
    except MemoryError:
        found = _NO_MEMORY
    json.dump(found, sys.stdout)


def _limit(memory: int, seconds: int) -> None:
    """The system's own limits: of more memory it gives none, after more seconds of CPU it ends the process."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))  # the first ends it with a signal of its own
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent() -> None:
    """Die when the asking process does: nobody would take the answer, and the files may go away."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
