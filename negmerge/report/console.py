"""What a person sees while work is long: progress bars on a terminal, plain lines elsewhere. And tables."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from negmerge.naming import visible
from negmerge.progress import OnStep
from negmerge.report.summary import rows
from negmerge.spec.result import ResultDocument
from negmerge.spec.words import percent

SECONDS_BETWEEN_LINES = 10.0


class Lines:
    """Progress as plain lines: one after a stage's first step, and one every ten seconds while it goes on.

    A stage that fails at once says nothing, so that its error stands alone.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

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
    """Progress as one bar, renamed from stage to stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, loss="", visible=False)

    def __call__(self, stage: str) -> OnStep:
        self._progress.reset(self._task, total=None, description=stage, loss="", visible=True)

        def on_step(step: int, total: int, loss: float | None) -> None:
            self._progress.update(self._task, completed=step, total=total, loss=_loss(loss))

        return on_step


@contextmanager
def following(console: Console) -> Iterator[Lines | Bars]:
    """Something to call with each stage's name, which returns that stage's OnStep."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress)


def show(table: Table) -> None:
    """Print a table on stdout: drawn on a terminal; elsewhere plain columns, one line a row however long it is."""
    console = Console()
    if not console.is_terminal:
        table.box = None
        console.width = max(console.width, console.measure(table, options=_unbounded(console)).maximum)
    console.print(table)


def _unbounded(console: Console) -> ConsoleOptions:
    return console.options.update(width=sys.maxsize)


def plain(text: str) -> Text:
    """Text of others for a table: no markup of ours in it is obeyed, and what cannot be seen is escaped."""
    return Text(visible(text))


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
    return "" if loss is None else f" loss {loss:.3f}"
