"""What a person sees while work is long: progress bars on a terminal, plain lines elsewhere. And the result's table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from negmerge.progress import OnStep
from negmerge.report.summary import rows
from negmerge.spec.result import ResultDocument
from negmerge.spec.words import percent

SECONDS_BETWEEN_LINES = 10.0
MEMORY_SECONDS = 3600.0
"""How far back the pace of several stages is looked at: each has its own."""


class Lines:
    """Progress as plain lines: one after a stage's first step, and one every ten seconds while it goes on.

    A stage that fails at once says nothing, so that its error stands alone.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def expect(self, stages: int) -> None:
        """Lines say themselves which of how many they are about."""

    def __call__(self, stage: str) -> OnStep:
        last: float | None = None

        def on_step(step: int, total: int, loss: float | None) -> None:
            nonlocal last
            if last is not None and time.monotonic() - last < SECONDS_BETWEEN_LINES:
                return
            line = stage if last is None else f"{stage}: {step}/{total}{_loss(loss)}"
            self._console.print(line, highlight=False, markup=False)
            last = time.monotonic()

        return on_step


class Bars:
    """Progress as one bar over stages of equal size; where nobody said how many there are, each begins it anew."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages: int | None = None
        self._begun = 0
        self._task = progress.add_task("", total=None, loss="", visible=False)

    def expect(self, stages: int) -> None:
        """From now on, so many stages are one bar."""
        self._stages = stages

    def __call__(self, stage: str) -> OnStep:
        before, self._begun = self._begun, self._begun + 1
        if self._stages is None:
            self._progress.reset(self._task)
            before = 0
        self._progress.update(self._task, total=self._stages or 1, description=stage, loss="", visible=True)

        def on_step(step: int, total: int, loss: float | None) -> None:
            share = step / total if total else 1.0
            self._progress.update(self._task, completed=before + share, loss=_loss(loss))

        return on_step


@contextmanager
def following(console: Console) -> Iterator[Lines | Bars]:
    """Something to call with each stage's name, which returns that stage's OnStep.

    On a terminal it shows how much is done, for how long it has gone on, and how much time is left.
    """
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("done,"),
        TimeRemainingColumn(),
        TextColumn("left{task.fields[loss]}"),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=MEMORY_SECONDS) as progress:
        yield Bars(progress)


def result_table(document: ResultDocument) -> Table:
    """The result's one table: a row for each method, the job's own in bold."""
    table = Table(title=None)
    table.add_column("model")
    for name in ("scale λ", "forget", "retain"):
        table.add_column(name, justify="right")
    for row in rows(document):
        scale = "–" if row.scale is None else f"{row.scale:g}"
        accuracies = [percent(None if figure is None else figure.accuracy) for figure in (row.forget, row.retain)]
        table.add_row(row.label, scale, *accuracies, style="bold" if row.main else "")
    return table


def _loss(loss: float | None) -> str:
    return "" if loss is None else f", loss {loss:.3f}"
