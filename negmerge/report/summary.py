"""The one table of a result: each method's forget and retain accuracy on test data.

Which single model is the best and which the worst was ranked on validation data, by the rule that chose λ; the
test figures here chose nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from negmerge.merging.methods import METHODS, TaskArithmetic
from negmerge.spec.result import FigureRecord, Part, PointRow, ResultDocument, Spread

_OTHERS = {
    "base": "base model",
    "retrain": "retrained",
    "fine_tune": "fine-tuned on retain",
    "gradient_ascent": "gradient ascent",
    "random_label": "random label",
    "l1_sparse": "ℓ1-sparse",
    "influence": "influence unlearning",
    "boundary_shrink": "boundary shrink",
    "salun": "SalUn",
}


def label(method: str) -> str:
    """What a table calls a merge method, a rival or the base model; its name where nothing else is known."""
    return METHODS[method].label if method in METHODS else _OTHERS.get(method, method)


@dataclass(frozen=True)
class Row:
    """One line: accuracies, None where there is no such sample; ``detail`` says which point it is."""

    label: str
    scale: float | None
    forget: FigureRecord | None
    retain: FigureRecord | None
    main: bool = False
    detail: str = ""


def compared(document: ResultDocument) -> list[dict[str, str]]:
    """The whole comparison as text, a row for each method: mean ± deviation where there are repeats.

    Shares are in percent, gaps in percentage points; columns in which no method has a figure are left out. A mean of
    fewer repeats than the job has says of how many (n).
    """
    repeats = len(document.repeats)
    filled = [column for column in _COLUMNS if any(getattr(row, column) is not None for row in document.table)]
    return [
        {"method": label(row.method)}
        | {_COLUMNS[name]: _cell(name, getattr(row, name), 1 if row.method == "base" else repeats) for name in filled}
        for row in document.table
    ]


_COLUMNS = {
    "scale": "λ",
    "forget": "forget %",
    "retain": "retain %",
    "test": "test %",
    "membership": "MIA %",
    "gap": "gap",
    "seconds": "seconds",
    "bytes_stored": "stored",
}


def _cell(column: str, value: Spread | int | None, repeats: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value / 1e6:.1f} MB"
    digits = 2 if column in ("gap", "scale") else 1
    unit = 100.0 if _COLUMNS[column].endswith("%") else 1.0
    text = f"{unit * value.mean:.{digits}f}"
    if value.deviation is not None:
        text += f" ± {unit * value.deviation:.{digits}f}"
    return text if value.repeats >= repeats else f"{text} (n = {value.repeats})"


def rows(document: ResultDocument) -> list[Row]:
    """base, the singles, then every other merge with the job's own last; rivals are in ``compared``."""
    table = [_row("base", document)]
    ranked = document.singles()
    if ranked:
        table.append(_single("best single", ranked[0], document))
        if len(ranked) > 1:
            table.append(_single("worst single", ranked[-1], document))
    apart = ("base", TaskArithmetic.name, document.method)
    others = [name for name, row in document.methods.items() if name not in apart and row.curve is not None]
    table += [_row(name, document) for name in [*others, document.method]]
    return table


def forget_part(document: ResultDocument) -> Part:
    """Where forgetting is reported: on test for classes; forgotten training samples are measured themselves."""
    return "test" if document.splits.forget.test else "train"


def hyper_parameters(point: PointRow) -> str:
    """A point's hyper-parameters in one line, without those left at None."""
    given = {name: value for name, value in point.hyper_parameters.model_dump().items() if value is not None}
    return ", ".join(f"{name} {_plain(value)}" for name, value in given.items())


def _row(method: str, document: ResultDocument) -> Row:
    row = document.methods[method]
    forget, retain = row.figure(forget_part(document), "forget"), row.figure("test", "retain")
    return Row(label(method), row.scale, forget, retain, main=method == document.method)


def _single(called: str, point: PointRow, document: ResultDocument) -> Row:
    return Row(
        called,
        point.scale,
        point.figure(forget_part(document), "forget"),
        point.figure("test", "retain"),
        main=document.method == TaskArithmetic.name and called == label(TaskArithmetic.name),
        detail=f"point {point.index}: {hyper_parameters(point)}",
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "/".join(str(part) for part in value.values())
    return f"{value:g}" if isinstance(value, float) else str(value)
