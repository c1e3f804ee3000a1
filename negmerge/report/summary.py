"""The figures of a result as rows: the short table of forget and retain, and the one comparison of all there is.

Which single model is the best and which the worst was ranked on validation data, by the rule that chose λ; the
test figures here chose nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from negmerge.merging.methods import METHODS, TaskArithmetic
from negmerge.spec.figures import FigureRecord, Measured, Part, SideName, Spread
from negmerge.spec.intervals import spread
from negmerge.spec.methods import label
from negmerge.spec.result import PointRow, ResultDocument, TableRow
from negmerge.spec.sweep_words import described, varied
from negmerge.spec.words import percent, with_interval


def colour(method: str) -> str | None:
    """A merge method's colour, the same in every picture and table; None for what no picture shows."""
    return METHODS[method].colour if method in METHODS else None


@dataclass(frozen=True)
class Row:
    """One line: accuracies, None where there is no such sample; ``detail`` says which point it is."""

    label: str
    scale: float | None
    forget: FigureRecord | None
    retain: FigureRecord | None
    main: bool = False
    detail: str = ""


def rows(document: ResultDocument) -> list[Row]:
    """base, the singles, then every other merge with the job's own last; rivals are in ``comparison``."""
    table = [_row("base", document)]
    table += [_single(called, point, document) for called, point in _extremes(document)]
    apart = ("base", TaskArithmetic.name, document.method)
    others = [name for name, row in document.methods.items() if name not in apart and row.curve is not None]
    table += [_row(name, document) for name in [*others, document.method]]
    return table


def given(document: ResultDocument) -> list[dict[str, Any]]:
    """Each point's hyper-parameters, by name."""
    return [point.hyper_parameters.model_dump() for point in document.points]


def _row(method: str, document: ResultDocument) -> Row:
    row = document.methods[method]
    return Row(label(method), row.scale, *row.reported(document.splits), main=method == document.method)


def _single(called: str, point: PointRow, document: ResultDocument) -> Row:
    apart = varied(given(document))
    return Row(
        called,
        point.scale,
        *point.reported(document.splits),
        main=document.method == TaskArithmetic.name and called == label(TaskArithmetic.name),
        detail=f"point {point.index}, {described(point.hyper_parameters.model_dump(), apart)}".rstrip(", "),
    )


def _extremes(document: ResultDocument) -> Iterator[tuple[str, PointRow]]:
    """The best and the worst single, where points were searched as single models."""
    ranked = document.singles()
    if ranked:
        yield "best single", ranked[0]
    if len(ranked) > 1:
        yield "worst single", ranked[-1]


# The one comparison


@dataclass(frozen=True)
class Column:
    """A column of the comparison: an accuracy of one side on one part, or one of the table's other figures."""

    heading: str
    figure: tuple[Part, SideName] | None = None
    other: str = ""


@dataclass(frozen=True)
class Line:
    """A method's line of the comparison: a cell for each column, as text."""

    label: str
    colour: str | None
    cells: list[str]
    main: bool = False


@dataclass(frozen=True)
class Comparison:
    """Every method and rival of a job, on the same splits and seeds. Empty columns are left out."""

    columns: list[Column]
    lines: list[Line]


_OTHER_COLUMNS = {"membership": "MIA", "gap": "gap", "seconds": "seconds", "bytes_stored": "stored"}
_PART_WORDS = {"train": "training samples", "validation": "validation", "test": "test"}


def comparison(document: ResultDocument) -> Comparison:
    """The comparison as text: figures with their intervals, or mean ± sample deviation where there are repeats.

    Forgetting as it is reported comes first; a classifier's is also given as SalUn's protocol has it. A mean of fewer
    repeats than the job has says of how many (n). The gap is in percentage points.
    """
    columns = [*_accuracies(document), *_others(document)]
    lines = [_line(row, document, columns) for row in document.table if row.method != document.method]
    own = [_line(row, document, columns) for row in document.table if row.method == document.method]
    known = {line.label for line in (*lines, *own)}  # task arithmetic is the best single
    singles = [_single_line(called, point, columns) for called, point in _extremes(document) if called not in known]
    return Comparison([Column("scale λ"), *columns], [*lines, *singles, *own])


def _accuracies(document: ResultDocument) -> list[Column]:
    parts = document.table_parts
    reported: list[tuple[Part, SideName]] = [
        (document.splits.forget_part, "forget"),
        (parts["forget"], "forget"),
        (parts["retain"], "retain"),
        ("test", "retain"),
    ]
    known = [one for one in dict.fromkeys(reported) if any(row.figure(*one) for row in document.methods.values())]
    return [Column(f"{side} accuracy, {_PART_WORDS[part]}", figure=(part, side)) for part, side in known]


def _others(document: ResultDocument) -> list[Column]:
    filled = [name for name in _OTHER_COLUMNS if any(getattr(row, name) is not None for row in document.table)]
    return [Column(_OTHER_COLUMNS[name], other=name) for name in filled]


def _line(row: TableRow, document: ResultDocument, columns: list[Column]) -> Line:
    repeats = 1 if row.method == "base" else len(document.repeats)
    cells = [_spread_cell("scale", row.scale, repeats)]
    for column in columns:
        if column.figure is None:
            cells.append(_spread_cell(column.other, getattr(row, column.other), repeats))
        elif repeats == 1:
            cells.append(with_interval(_measured(document, row.method).figure(*column.figure)))
        else:
            cells.append(_spread_cell("accuracy", _over_repeats(document, row.method, *column.figure), repeats))
    return Line(label(row.method), colour(row.method), cells, main=row.method == document.method)


def _single_line(called: str, point: PointRow, columns: list[Column]) -> Line:
    cells = [f"{point.scale:g}"]
    cells += [with_interval(point.figure(*column.figure)) if column.figure else "–" for column in columns]
    return Line(called, None, cells)


def _measured(document: ResultDocument, method: str) -> Measured:
    return document.methods.get(method, Measured())


def _over_repeats(document: ResultDocument, method: str, part: Part, side: SideName) -> Spread | None:
    rows = [row for repeat in document.repeats if not isinstance(row := repeat.get(method), str | None)]
    values = [figure.accuracy for row in rows if (figure := row.figure(part, side))]
    return spread(values) if values else None


def _spread_cell(kind: str, value: Spread | int | None, repeats: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value / 1e6:.1f} MB"
    if kind == "scale" and value.deviation is None:
        return f"{value.mean:g}"
    shown = (
        percent if kind in ("accuracy", "membership") else ("{:.2f}" if kind in ("gap", "scale") else "{:.1f}").format
    )
    text = shown(value.mean)
    if value.deviation is not None:
        text += f" ± {shown(value.deviation)}"
    return text if value.repeats >= repeats else f"{text} (n = {value.repeats})"
