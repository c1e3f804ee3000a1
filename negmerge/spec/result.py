"""What a job leaves: the result document and its rows, typed; their figures are in ``figures``. No torch."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, WrapValidator, field_serializer

from negmerge.errors import DataError
from negmerge.spec.consensus import Consensus
from negmerge.spec.figures import CountRecord, FigureRecord, Measured, Part, Record, SplitCounts, Spread
from negmerge.spec.job import JobSpec, ScaleRule, SpecDocument
from negmerge.spec.methods import MethodName
from negmerge.spec.newer import Open, is_tolerant
from negmerge.spec.paths import RESULT
from negmerge.spec.precision import Bfloat16By, Precision
from negmerge.spec.references import DatasetRef, Select
from negmerge.spec.sweep import HyperParameters, Point, of_repeat


class _PointIdentity(Record):
    index: int
    hyper_parameters: HyperParameters
    seed: int
    state: Open[Literal["folded", "diverged"]]
    cause: str | None = Field(None, description="Why it diverged.")


class _Trained(Record):
    loss: float | None = Field(None, description="Mean over the last epoch's samples.")
    steps: int | None = None
    digest: str | None = Field(None, description="Of the task vector.")
    training_seconds: float | None = None
    seconds_to_scale: float | None = Field(None, description="Until the point's own λ was found.")
    scale: float | None = Field(None, description="The point's own λ, where it was searched as a single model.")
    scale_at_edge: bool | None = None
    rank: tuple[int, float] | None = Field(None, description="Of its choice of λ: smaller is better.")


class PointOutcome(Measured, _Trained):
    """What became of a point that was trained; its figures where it was searched as a single model."""

    seconds: float | None = None


class PointRow(PointOutcome, _PointIdentity):
    """One point of the sweep: what it is, and its outcome or the cause of its divergence."""

    @classmethod
    def folded(cls, point: Point, outcome: PointOutcome) -> Self:
        """The row of a point that is part of the merge."""
        return cls(**_identity(point), state="folded", **outcome.given())

    def without_search(self) -> Self:
        """The point without what it scored as a single model: for a job that looks for λ otherwise, or elsewhere."""
        of_search = {*Measured.model_fields, "scale", "scale_at_edge", "rank", "seconds_to_scale"}
        return type(self)(**{name: value for name, value in self.given().items() if name not in of_search})

    @classmethod
    def diverged(cls, point: Point, cause: str) -> Self:
        """The row of a point that was left out."""
        return cls(**_identity(point), state="diverged", cause=cause)


def _identity(point: Point) -> dict[str, Any]:
    return {"index": point.index, "hyper_parameters": point.hyper_parameters, "seed": point.seed}


class _RivalIdentity(Record):
    rival: str
    repeat: int
    seed: int
    state: Open[Literal["done", "diverged"]]
    cause: str | None = Field(None, description="Why it diverged.")
    seconds: float | None = Field(None, description="Of the method itself, without measuring.")


class RivalRow(Measured, _RivalIdentity):
    """One rival in one repeat: what it scores, or why it has no figures."""


class CurveRow(Record):
    """What the model scores on validation data at one scale."""

    scale: float
    forget: CountRecord
    retain: CountRecord


class _Chosen(Record):
    scale: float | None = None
    scale_at_edge: bool | None = None
    curve: list[CurveRow] | None = Field(
        None, description="Scales at which both sides were measured on validation data: all, or as `curve` says."
    )
    points: list[int] | None = Field(None, description="The points in a greedy soup, as they joined.")
    repeat: int | None = None
    seed: int | None = None
    seconds: float | None = None
    bytes_stored: int | None = Field(None, description="What the method keeps besides the base model and its result.")


class MethodRow(Measured, _Chosen):
    """The base model, a merge at its chosen scale, or a rival: what it scores."""


class TableRow(Record):
    """One method over all repeats. Shares in [0, 1], the gap in percentage points; null where there is no figure."""

    method: str
    scale: Spread | None
    forget: Spread | None
    retain: Spread | None
    test: Spread | None
    membership: Spread | None
    gap: Spread | None
    seconds: Spread | None
    bytes_stored: int | None


class DataIdentity(Record):
    """What tells two variants of a data set apart (``data.identity``)."""

    name: str
    root: str | None
    classes: int
    samples: dict[str, int]
    ids: str = Field(description="SHA-256 over the sorted ids.")
    left_out: list[str] | None = Field(
        None, description="The ids of images that could not be read, where there are any."
    )


class DataIdentities(Record):
    """Which data each side is of."""

    forget: DataIdentity
    retain: DataIdentity


OutcomeName = Literal["unlearned", "below_target", "nothing_unlearned"]
GateName = Literal["forget_max", "retain_min"]


class Gate(Record):
    """An acceptance gate of the spec's ``require``, judged on the figure that is reported."""

    # a generator of Python calls a new Gate `gate`, and so the field: the second takes the first's place
    model_config = ConfigDict(title="JudgedGate")

    gate: Open[GateName]
    limit: float
    figure: FigureRecord | None = Field(description="The accuracy that was judged; null where there are no samples.")
    passed: bool
    sure: bool = Field(description="The whole 95 % interval lies on this side of the limit, not the figure alone.")


class Verdict(Record):
    """An outcome, why it is this one in words, and the gates one by one."""

    outcome: OutcomeName
    reason: str
    gates: list[Gate]


class Named(Record):
    """A data set or a model: its id, where it has one, and what its owner calls it."""

    id: str | None = None
    name: str


