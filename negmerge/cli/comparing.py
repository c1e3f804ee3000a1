"""Jobs side by side: where their specs differ, and what they score."""

import csv
import io
from collections.abc import Mapping, Sequence

from negmerge.spec.figures import SIDES
from negmerge.spec.result import ResultDocument
from negmerge.spec.side_by_side import Path, differences, harmless
from negmerge.spec.words import percent

Value = str | float | int | None
MOST = 40
"""Characters of a cell of a table; a spec's whole list of points or ids may stand in one."""
Row = Sequence[Value]
"""What a row is of, and each job's value; None where a job has none."""


def compared(results: Mapping[str, ResultDocument]) -> list[Row]:
    """The rows: first the spec's fields in which the jobs differ, by their JSON pointers; then the figures of each.

    A list that differs anywhere, such as the ids of a selection, is one row.
    """
    specs = [result.model_dump(mode="json")["spec"] for result in results.values()]
    differing = [(_pointer(path), *values) for path, values in differences(specs)]
    figures = [_figures(result) for result in results.values()]
    names = dict.fromkeys(name for one in figures for name in one)
    return [*differing, *((name, *(one.get(name) for one in figures)) for name in names)]


def method_rows(document: ResultDocument) -> list[list[str]]:
    """A row for each method of one result, with its first repeat's figures on what is reported."""
    rows = []
    for name, method in document.methods.items():
        accuracies = [
            percent(None if figure is None else figure.accuracy) for figure in method.reported(document.splits)
        ]
        rows.append([name, "–" if method.scale is None else f"{method.scale:g}", *accuracies])
    return rows


def as_table(rows: Sequence[Row]) -> list[list[str]]:
    """The rows for people: shares as percentages, and nothing longer than ``MOST``."""
    return [[str(name), *(_short(str(name), value) for value in values)] for name, *values in rows]


def as_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The rows as CSV (RFC 4180). What a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _figures(result: ResultDocument) -> dict[str, Value]:
    found: dict[str, Value] = {"outcome": result.outcome, "consensus": result.consensus.share}
    for name, method in result.methods.items():
        found[f"{name} scale"] = method.scale
        for side, figure in zip(SIDES, method.reported(result.splits), strict=True):
            found[f"{name} {side} accuracy"] = None if figure is None else figure.accuracy
    return found | {"points left out": len(result.left_out), "weights": result.digests.unlearned}


def _short(name: str, value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}" if name.endswith("scale") else percent(value)
    text = str(value)
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def _cell(value: Value) -> Value:
    return harmless(value) if isinstance(value, str) else value


def _pointer(path: Path) -> str:
    """The path as a JSON pointer (RFC 6901)."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)
