"""How far jobs are, counted from their steps: a few queries for a whole page of jobs, as for one."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Text, and_, case, cast, func, select
from sqlalchemy.orm import Session

from app.record import db
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Job, Step, Worker

ALIVE_SECONDS = 30
"""A worker that was seen within this time is taken to be alive."""

_COUNTED = ("open", "running", "trained", "folded", "diverged")
_BEHIND_US = frozenset({"trained", "folded", "diverged", "done"})


@dataclass(frozen=True)
class Progress:
    """How far a job is: ``fraction`` of its steps in [0, 1], ``points`` by state, the ``running`` steps.

    A point that is trained and not yet folded counts as ``trained``, one that is being trained as ``running``.
    workers: the living ones that could take the job's next step; 0 says why nothing happens. queue_position: 1 for the
    next job that its queue's workers will begin, None once it has begun.
    """

    fraction: float
    points: dict[str, int]
    running: list[dict[str, Any]]
    workers: int
    queue_position: int | None


def progress(session: Session, jobs: Sequence[Job]) -> dict[str, Progress]:
    """How far each of the jobs is, by id."""
    if not jobs:
        return {}
    tallies = _tallies(session, jobs)
    alive = _alive(session)
    places = _queue_positions(session, jobs)
    return {
        job.id: Progress(
            1.0 if job.state == JobState.SUCCEEDED else tallies[job.id].fraction,
            {"total": job.points, **tallies[job.id].points},
            tallies[job.id].running,
            _able(alive, job),
            places.get(job.id),
        )
        for job in jobs
    }


class _Tally:
    """The steps of one job, counted as they come: in the order of their kinds and numbers."""

    def __init__(self) -> None:
        self.points = dict.fromkeys(_COUNTED, 0)
        self.running: list[dict[str, Any]] = []
        self._done = 0.0
        self._steps = 0

    def count(self, kind: str, name: str, number: int) -> None:
        """So many steps of a kind are ``name``."""
        self._steps += number
        self._done += number * (name in _BEHIND_US)
        if kind == StepKind.POINT:
            self.points[name] += number

    def run(self, kind: str, index: int, progress: Mapping[str, Any]) -> None:
        """A step is being worked on."""
        self.count(kind, "running", 1)
        self.running.append({"kind": kind, "index": index, **progress})
        if progress.get("total"):
            self._done += min(1.0, float(progress["step"]) / float(progress["total"]))

    @property
    def fraction(self) -> float:
        return round(self._done / max(1, self._steps), 4)


def _tallies(session: Session, jobs: Sequence[Job]) -> dict[str, _Tally]:
    """One query: steps grouped by what has become of them, where each running step is a group of its own."""
    trained = and_(Step.state == StepState.CLAIMED, Step.outcome.is_not(None))
    running = and_(Step.state == StepState.CLAIMED, Step.outcome.is_(None))
    named = (
        select(
            Step.job_id,
            Step.kind,
            case((trained, "trained"), (running, "running"), else_=Step.state).label("name"),
            case((running, Step.index)).label("at"),
            case((running, cast(Step.progress, Text))).label("told"),
        )
        .where(Step.job_id.in_([job.id for job in jobs]))
        .subquery()
    )
    columns = (named.c.job_id, named.c.kind, named.c.name, named.c.at, named.c.told)
    grouped = select(*columns, func.count()).group_by(*columns).order_by(named.c.kind, named.c.at)
    tallies = {job.id: _Tally() for job in jobs}
    for job_id, kind, name, at, told, number in session.execute(grouped):
        if name == "running":
            tallies[job_id].run(kind, at, json.loads(told or "null") or {})
        else:
            tallies[job_id].count(kind, name, number)
    return tallies


def _alive(session: Session) -> Counter[tuple[str, str, int]]:
    """Workers that were seen just now, by queue and arithmetic."""
    since = db.now(session) - timedelta(seconds=ALIVE_SECONDS)
    rows = session.execute(select(Worker.queue, Worker.device, Worker.threads).where(Worker.seen_at > since))
    return Counter((queue, device, threads) for queue, device, threads in rows)


def _able(alive: Counter[tuple[str, str, int]], job: Job) -> int:
    """Those of the job's queue, with its arithmetic once it has one."""
    if job.device is not None:
        return alive[job.queue, job.device, job.threads or 0]
    return sum(number for (queue, _, _), number in alive.items() if queue == job.queue)


def _queue_positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """The places of those that wait, among all that wait in their queues."""
    waiting = [job.id for job in jobs if job.state == JobState.QUEUED]
    if not waiting:
        return {}
    place = func.row_number().over(partition_by=Job.queue, order_by=(Job.created_at, Job.id))
    numbered = select(Job.id, place.label("place")).where(Job.state == JobState.QUEUED).subquery()
    found = session.execute(select(numbered.c.id, numbered.c.place).where(numbered.c.id.in_(waiting)))
    return {row.id: row.place for row in found}
