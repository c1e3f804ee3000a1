"""What happened to a job, line by line in plain words."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.page.status import cause
from app.record.tables import Event, Job
from negmerge.spec.words import plural

SHOWN = 200
"""The newest so many are shown."""

_OF_JOB = {
    "job.queued": "asked for, and queued",
    "job.preparing": "a worker began to prepare it",
    "job.tuning": "prepared; fine-tuning began",
    "job.concluding": "all points are done; merging and choosing the scale began",
    "job.cancel_requested": "somebody asked for its end",
    "job.succeeded": "ran to its end",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
}


class Happening(NamedTuple):
    """One event: its number, when it was, and what it was."""

    number: int
    at: datetime
    what: str


def told(session: Session, job: Job) -> list[Happening]:
    """The newest events, newest first."""
    newest = select(Event).where(Event.job_id == job.id).order_by(Event.number.desc()).limit(SHOWN)
    return [Happening(event.number, event.at, said(event.kind, event.data)) for event in session.scalars(newest)]


def said(kind: str, data: dict[str, Any]) -> str:
    """An event in words; one of a kind that is new here by its own name."""
    index = data.get("index")
    match kind:
        case "step.reopened":
            name = f"point {index}" if data["kind"] == "point" else f"the step {data['kind']}"
            return f"{name} failed, after {data['attempts']} tries: {cause(data['cause'])}"
        case "point.trained":
            loss = data.get("loss")
            return f"point {index} is trained" + ("" if loss is None else f", loss {loss:.3g}")
        case "point.diverged":
            return f"point {index} diverged and is left out: {cause(data.get('cause'))}"
        case "points.folded":
            count = len(data["indices"])
            return f"{plural(count, 'point')} became part of the merge"
        case "job.failed":
            return f"failed: {cause(data.get('problem'))}"
    if kind in _OF_JOB:
        return _OF_JOB[kind]
    if kind.endswith(".started"):
        step = kind.removesuffix(".started")
        tries = f", try {data['attempt']}" if data.get("attempt", 1) > 1 else ""
        return f"{step} {index if step in ('point', 'rival') else ''}".rstrip() + f" began{tries}"
    return kind.replace(".", " ").replace("_", " ")