class Asked(Record):
    """Who asked for what, and when: the key that submitted the job (a local run has none), the job's parts by name."""

    by: Named | None = Field(None, description="The API key that submitted the job.")
    at: datetime
    concluded_at: datetime
    base_model: Named
    forget: Named
    retain: Named
    hub: str | None = Field(None, description="Where the base model came from on a hub: `owner/name@commit`.")


class Duplicate(Record):
    """Two ids of one picture."""

    forget: str
    retain: str


class Duplicates(Record):
    """Kept images that are pixel for pixel a forgotten one: how many, and the first of them."""

    count: int
    examples: list[Duplicate]


class SweepChosen(Record):
    """What a sweep ``auto`` chose: how many points, what they cost, and why these."""

    points: int
    steps: int | None = Field(description="Optimizer steps of all points; null where the samples were not counted.")
    images: int | None = Field(description="Images that all points see, epochs counted; null where steps are.")
    why: str


class Digests(Record):
    """``unlearned`` is of the weights file itself, the others are over tensors."""

    base: str
    task_vector: str
    unlearned: str


class Environment(Record):
    """Where the figures come from: device, threads, precision and versions."""

    device: str
    threads: int
    precision: Open[Precision] | None = Field(None, description="In which points and rivals were trained.")
    bfloat16_by: Open[Bfloat16By] | None = Field(None, description="What computed bfloat16, where they were in it.")
    torch: str
    open_clip: str
    timm: str
    python: str
    negmerge: str


def _as_far_as_known(document: Any, check: Callable[[Any], JobSpec], info: ValidationInfo) -> JobSpec:
    """The spec of a newer service's job, which may ask for what this version does not know: unjudged, as it stands."""
    try:
        return check(document)
    except ValidationError:
        sides = ("forget", "retain")
        if not is_tolerant(info) or not isinstance(document, dict):
            raise
        if not all(_has_source(document.get(side)) for side in sides):
            raise
    return JobSpec.model_construct(**document | {side: _unjudged(document[side]) for side in sides})


def _has_source(reference: Any) -> bool:
    """Whether a reference says in a way of this version which data set it means."""
    names = (("dataset",), ("uri",), ("torchvision", "root"))
    return isinstance(reference, dict) and any(all(reference.get(name) for name in way) for way in names)


def _unjudged(reference: dict[str, Any]) -> DatasetRef:
    select = reference.get("select")
    selected = Select.model_construct(**select) if isinstance(select, dict) else None
    return DatasetRef.model_construct(**reference | {"select": selected})


class ResultDocument(Record):
    """The result of a job: figures, λ curves, consensus by layer, comparison, digests."""

    job: str | None
    from_job: str | None = Field(None, description="The job that trained the points, where this one only merged them.")
    spec: Annotated[JobSpec, WrapValidator(_as_far_as_known)]
    method: Open[MethodName]
    rule: Open[ScaleRule]
    scale: float
    scale_at_edge: bool
    reference: CountRecord | None = Field(
        None, description="The forget accuracy that the rule compares with: unseen data's, or a retrained model's."
    )
    outcome: Open[OutcomeName]
    outcome_reason: str = Field(description="Why it is this outcome, in words.")
    gates: list[Gate] = Field(description="The spec's `require`, judged; empty where it has none.")
    asked: Asked
    consensus: Consensus
    methods: dict[str, MethodRow] = Field(description="The base model, the merges and the rivals, by name.")
    repeats: list[dict[str, MethodRow | str]] = Field(
        description="What each repeat scores, by method; where a method has no figures, the cause."
    )
    table: list[TableRow]
    table_parts: dict[str, Open[Part]] = Field(description="Column of the table → the part that it is measured on.")
    points: list[PointRow]
    sweep_chosen: SweepChosen | None = Field(None, description="What the sweep `auto` chose, and why.")
    left_out: list[int]
    splits: SplitCounts
    data: DataIdentities
    duplicates: Duplicates
    digests: Digests
    warnings: list[str] = Field(description="What a reader must know before the figures.")
    environment: Environment
    rounded_away: float = Field(description="Share of λτ* that the rounding to a 16-bit type swallowed.")

    @field_serializer("spec")
    def _without_what_was_not_given(self, spec: JobSpec) -> SpecDocument:
        # no warnings: values of a newer service's spec are as they came
        return spec.model_dump(mode="json", exclude_none=True, warnings=False)

    @property
    def verdict(self) -> Verdict:
        """Its outcome, and why."""
        return Verdict(outcome=self.outcome, reason=self.outcome_reason, gates=self.gates)

    def points_of(self, repeat: int) -> Sequence[PointRow]:
        """The rows of one repeat's points, in order."""
        return of_repeat(self.points, repeat, len(self.repeats))

    def singles(self) -> list[PointRow]:
        """The first repeat's points that were searched as single models, best first by their rank on validation data.

        The test figures chose nothing here.
        """
        return by_rank(self.points_of(0))


def by_rank(points: Sequence[PointRow]) -> list[PointRow]:
    """Those points that were searched as single models, best first; of equal ones that of the smaller index."""
    searched = [point for point in points if point.rank is not None]
    return sorted(searched, key=lambda point: (point.rank, point.index))


def load_result(path: Path | str) -> ResultDocument:
    """The result document in a ``result.json``, or in the folder that holds one.

    Raises DataError where there is none, or the file holds something else.
    """
    file = Path(path)
    file = file / RESULT if file.is_dir() else file
    try:
        return ResultDocument.model_validate_json(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        where = "/".join(map(str, wrong["loc"]))
        raise DataError(f"{file} is no result of this version: {where or 'the document'}: {wrong['msg']}") from None
