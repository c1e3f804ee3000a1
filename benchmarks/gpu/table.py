"""The table: rows that each have so many seconds, and what is said of the rows that did not fit."""

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from negmerge.errors import NegmergeError

_MIB = 1 << 20
_FAILURES = (RuntimeError, OSError, NegmergeError)
"""What a row may fail of, the device's errors among them, without taking the others with it."""


@dataclass
class Bench:
    """What all rows share. measured: figures that later rows are compared with, by name."""

    device: torch.device
    tiny: bool
    measured: dict[str, float] = field(default_factory=dict)

    def wait(self) -> None:
        """Until the device has done what it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def clock(self) -> float:
        """Seconds, once the device has done what it was asked for."""
        self.wait()
        return time.perf_counter()

    def share(self, of: str, value: float) -> str:
        """How much of a ceiling a value is; a dash where that one was not measured."""
        ceiling = self.measured.get(of)
        return "–" if not ceiling else f"{100 * value / ceiling:.0f} %"


@dataclass(frozen=True)
class Row:
    """One line. seconds: what it may take; a row stops by itself in time. target: what is wanted, in words.

    run: measures and says what was found; raises Wrong where the result itself is not what it must be.
    """

    name: str
    seconds: float
    run: Callable[[Bench, float], str]
    target: str = ""


class Wrong(Exception):
    """A row's results are not what they must be: no matter of speed."""


@dataclass(frozen=True)
class Line:
    """A row as it came out. wrong: whether it failed."""

    name: str
    found: str
    target: str
    seconds: float
    memory: str
    wrong: bool = False


def measured(rows: Iterable[Row], bench: Bench, deadline: float, say: Callable[[str], None]) -> list[Line]:
    """All rows in order, each where it still fits before ``deadline`` (``time.monotonic()``)."""
    lines = []
    for row in rows:
        line = _measured(row, bench, deadline)
        say(f"{line.name}: {line.found} ({line.seconds:.0f} s)")
        lines.append(line)
    return lines


def _measured(row: Row, bench: Bench, deadline: float) -> Line:
    left = deadline - time.monotonic()
    if left < row.seconds:
        return Line(
            row.name, f"did not fit: {max(left, 0):.0f} s were left of its {row.seconds:.0f}", row.target, 0, "–"
        )
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)
    started, wrong = time.monotonic(), False
    try:
        found = row.run(bench, row.seconds)
    except Wrong as error:
        found, wrong = f"WRONG: {error}", True
    except _FAILURES as error:
        traceback.print_exc()
        found, wrong = f"FAILED: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", True
    return Line(row.name, found, row.target, time.monotonic() - started, _memory(bench), wrong)


def _memory(bench: Bench) -> str:
    if bench.device.type != "cuda":
        return "–"
    return f"{torch.cuda.max_memory_allocated(bench.device) / _MIB:,.0f} MiB"


def markdown(lines: Iterable[Line], where: str) -> str:
    """The table as Markdown, below a line that says where it was measured."""
    head = ["| what | found | target | device memory at its peak | took |", "| --- | --- | --- | --- | --- |"]
    body = [f"| {row.name} | {row.found} | {row.target or '–'} | {row.memory} | {row.seconds:.0f} s |" for row in lines]
    return "\n".join([where, "", *head, *body, ""])
