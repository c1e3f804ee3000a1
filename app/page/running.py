"""A job that has not ended, as its view draws it: the grid of its points, the losses of what runs, the last problem."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.page import words
from app.record import jobs
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Event, Job, Step
from negmerge.spec.sweep import MAX_POINTS
from negmerge.spec.sweep_words import described, varied

MAX_CURVES = 6
"""Losses of more points that run at once are not drawn: there are so many colours."""

_STAGES = (
    (JobState.PREPARING, "Prepare", "cut and decode the data, measure the base model"),
    (JobState.TUNING, "Fine-tune", "train each point, and each rival"),
    (JobState.CONCLUDING, "Conclude", "merge, choose the scale, test, write"),
)
_CELLS = {
    "open": ("waiting", "waits"),
    "running": ("in training", "is being trained"),
    "trained": ("trained", "is trained"),
    "folded": ("merged", "is part of the merge"),
    "diverged": ("diverged", "diverged and is left out"),
}
"""What becomes of a point, in the order of the legend: there, and of one point."""


@dataclass(frozen=True)
class Cell:
    """A point in the grid. share: how much of it is done, in [0, 1]."""

    index: int
    state: str
    share: float
    told: str


@dataclass(frozen=True)
class Curve:
    """The losses of a running point, as the points of a line in a drawing of ``WIDTH`` by ``HEIGHT``."""

    index: int
    line: str
    loss: float | None
    told: str


class Stage(NamedTuple):
    """A part of a job's way: ``done``, ``now`` or ``later``."""

    name: str
    what: str
    state: str


WIDTH, HEIGHT = 600, 180
_LOOKED_AT = 200
"""Of the newest steps that were opened again, to find a failure among them."""


@dataclass(frozen=True)
class Running:
    """What the view shows of a job that has not ended."""

    stages: list[Stage]
    cells: list[Cell]
    legend: dict[str, tuple[str, int]]
    curves: list[Curve]
    highest: float
    problem: "Problem | None"


@dataclass(frozen=True)
class Problem:
    """The last failure of a step: which, why, how often it was tried, and when it happened."""

    step: str
    cause: dict[str, Any]
    attempts: int
    event: Event


def running(session: Session, job: Job) -> Running:
    """All of it, as it is now."""
    points = jobs.points(session, job.id, limit=MAX_POINTS)
    apart = varied([point.hyper_parameters or {} for point in points])
    cells = [_cell(point, apart) for point in points]
    legend = {state: (told, sum(cell.state == state for cell in cells)) for state, (told, _) in _CELLS.items()}
    traced = [point for point in points if len(_trace(point)) > 1][:MAX_CURVES]  # one loss is no curve
    highest = max((loss for point in traced for _, loss in _trace(point)), default=0.0)
    curves = [_curve(point, highest, apart) for point in traced]
    return Running(_stages(job), cells, legend, curves, highest, last_problem(session, job))


def last_problem(session: Session, job: Job) -> Problem | None:
    """The newest failure that a step was opened again for. One that was given back, by a worker that stops, is none."""
    newest = select(Event).where(Event.job_id == job.id, Event.kind == "step.reopened").order_by(Event.number.desc())
    reopened = session.scalars(newest.limit(_LOOKED_AT))
    event = next((event for event in reopened if event.data["cause"].get("type") != "given_back"), None)
    if event is None:
        return None
    index, kind = event.data["index"], event.data["kind"]
    name = f"Point {index}" if kind == StepKind.POINT else f"The step {kind}"
    return Problem(name, event.data["cause"], event.data["attempts"], event)


def state_of(point: Step) -> str:
    """What has become of a point, as the legend calls it."""
    if point.state != StepState.CLAIMED:
        return point.state
    return "running" if point.outcome is None else "trained"


def told_state(point: Step) -> str:
    """The same in words."""
    return _CELLS[state_of(point)][0]


def _cell(point: Step, apart: Sequence[str]) -> Cell:
    state = state_of(point)
    progress = point.progress or {}
    share = progress.get("step", 0) / max(1, progress.get("total", 1)) if state == "running" else float(state != "open")
    loss = (point.outcome or {}).get("loss")
    ending = "" if loss is None else f", loss {loss:.3g}"
    tries = f", try {point.attempts}" if point.attempts > 1 else ""
    told = f"Point {point.index} {_CELLS[state][1]}{ending}{tries}: {described(point.hyper_parameters or {}, apart)}"
    return Cell(point.index, state, round(min(1.0, share), 3), told)


def _curve(point: Step, highest: float, apart: Sequence[str]) -> Curve:
    progress = point.progress or {}
    total = max(1, progress.get("total", 1))
    pairs = [
        (WIDTH * step / total, HEIGHT * (1 - loss / highest) if highest > 0 else HEIGHT) for step, loss in _trace(point)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
    return Curve(point.index, line, progress.get("loss"), described(point.hyper_parameters or {}, apart))


def _trace(point: Step) -> list[tuple[int, float]]:
    return [(step, loss) for step, loss in (point.progress or {}).get("trace", [])]


def _stages(job: Job) -> list[Stage]:
    order = [state for state, _, _ in _STAGES]
    at = order.index(JobState(job.state)) if job.state in order else -1
    return [
        Stage(name, what, "done" if number < at else "now" if number == at else "later")
        for number, (_, name, what) in enumerate(_STAGES)
    ]


def seconds(point: Step) -> str:
    """How long a point took, or nothing."""
    found = (point.outcome or {}).get("seconds")
    return "" if found is None else words.duration(found)
