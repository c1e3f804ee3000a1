"""Jobs side by side: where their specs differ, and what they score."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from negmerge.spec.result import SIDES, FigureRecord, MethodRow, ResultDocument, Sides
from negmerge.spec.words import forget_part, percent

Value = str | float | int | None
Row = Sequence[Value]
"""What a row is of, and each job's value; None where a job has none."""


def compared(results: Mapping[str, ResultDocument]) -> list[Row]:
    """The rows: first the spec's fields in which the jobs differ, by their JSON pointers; then the figures of each.

    A list that differs anywhere, such as the ids of a selection, is one row.
    """
    specs = [_fields(result.model_dump(mode="json")["spec"]) for result in results.values()]
    fields = dict.fromkeys(name for fields in specs for name in fields)
    of_specs = [(name, *(fields.get(name) for fields in specs)) for name in fields]
    differing = [row for row in of_specs if len(set(row[1:])) > 1]
    figures = [_figures(result) for result in results.values()]
    names = dict.fromkeys(name for one in figures for name in one)
    return [*differing, *((name, *(one.get(name) for one in figures)) for name in names)]


def method_rows(document: ResultDocument) -> list[list[str]]:
    """A row for each method of one result, with its first repeat's figures on what is reported."""
    rows = []
    for name, method in document.methods.items():
        accuracies = [percent(None if figure is None else figure.accuracy) for figure in _reported(document, method)]
        rows.append([name, "–" if method.scale is None else f"{method.scale:g}", *accuracies])
    return rows


def as_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The rows as CSV (RFC 4180). What a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue()


def _figures(result: ResultDocument) -> dict[str, Value]:
    found: dict[str, Value] = {"outcome": result.outcome, "consensus": result.consensus.share}
    for name, method in result.methods.items():
        found[f"{name} scale"] = method.scale
        for side, figure in zip(SIDES, _reported(result, method), strict=True):
            found[f"{name} {side} accuracy"] = None if figure is None else figure.accuracy
    return found | {"points left out": len(result.left_out), "weights": result.digests.unlearned}


def _reported(document: ResultDocument, method: MethodRow) -> tuple[FigureRecord | None, FigureRecord | None]:
    """The forget and the retain figure, on the part that each is reported on."""
    forget: Sides | None = getattr(method, forget_part(document.splits))
    retain = method.test
    return None if forget is None else forget.forget, None if retain is None else retain.retain


def _fields(document: Any, pointer: str = "") -> dict[str, Value]:
    """The values of a spec by their JSON pointers (RFC 6901)."""
    if isinstance(document, dict) and document:
        found: dict[str, Value] = {}
        for name, value in document.items():
            found |= _fields(value, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
        return found
    return {pointer: document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)}


def _harmless(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
