"""From a result's numbers to drawings: lines over λ, shares by layer, a histogram. Numbers of SVG, no text."""

from dataclasses import dataclass
from math import floor, log10
from typing import NamedTuple

from negmerge.spec.consensus import Consensus
from negmerge.spec.methods import colour, label
from negmerge.spec.result import MethodRow, ResultDocument

WIDTH, HEIGHT = 600, 260
BARS_WIDTH, BARS_HEIGHT = 460, 100
MOST_LABELLED = 13
"""Bars that have room for the number of their runs below them."""
MOST_SHARES = 7
"""Bars that have room for their share above them, on a phone too."""
MOST_TICKS = 7
"""Of the axis of λ: so many have room for their numbers."""


class Line(NamedTuple):
    """A method's two curves over λ, as the points of SVG lines, and each scale with both accuracies."""

    method: str
    label: str
    colour: str
    chosen: float
    forget: str
    retain: str
    rows: list[tuple[float, float, float]]

    def at(self, scale: float) -> tuple[float, float] | None:
        """Both accuracies at a scale; None where the method was not measured there."""
        return next(((forget, retain) for tried, forget, retain in self.rows if tried == scale), None)


@dataclass(frozen=True)
class Lines:
    """All methods over λ from 0 to ``last``; ticks of the axis, as λ and its place; every scale that was tried."""

    lines: list[Line]
    last: float
    ticks: list[tuple[float, float]]
    scales: list[float]


class Bar(NamedTuple):
    """The share of all elements that so many runs move the same way. needed: whether so many are enough.

    has_runs, has_share: whether there is room to write the one below it, and the other above.
    """

    runs: int
    share: float
    needed: bool
    x: float
    width: float
    height: float
    has_runs: bool
    has_share: bool


def curves(document: ResultDocument) -> Lines:
    """Validation accuracy over λ, of the job's own method first."""
    drawn = [(name, row) for name, row in _methods(document) if row.curve]
    last = max((point.scale for _, row in drawn for point in row.curve or []), default=1.0) or 1.0
    tried = {point.scale for _, row in drawn for point in row.curve or []}
    return Lines(
        lines=[_line(name, row, last) for name, row in drawn],
        last=last,
        ticks=_ticks(last),
        scales=sorted(tried),
    )


def agreement(consensus: Consensus) -> list[Bar]:
    """A bar for each number of runs, from the least that any element has; none where elements were not counted."""
    counts = list(enumerate(consensus.counts))
    first = next((runs for runs, count in counts if count), len(counts))
    drawn, total, most = counts[first:], sum(consensus.counts), max(consensus.counts, default=0)
    width = BARS_WIDTH / max(len(drawn), 1)
    return [
        Bar(
            runs=runs,
            share=count / total,
            needed=runs >= (consensus.needed or 0),
            x=round(width * (i + 0.05), 2),
            width=round(width * 0.9, 2),
            height=round(BARS_HEIGHT * count / most, 2),
            has_runs=len(drawn) <= MOST_LABELLED,
            has_share=len(drawn) <= MOST_SHARES,
        )
        for i, (runs, count) in enumerate(drawn)
    ]


def _ticks(last: float) -> list[tuple[float, float]]:
    """Round scales from 0 to ``last``, 1, 2 or 5 of a decimal apart, each with its place."""
    decimal = 10 ** floor(log10(last / (MOST_TICKS - 1)))
    apart = next(decimal * step for step in (1, 2, 5, 10) if last / (decimal * step) < MOST_TICKS)
    return [(apart * i, round(WIDTH * apart * i / last, 2)) for i in range(floor(last / apart + 1e-9) + 1)]


def _methods(document: ResultDocument) -> list[tuple[str, MethodRow]]:
    own = document.method
    return [(own, document.methods[own]), *((name, row) for name, row in document.methods.items() if name != own)]


def _line(method: str, row: MethodRow, last: float) -> Line:
    points = sorted(row.curve or [], key=lambda point: point.scale)
    return Line(
        method=method,
        label=label(method),
        colour=colour(method),
        chosen=row.scale or 0.0,
        forget=" ".join(_place(point.scale / last, point.forget.accuracy) for point in points),
        retain=" ".join(_place(point.scale / last, point.retain.accuracy) for point in points),
        rows=[(point.scale, point.forget.accuracy, point.retain.accuracy) for point in points],
    )


def _place(x: float, y: float) -> str:
    return f"{WIDTH * x:.1f},{HEIGHT * (1 - y):.1f}"
