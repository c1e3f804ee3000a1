"""Two to five jobs side by side: in what their specs differ, and their figures."""

import csv
import io
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
from negmerge.spec.figures import FigureRecord
from negmerge.spec.methods import label
from negmerge.spec.result import ResultDocument
from negmerge.spec.side_by_side import differences, harmless
from negmerge.spec.words import RULES, percent

router = APIRouter(route_class=PageRoute, include_in_schema=False)

FEWEST, MOST = 2, 5
_LOWER_IS_BETTER = ("lowest_forget", "fixed")
"""The rules that aim at no forget accuracy but the lowest."""


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

    @property
    def spec(self) -> dict[str, Any]:
        """The spec as it was stored, with the rule for λ that was in force: one that was left out is none there."""
        search = {**(self.job.spec.get("scale_search") or {}), "rule": self.result.rule}
        return {**self.job.spec, "scale_search": search}

    @property
    def wants_the_lowest(self) -> bool:
        """Whether less recognised is better. Of forgotten samples it is not: what is unseen is recognised too."""
        return self.result.splits.forget_part == "test" and self.result.rule in _LOWER_IS_BETTER


@dataclass(frozen=True)
class Row:
    """A figure of every job, as text; ``best`` are the columns whose figure is the best, where one can be."""

    label: str
    cells: list[str]
    best: list[int]

    @property
    def parts(self) -> list[str]:
        """The label in parts between which a line may break."""
        return self.label.split(".")


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
        differences=differing([column.spec for column in columns]),
        figures=figures(columns),
        address=f"/compare.csv?{address}",
    )


@router.get("/compare.csv")
def get_table(visitor: SignedIn, services: OpenServices, chosen: Chosen = None) -> Response:
    """The same as a table for a spreadsheet."""
    columns = _columns(services, visitor, chosen or [])
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["", *(harmless(column.job.id) for column in columns)])
    rows = [*differing([column.spec for column in columns]), *figures(columns)]
    table.writerows([[harmless(row.label), *map(harmless, row.cells)] for row in rows])
    headers = {"Content-Disposition": 'attachment; filename="comparison.csv"'}
    return Response(text.getvalue().encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


def differing(specs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The fields in which the specs differ, each with its value in every spec."""
    return [
        Row(".".join(path), ["–" if value is None else value for value in values], [])
        for path, values in differences(specs)
    ]


def figures(columns: Sequence[Column]) -> list[Row]:
    """What became of each job, aligned.

    Jobs that forget or keep other samples are not ranked; by what they forgot, only those that aim at the lowest.
    """
    outcomes = [column.status.label if column.status else "–" for column in columns]
    rows = [
        Row("outcome", outcomes, []),
        Row("method", [label(column.result.method) for column in columns], []),
        Row("scale λ", [f"{column.result.scale:g}" for column in columns], []),
    ]
    scored = [column.result.methods[column.result.method].reported(column.result.splits) for column in columns]
    alike = all(
        column.job.spec[side] == columns[0].job.spec[side] for column in columns for side in ("forget", "retain")
    )
    lowest = all(column.wants_the_lowest for column in columns)
    rows += [
        _ranked("forget accuracy", [one.forget for one in scored], min, alike and lowest),
        Row("forget accuracy aimed at", [_aim(column) for column in columns], []),
        _ranked("retain accuracy", [one.retain for one in scored], max, alike),
    ]
    rows.append(Row("consensus", [percent(column.result.consensus.share) for column in columns], []))
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


def _ranked(label: str, found: Sequence[FigureRecord | None], best: Any, alike: bool) -> Row:
    known = [figure.accuracy for figure in found if figure is not None]
    winner = best(known) if alike and len(set(known)) > 1 else None
    cells = [
        "–" if figure is None else f"{percent(figure.accuracy)} ({figure.correct} of {figure.count})"
        for figure in found
    ]
    return Row(label, cells, [i for i, figure in enumerate(found) if figure is not None and figure.accuracy == winner])


def _aim(column: Column) -> str:
    """What the forget accuracy should come near to, by the rule in force."""
    result, reference = column.result, column.result.reference
    if reference is not None and result.rule not in _LOWER_IS_BETTER:
        return f"{percent(reference.accuracy)}: {RULES[result.rule]}"
    return f"{percent(result.spec.scale_search.target)}: the target" if result.rule == "target" else RULES[result.rule]


def _seconds(job: Job) -> float | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()
