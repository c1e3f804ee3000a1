"""Two to five jobs side by side: in what their specs differ, and their figures."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.api.deps import OpenServices, Services
from app.errors import Invalid, NotFound
from app.page import words
from app.page.guard import SignedIn, Visitor
from app.page.rendering import render
from app.page.result import document_of
from app.page.routing import PageRoute
from app.page.status import OUTCOMES, Status
from app.record import jobs
from app.record.tables import Job
from negmerge.spec.result import FigureRecord, ResultDocument
from negmerge.spec.words import forget_part

router = APIRouter(route_class=PageRoute, include_in_schema=False)

FEWEST, MOST = 2, 5


@dataclass(frozen=True)
class Column:
    """A job beside others: its row, what became of it, and its result."""

    job: Job
    status: Status | None
    result: ResultDocument

    @property
    def name(self) -> str:
        """What tells it from the others: its ticket, else its id."""
        return str(self.job.meta.get("ticket") or self.job.id)


@dataclass(frozen=True)
class Row:
    """A figure of every job, as text; ``best`` are the columns whose figure is the best, where one can be."""

    label: str
    cells: list[str]
    best: list[int]


Chosen = Annotated[list[str] | None, Query(alias="job", max_length=50)]


@router.get("/compare")
def show_comparison(request: Request, visitor: SignedIn, services: OpenServices, chosen: Chosen = None) -> Response:
    """The jobs side by side."""
    columns = _columns(services, visitor, chosen or [])
    address = "&".join(f"job={column.job.id}" for column in columns)
    return render(
        request,
        "compare.html.jinja",
        visitor,
        columns=columns,
        differences=differences([column.job.spec for column in columns]),
        figures=figures(columns),
        address=f"/compare.csv?{address}",
    )


@router.get("/compare.csv")
def get_table(visitor: SignedIn, services: OpenServices, chosen: Chosen = None) -> Response:
    """The same as a table for a spreadsheet."""
    columns = _columns(services, visitor, chosen or [])
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["", *(plain(column.job.id) for column in columns)])
    rows = [*differences([column.job.spec for column in columns]), *figures(columns)]
    table.writerows([[plain(row.label), *map(plain, row.cells)] for row in rows])
    headers = {"Content-Disposition": 'attachment; filename="comparison.csv"'}
    return Response(text.getvalue().encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


def plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def differences(specs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The fields in which the specs differ, each with its value in every spec."""
    flat = [_flat(spec) for spec in specs]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = [Row(name, [one.get(name, "–") for one in flat], []) for name in names]
    return [row for row in rows if len(set(row.cells)) > 1]


def figures(columns: Sequence[Column]) -> list[Row]:
    """What became of each job, aligned. Forgetting is better where less is recognised, all else where more is right.

    Jobs that forget or keep other samples are not ranked.
    """
    outcomes = [column.status.label if column.status else "–" for column in columns]
    rows = [
        Row("outcome", outcomes, []),
        Row("method", [column.result.method for column in columns], []),
        Row("scale λ", [f"{column.result.scale:g}" for column in columns], []),
    ]
    forget = [_figure(column.result, "forget") for column in columns]
    retain = [_figure(column.result, "retain") for column in columns]
    alike = all(
        column.job.spec[side] == columns[0].job.spec[side] for column in columns for side in ("forget", "retain")
    )
    rows += [_ranked("forget accuracy", forget, min, alike), _ranked("retain accuracy", retain, max, alike)]
    rows.append(Row("consensus", [words.share(column.result.consensus.share) for column in columns], []))
    rows.append(Row("points", [str(len(column.result.points)) for column in columns], []))
    took = [_seconds(column.job) for column in columns]
    rows.append(Row("took", ["–" if one is None else words.duration(one) for one in took], []))
    return rows


def _columns(services: Services, visitor: Visitor, chosen: Sequence[str]) -> list[Column]:
    """The jobs, in the order in which they were chosen. Raises Invalid, NotFound."""
    ids = list(dict.fromkeys(chosen))
    if not FEWEST <= len(ids) <= MOST:
        raise Invalid(f"choose {FEWEST} to {MOST} jobs to compare: tick them in the list of jobs; these are {len(ids)}")
    with services.database.read() as session:
        rows = [jobs.get(session, visitor.tenant, job_id[:40]) for job_id in ids]
    columns = []
    for row in rows:
        result = document_of(services, row)
        if result is None:
            raise NotFound(
                f"job {row.id!r} has no result that can be compared: it is {row.state}, or of another version"
            )
        columns.append(Column(row, OUTCOMES.get(row.outcome or ""), result))
    return columns


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """A spec's fields by their paths; lists as they are written."""
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{name}.{key}" if name else str(key))
        return found
    return {} if value is None else {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def _figure(result: ResultDocument, side: str) -> FigureRecord | None:
    own = result.methods[result.method]
    return own.figure(forget_part(result.splits), "forget") if side == "forget" else own.figure("test", "retain")


def _ranked(label: str, found: Sequence[FigureRecord | None], best: Any, alike: bool) -> Row:
    known = [figure.accuracy for figure in found if figure is not None]
    winner = best(known) if alike and len(set(known)) > 1 else None
    cells = [
        "–" if figure is None else f"{words.share(figure.accuracy)} ({figure.correct} of {figure.count})"
        for figure in found
    ]
    return Row(label, cells, [i for i, figure in enumerate(found) if figure is not None and figure.accuracy == winner])


def _seconds(job: Job) -> float | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()
