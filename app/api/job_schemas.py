"""What goes out about a job, each with an example: the job, its points and events, its result, a dry run."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import DATASET_ID, DIGEST, JOB_ID, JOB_SPEC, MODEL_ID, TIME, example
from app.intake.estimate import Estimate
from app.record import steps, tables
from app.record.progress import Progress
from app.record.states import JobState
from negmerge.spec.result import Part, ResultDocument, Sides


def compact(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without its nulls, but for those in lists."""
    given = {name: compact(value) if isinstance(value, dict) else value for name, value in spec.items()}
    return {name: value for name, value in given.items() if value is not None}


class Links(BaseModel):
    """Where to go from a job."""

    self: str
    points: str
    events: str
    result: str
    artifacts: str
    weights: str
    cancel: str

    @classmethod
    def of(cls, job_id: str) -> "Links":
        """The paths below a job."""
        here = f"/v1/jobs/{job_id}"
        names = ("points", "events", "result", "artifacts", "weights", "cancel")
        return cls(self=here, **{name: f"{here}/{name}" for name in names})


class JobProblem(BaseModel):
    """Why a job failed."""

    model_config = ConfigDict(extra="allow")

    type: str
    detail: str | None = None


class Job(BaseModel):
    """An unlearning job. Take an unknown ``state`` for one that is not terminal."""

    model_config = example(
        id=JOB_ID,
        state="tuning",
        terminal=False,
        cancel_requested=False,
        queue="default",
        queue_position=None,
        progress={
            "fraction": 0.36,
            "points": {"total": 12, "open": 7, "running": 1, "trained": 0, "folded": 4, "diverged": 0},
            "running": [{"kind": "point", "index": 4, "step": 20, "total": 60, "loss": 0.4}],
            "waiting": [],
            "workers": 1,
        },
        points=12,
        spec={"base_model": {"family": "open_clip", "weights": MODEL_ID}},
        metadata={"ticket": "DSR-1234"},
        problem=None,
        created_at=TIME,
        started_at=TIME,
        finished_at=None,
        links=Links.of(JOB_ID).model_dump(),
    )

    id: str
    state: JobState
    terminal: bool = Field(description="True where nothing more will happen.")
    cancel_requested: bool
    queue: str
    queue_position: int | None = Field(description="1 for the next of your jobs to begin; null once it began.")
    progress: Progress
    points: int = Field(description="How many points the sweep has.")
    spec: dict[str, Any]
    metadata: dict[str, str]
    problem: JobProblem | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: Links

    @classmethod
    def of(cls, row: tables.Job, progress: Progress, queue_position: int | None) -> "Job":
        """The row as a resource, with what only a query can tell."""
        return cls(
            id=row.id,
            state=JobState(row.state),
            terminal=JobState(row.state).terminal,
            cancel_requested=row.cancel_requested_at is not None,
            queue=row.queue,
            queue_position=queue_position,
            progress=progress,
            points=row.points,
            spec=compact(row.spec),
            metadata=row.meta,
            problem=None if row.problem is None else JobProblem.model_validate(row.problem),
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            links=Links.of(row.id),
        )


class DryRun(BaseModel):
    """The answer to ``?dry_run=true``: the spec is right, and nothing was made."""

    model_config = example(
        valid=True,
        spec={"base_model": {"family": "open_clip", "weights": MODEL_ID}},
        estimate={
            "points": 12,
            "steps": 600,
            "images": 17_160,
            "seconds": 9.4,
            "basis": "median of 12 points of earlier jobs with this model",
            "splits": {
                "forget": {"train": 143, "validation": 18, "test": 18},
                "retain": {"train": 1294, "validation": 162, "test": 162},
            },
        },
        warnings=[],
    )

    valid: Literal[True] = True
    spec: dict[str, Any] = Field(description="The spec with all defaults filled in.")
    estimate: Estimate
    warnings: list[str] = Field(description="What is allowed, but hardly meant.")


