"""How far something is, for people: one bar with the time left, in a terminal and in a notebook."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from negmerge.naming import visible

Show = Callable[[str, float], None]
"""``show(what, share)``: what is done now, and how much of the whole is done, in [0, 1]."""

MEMORY_SECONDS = 600.0
"""How far back the pace is looked at that tells the time left: a job tells of itself at most every few seconds."""


Wanted = bool | Show | None
"""None shows a bar where somebody looks on, in a terminal or a notebook; a Show of the caller's own is called."""


def silent(what: str, share: float) -> None:
    """A Show that nobody looks at."""


@contextmanager
def bar(wanted: Wanted = None) -> Iterator[Show]:
    """A bar while the block runs, or what is wanted in its place."""
    if callable(wanted):
        yield wanted
        return
    console = Console(stderr=True)
    if wanted is False or (wanted is None and not console.is_terminal and not console.is_jupyter):
        yield silent
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), _Left()
    progress = Progress(*columns, console=console, speed_estimate_period=MEMORY_SECONDS)
    task = progress.add_task("", total=1.0)
    refresh = _in_cell(progress) if console.is_jupyter else None

    def show(what: str, share: float) -> None:
        progress.update(task, description=_plain(what), completed=min(1.0, max(0.0, share)))
        if refresh is not None:
            refresh()

    if refresh is not None:
        yield show
        return
    with progress:
        yield show


class _Left(TimeRemainingColumn):
    """The time left, named: two times side by side say nothing."""

    def render(self, task: Any) -> Any:
        """As rich writes it, with a word behind it."""
        return super().render(task) + " left"


def _in_cell(progress: Progress) -> Callable[[], None]:
    """The bar as a cell's output, which each call renews. rich's own needs widgets, which no saved file shows."""
    display = import_module("IPython.display").display  # there in a notebook; no dependency of ours
    shown = display(progress.make_tasks_table(progress.tasks), display_id=True)
    return lambda: shown.update(progress.make_tasks_table(progress.tasks))


def _plain(what: str) -> str:
    """Others' text: what cannot be seen is escaped, and no markup in it is obeyed."""
    return visible(what).replace("[", r"\[")
