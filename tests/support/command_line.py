"""A command of the command line that has ended, and what is said of it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]
"""Runs the command line with these arguments."""


def assert_refused(done: Done, *words: str) -> None:
    """Status 2, and one line on stderr that has these words; nothing on stdout."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("negmerge: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