class Point(BaseModel):
    """One point of the sweep."""

    model_config = example(
        index=0,
        hyper_parameters={"learning_rate": 1e-5, "weight_decay": 0.1, "epochs": 3},
        seed=1234567,
        state="folded",
        attempts=1,
        progress={"step": 60, "total": 60, "loss": 0.21},
        loss=0.2,
        seconds=1.1,
        scale=0.8,
        figures={"validation": {"forget": {"accuracy": 0.1, "correct": 2, "count": 20, "interval": [0.0279, 0.301]}}},
        digest=DIGEST,
        cause=None,
        started_at=TIME,
        finished_at=TIME,
    )

    index: int
    hyper_parameters: dict[str, Any]
    seed: int | None
    state: str = Field(description="`open`, `claimed`, `folded` or `diverged`.")
    attempts: int
    progress: dict[str, Any] | None = Field(description="`step`, `total` and `loss` while it trains.")
    loss: float | None
    seconds: float | None
    scale: float | None = Field(description="This point's own λ, where it was searched.")
    figures: dict[Part, Sides] = Field(description="By part and side at that λ; empty where not searched.")
    digest: str | None = Field(description="Of the task vector.")
    cause: dict[str, Any] | None = Field(description="The last failure, or why it diverged.")
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: tables.Step) -> "Point":
        """The step as a resource."""
        outcome = steps.outcome_of(row)
        return cls(
            index=row.index,
            hyper_parameters=row.hyper_parameters or {},
            seed=row.seed,
            state=row.state,
            attempts=row.attempts,
            progress=row.progress,
            loss=outcome.loss,
            seconds=outcome.seconds,
            scale=outcome.scale,
            figures=outcome.parts(),
            digest=outcome.digest,
            cause=row.cause,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


class Event(BaseModel):
    """Something that happened to a job. Numbers begin at 1 and have no gaps."""

    model_config = example(number=3, at=TIME, kind="job.tuning", data={})

    number: int
    at: datetime
    kind: str
    data: dict[str, Any]

    @classmethod
    def of(cls, row: tables.Event) -> "Event":
        """The row as a resource."""
        return cls(number=row.number, at=row.at, kind=row.kind, data=row.data)


_FIGURE = {"accuracy": 0.05, "correct": 2, "count": 40, "interval": [0.0138, 0.1650]}
_COUNTS = {"train": 143, "validation": 18, "test": 18}
_IDENTITY = {"name": DATASET_ID, "root": None, "classes": 10, "samples": {"unsaid": 1797}, "ids": DIGEST}
_CURVE = {"accuracy": 1.0, "correct": 18, "count": 18}

_RESULT: dict[str, Any] = {
    "job": JOB_ID,
    "spec": JOB_SPEC,
    "method": "negmerge",
    "rule": "lowest_forget",
    "scale": 0.95,
    "scale_at_edge": False,
    "nothing_unlearned": False,
    "consensus": {"share": 0.571, "tensors": {"visual.proj": 0.55}},
    "methods": {
        "base": {"test": {"forget": _FIGURE, "retain": _FIGURE}},
        "negmerge": {
            "scale": 0.95,
            "scale_at_edge": False,
            "curve": [{"scale": 0.0, "forget": _CURVE, "retain": _CURVE}],
            "test": {"forget": _FIGURE, "retain": _FIGURE},
        },
    },
    "repeats": [{"negmerge": {"scale": 0.95, "test": {"forget": _FIGURE, "retain": _FIGURE}}}],
    "table": [],
    "table_parts": {"forget": "test", "retain": "test"},
    "points": [],
    "left_out": [],
    "splits": {"forget": _COUNTS, "retain": _COUNTS},
    "data": {"forget": _IDENTITY, "retain": _IDENTITY},
    "duplicates": {"count": 0, "examples": []},
    "digests": {"base": DIGEST, "task_vector": DIGEST, "unlearned": DIGEST},
    "warnings": [],
    "environment": {
        "device": "cpu",
        "threads": 2,
        "torch": "2.14.1",
        "open_clip": "3.3.0",
        "timm": "1.0.31",
        "python": "3.11.14",
        "negmerge": "0.1.0",
    },
    "rounded_away": 0.0,
}


class Result(ResultDocument):
    """The result document: figures, λ curves, consensus by layer, comparison, digests."""

    model_config = example(**_RESULT)
