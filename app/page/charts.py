"""From a result's numbers to drawings: lines over λ, shares by layer, a histogram. Numbers of SVG, no text."""

from dataclasses import dataclass
from typing import NamedTuple

from negmerge.spec.methods import colour, label
from negmerge.spec.result import MethodRow, ResultDocument
from negmerge.spec.words import layer_of

WIDTH, HEIGHT = 600, 260
BINS = 20


class Line(NamedTuple):
    """A method's two curves over λ, as the points of SVG lines, and each scale with both accuracies."""

    method: str
    label: str
    colour: str
    chosen: float
    forget: str
    retain: str
    rows: list[tuple[float, float, float]]


@dataclass(frozen=True)
class Lines:
    """All methods over λ from 0 to ``last``; ticks of the axis, as λ and its place."""

    lines: list[Line]
    last: float
    ticks: list[tuple[float, float]]
    scales: list[float]


@dataclass(frozen=True)
class Bins:
    """How many tensors agree to which share, in ``BINS`` steps; the most in one."""

    counts: list[int]
    most: int


def curves(document: ResultDocument) -> Lines:
    """Validation accuracy over λ, of the job's own method first."""
    drawn = [(name, row) for name, row in _methods(document) if row.curve]
    last = max((point.scale for _, row in drawn for point in row.curve or []), default=1.0) or 1.0
    own = document.methods[document.method].curve or []
    return Lines(
        lines=[_line(name, row, last) for name, row in drawn],
        last=last,
        ticks=[(last * i / 4, WIDTH * i / 4) for i in range(5)],
        scales=[point.scale for point in own],
    )


def layers(document: ResultDocument) -> list[tuple[str, float, int]]:
    """Each layer with the mean share on whose sign all runs agree, and its number of tensors; as the model has them."""
    found: dict[str, list[float]] = {}
    for name, share in document.consensus.tensors.items():
        found.setdefault(layer_of(name), []).append(share)
    return [(name, sum(shares) / len(shares), len(shares)) for name, shares in found.items()]


def agreement(document: ResultDocument) -> Bins:
    """How the tensors' shares are spread; a share of 1 is in the last step."""
    counts = [0] * BINS
    for share in document.consensus.tensors.values():
        counts[min(BINS - 1, int(share * BINS))] += 1
    return Bins(counts, max(counts))


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
