"""The jobs: found by what they are about, with how each ended, or how far it is and what it waits for."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.api.deps import OpenServices, cursor_of
from app.page import lists, words
from app.page.guard import SignedIn
from app.page.rendering import render
from app.page.routing import PageRoute
from app.page.status import Status, seconds_left, status
from app.record import db, jobs
from app.record.progress import living_workers, progress, queue_positions
from app.record.states import TERMINAL, JobState
from app.record.tables import Job
from negmerge.spec.job_resources import Progress
from negmerge.spec.result import OutcomeName

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE = 25
"""Jobs on one page."""

_LIVE_SECONDS, _IDLE_SECONDS = 2, 15
"""How often the list renews itself while a job on it runs, and while none does."""

FILTERS = {
    "": "any",
    "unlearned": "unlearned",
    "below_target": "below target",
    "nothing_unlearned": "nothing unlearned",
    "waiting": "waiting",
    "running": "running",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""What the list can be narrowed to, and how the page says it."""

_STATES = {
    "waiting": (JobState.QUEUED,),
    "running": (JobState.PREPARING, JobState.TUNING, JobState.CONCLUDING),
    "failed": (JobState.FAILED,),
    "cancelled": (JobState.CANCELLED,),
}
_OUTCOMES: tuple[OutcomeName, ...] = ("unlearned", "below_target", "nothing_unlearned")


@dataclass(frozen=True)
class Line:
    """A job as the list shows it."""

    job: Job
    status: Status
    progress: Progress
    seconds_left: float | None
    dataset: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return JobState(self.job.state) in TERMINAL


@router.get("/")
def show_jobs(
    request: Request,
    visitor: SignedIn,
    services: OpenServices,
    cursor: str = "",
    search: Annotated[str, Query(alias="q", max_length=200)] = "",
    chosen: Annotated[str, Query(alias="state")] = "",
    dataset: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """The tenant's jobs, newest first, of those that were searched for."""
    with services.database.read() as session:
        page = jobs.page(
            session,
            visitor.tenant,
            cursor=cursor_of("job")(cursor or None),
            limit=PAGE,
            states=_STATES.get(chosen, ()),
            outcomes=[outcome for outcome in _OUTCOMES if outcome == chosen],
            search=search.strip().replace("\0", ""),
            dataset=dataset,
        )
        named = [dataset, *(words.source_of(row.spec["forget"]) for row in page.jobs)]
        names = lists.dataset_names(session, visitor.tenant, named)
        lines = _lines(session, page.jobs, names)
        workers = sum(alike.number for alike in living_workers(session))
    searched = {"q": search, "state": chosen, "dataset": dataset}
    older = {**searched, "cursor": page.next_cursor or ""}
    return render(
        request,
        "home.html.jinja",
        visitor,
        lines=lines,
        searched=searched,
        is_searched=any(searched.values()),
        filters=FILTERS,
        datasets=({dataset: dataset} if dataset else {}) | names,  # one that is gone is still searched for
        workers=workers,
        older=_address(older) if page.next_cursor else None,
        newest=_address(searched) if cursor else None,
        here=_address({**searched, "cursor": cursor}),
        seconds=_IDLE_SECONDS if all(line.is_over for line in lines) else _LIVE_SECONDS,
    )


@router.get("/jobs")
def lead_to_jobs() -> Response:
    """Where the address of a job that was shortened leads."""
    return RedirectResponse("/", 303)


def _lines(session: Session, rows: list[Job], names: dict[str, str]) -> list[Line]:
    told, places, now = progress(session, rows), queue_positions(session, rows), db.now(session)
    return [
        Line(
            job=row,
            status=status(row, told[row.id], places.get(row.id), now),
            progress=told[row.id],
            seconds_left=seconds_left(row, told[row.id], now),
            dataset=names.get(source := words.source_of(row.spec["forget"]), source),
        )
        for row in rows
    ]


def _address(query: dict[str, str]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"/?{urlencode(given)}" if given else "/"
