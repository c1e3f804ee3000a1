"""What the service answers with about a job: how far it is, its points and events, its result, a dry run."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from negmerge.spec.figures import Part, Sides, SplitCounts
from negmerge.spec.job import SpecDocument
from negmerge.spec.newer import Open
from negmerge.spec.resources import DATASET_ID, DIGEST, JOB_ID, JOB_SPEC, MODEL_ID, TIME, example
from negmerge.spec.result import OutcomeName, ResultDocument, SweepChosen
from negmerge.spec.states import JobState, StepKind
from negmerge.spec.sweep import HyperParameters


class Links(BaseModel):
    """Where to go from a job."""

    self: str
    points: str
    events: str
    result: str
    artifacts: str
    weights: str
    cancel: str
    from_job: str | None = Field(None, description="The job whose points this one merges again.")

    @classmethod
    def of(cls, job_id: str, from_job: str | None = None) -> "Links":
        """The paths below a job, and the job that it is from."""
        here = f"/v1/jobs/{job_id}"
        names = ("points", "events", "result", "artifacts", "weights", "cancel")
        first = None if from_job is None else f"/v1/jobs/{from_job}"
        return cls(self=here, **{name: f"{here}/{name}" for name in names}, from_job=first)


class JobProblem(BaseModel):
    """Why a job failed; where it was in a step, `step`, `index` and `attempts` say in which."""

    model_config = ConfigDict(extra="allow")

    type: str
    detail: str | None = None


class BegunStep(BaseModel):
    """A step that a worker does now, and has told nothing of yet."""

    model_config = ConfigDict(frozen=True)

    kind: Open[StepKind]
    index: int

    def share(self) -> float:
        """How much of it is done, in [0, 1]."""
        return 0.0


class RunningStep(BegunStep):
    """A step that a worker does now, and where it stands."""

    step: int
    total: int
    loss: float | None

    def share(self) -> float:
        """How much of it is done, in [0, 1]."""
        return min(1.0, self.step / self.total) if self.total else 0.0


class WaitingStep(BaseModel):
    """A step that failed, and that nobody tries again before a time."""

    model_config = ConfigDict(frozen=True)

    kind: Open[StepKind]
    index: int
    attempts: int
    not_before: datetime
    cause: dict[str, Any] = Field(description="`type` and `detail` of the last failure.")


class PointCounts(BaseModel):
    """The points of a sweep, by what became of them."""

    model_config = ConfigDict(frozen=True)

    total: int
    open: int = 0
    running: int = Field(0, description="Being trained.")
    trained: int = Field(0, description="Trained, and not folded yet.")
    folded: int = 0
    diverged: int = 0


class Progress(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(frozen=True)

    fraction: float = Field(description="Of all its steps, 0 to 1.")
    points: PointCounts = Field(description="`total`, and how many are in each state.")
    running: list[RunningStep | BegunStep] = Field(description="The steps that workers do now.")
    waiting: list[WaitingStep] = Field(description="The steps that failed and are tried again later, and when.")
    workers: int = Field(description="Living workers that could take the next step: 0 says why nothing happens.")


class Job(BaseModel):
    """An unlearning job. Take an unknown ``state`` for one that is not terminal."""

    # what came later has a default, for answers of older services; this one sends all of it
    model_config = ConfigDict(json_schema_serialization_defaults_required=True) | example(
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
        spec=JOB_SPEC,
        sweep_chosen=None,
        metadata={"ticket": "DSR-1234"},
        outcome=None,
        outcome_reason=None,
        problem=None,
        created_at=TIME,
        started_at=TIME,
        finished_at=None,
        links=Links.of(JOB_ID).model_dump(),
    )

    id: str
    state: Open[JobState]
    terminal: bool = Field(description="True where nothing more will happen.")
    cancel_requested: bool
    queue: str
    queue_position: int | None = Field(description="1 for the next of your jobs to begin; null once it began.")
    progress: Progress
    points: int = Field(description="How many points it trains: those of the sweep, or none where it is `from_job`.")
    spec: SpecDocument
    sweep_chosen: SweepChosen | None = Field(None, description="What the sweep `auto` chose, and why; else null.")
    metadata: dict[str, str]
    outcome: Open[OutcomeName] | None = Field(
        None, description="What became of what was asked; null until the job has succeeded."
    )
    outcome_reason: str | None = Field(None, description="Why it is this outcome, in words.")
    problem: JobProblem | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: Links


class Estimate(BaseModel):
    """What a job would take. Null where it cannot be known before the data are read."""

    points: int
    steps: int | None = Field(description="Optimizer steps of all points; rivals are not counted.")
    images: int | None = Field(description="Images that all points see, epochs counted.")
    seconds: float | None = Field(description="Time of all points on one worker, with their own searches for λ.")
    basis: str = Field(description="Where `seconds` comes from, or why it is null.")
    splits: SplitCounts | None = Field(description="Samples by side and part.")


class DryRun(BaseModel):
    """The answer to ``?dry_run=true``: the spec is right, and nothing was made."""

    model_config = example(
        valid=True,
        spec=JOB_SPEC,
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
        sweep_chosen=None,
        warnings=[],
    )

    valid: Literal[True] = True
    spec: SpecDocument = Field(description="The spec with all defaults filled in.")
    estimate: Estimate
    sweep_chosen: SweepChosen | None = Field(None, description="What the sweep `auto` chose, and why; else null.")
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
    hyper_parameters: HyperParameters
    seed: int | None
    state: str = Field(description="`open`, `claimed`, `folded` or `diverged`.")
    attempts: int
    progress: dict[str, Any] | None = Field(
        description="`step`, `total` and `loss` while it trains, and `trace`: some losses so far, as [step, loss]."
    )
    loss: float | None
    seconds: float | None
    scale: float | None = Field(description="This point's own λ, where it was searched.")
    figures: dict[Open[Part], Sides] = Field(description="By part and side at that λ; empty where not searched.")
    digest: str | None = Field(description="Of the task vector.")
    cause: dict[str, Any] | None = Field(description="The last failure, or why it diverged.")
    started_at: datetime | None
    finished_at: datetime | None


class Event(BaseModel):
    """Something that happened to a job. Numbers begin at 1 and have no gaps."""

    model_config = example(number=3, at=TIME, kind="job.tuning", data={})

    number: int
    at: datetime
    kind: str
    data: dict[str, Any]


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
    "reference": None,
    "outcome": "unlearned",
    "outcome_reason": "The forget accuracy fell from 88.9 % to 5.6 % (1.0–25.8).",
    "gates": [{"gate": "forget_max", "limit": 0.2, "figure": _FIGURE, "passed": True, "sure": True}],
    "asked": {
        "by": {"id": "key_06614fe9299c64d37f5809612d", "name": "compliance"},
        "at": TIME,
        "concluded_at": TIME,
        "base_model": {"id": MODEL_ID, "name": "clip"},
        "forget": {"id": DATASET_ID, "name": "digits"},
        "retain": {"id": DATASET_ID, "name": "digits"},
    },
    "consensus": {
        "share": 0.571,
        "tensors": {"visual.proj": 0.571},
        "elements": {"visual.proj": 4096},
        "needed": 3,
        "counts": [0, 0, 1757, 2339],
    },
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
        "precision": "float32",
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
