"""The job spec: what ``POST /v1/jobs`` and ``negmerge run`` take. pydantic only, no torch.

``parse`` turns a document into a ``JobSpec`` or raises ``SpecError`` with every wrong field by JSON pointer.
The sweep's part is in ``sweep``, models and data sets in ``references``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from negmerge.errors import FieldError, SpecError
from negmerge.spec.fields import (
    MAX_ERRORS,
    Accuracy,
    Place,
    SchemaOf,
    Share,
    Spec,
    Text,
    at_most,
    field_error,
    listed,
)
from negmerge.spec.methods import METHOD_NAMES, MethodName, needs_kept_vectors
from negmerge.spec.numbers import MAX_SCALE
from negmerge.spec.precision import AskedPrecision
from negmerge.spec.references import BaseModelSpec, DatasetRef, OpenClipModel
from negmerge.spec.rivals import RETRAIN, RivalOptions, RivalRun, options_read, rival_names
from negmerge.spec.sweep import MAX_POINTS, Point, Sweep, count, expand, repeat_seed, spelled_out

ScaleRule = Literal["lowest_forget", "match_unseen", "match_retrained", "target", "fixed"]
Curve = Literal["needed", "full"]

MAX_REPEATS = 10
MAX_METADATA = 16
MAX_COMPARED = 20


class Merge(Spec):
    """How the task vectors become one."""

    method: MethodName = "negmerge"
    agreement: Share = Field(1.0, description="Share of the points that must agree on a sign (negmerge).")
    relaxed: Share = Field(0.8, description="The same share for the method `relaxed`: k of N instead of all.")
    density: Share = Field(0.2, description="Share of each task vector that TIES keeps.")


class ScaleSearch(Spec):
    """How the scale λ is chosen, on validation data. ``rule`` defaults by how the forget set is selected."""

    keep: Accuracy = Field(0.95, description="Share of the base model's retain accuracy that must remain.")
    rule: ScaleRule | None = None
    target: Accuracy | None = Field(None, description="Forget accuracy to come nearest to (rule `target`).")
    scale: Annotated[float, Field(ge=0, le=MAX_SCALE)] | None = Field(None, description="The λ to use (rule `fixed`).")
    extend: bool = Field(True, description="Go on to 2, then 4, while the edge keeps enough and forgets too little.")
    curve: Curve = Field(
        "needed",
        description="Measure what stays at each scale (`full`), or where the choice and a readable curve need it.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for rule, field in (("target", "target"), ("fixed", "scale")):
            if (self.rule == rule) != (getattr(self, field) is not None):
                raise field_error(field, f"rule {rule!r} and the field {field!r} belong together")
        return self


class Require(Spec):
    """Acceptance gates, judged on test data; forgotten training samples are measured themselves."""

    forget_max: Accuracy | None = Field(None, description="The forget accuracy may be at most this.")
    retain_min: Accuracy | None = Field(None, description="The retain accuracy must be at least this.")

    @model_validator(mode="after")
    def _any(self) -> Self:
        if self.forget_max is None and self.retain_min is None:
            raise ValueError("is empty: give forget_max, retain_min or both, or leave require out")
        return self


JobId = Annotated[str, Field(pattern=r"^job_[0-9a-f]{26}$")]
Compared = Annotated[list[Text], Field(max_length=MAX_COMPARED)]
"""Methods beside the job's own."""
Metadata = Annotated[
    dict[Annotated[Text, Field(max_length=64)], Annotated[str, Field(max_length=512, pattern=r"^[^\x00]*$")]],
    Field(max_length=MAX_METADATA),
    at_most(MAX_METADATA),
]


class JobSpec(Spec):
    """A whole unlearning job."""

    base_model: BaseModelSpec
    forget: DatasetRef
    retain: DatasetRef
    sweep: Annotated[Sweep, BeforeValidator(spelled_out, json_schema_input_type=Sweep | Literal["auto"])]
    merge: Merge = Merge()
    scale_search: ScaleSearch = ScaleSearch()
    require: Require | None = Field(None, description="When the result is good enough; the job's `outcome` says so.")
    compare: Compared = Field(
        default_factory=list,
        description="Other merge methods and, for classifiers, rivals such as `retrain` or `salun`.",
    )
    rivals: Annotated[dict[Text, RivalOptions], Field(max_length=MAX_COMPARED), at_most(MAX_COMPARED)] = Field(
        default_factory=dict, description="Options of rivals that `compare` names; each has its published defaults."
    )
    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS)] = Field(
        1, description="Train the whole sweep and every rival so often, with other seeds, for mean and spread."
    )
    precision: AskedPrecision = Field(
        "auto",
        description="In which points and rivals are trained; `auto` is bfloat16 where the hardware computes in it.",
    )
    keep_task_vectors: bool = False
    deliver: Place | None = Field(
        None, description="`s3://BUCKET/PREFIX` that the finished job's files are copied to as well; must be allowed."
    )
    from_job: JobId | None = Field(
        None,
        description="A `job_…` of this service that succeeded: merge its points in another way, without training any. "
        "What is not named here is that job's.",
    )
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("sweep")
    @classmethod
    def _with_defaults_of_the_family(cls, sweep: Sweep, info: ValidationInfo) -> Sweep:
        model = info.data.get("base_model")  # absent where it is wrong itself
        return sweep if model is None else sweep.of_family(model.is_classifier)

    @field_validator("compare")
    @classmethod
    def _known_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names):
            raise ValueError("names a method twice")
        known = (*METHOD_NAMES, *rival_names())
        for number, name in enumerate(names):
            if name not in known:
                raise field_error(str(number), f"there is no method {name!r}: known are {listed(known)}")
        return names

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kept = [method for method in self.methods() if needs_kept_vectors(method)]
        if kept and not self.keep_task_vectors and self.from_job is None:
            raise field_error("keep_task_vectors", f"{kept[0]} re-reads every task vector: set this to true")
        if self.forget.select is None and self.one_data_set:
            raise field_error("forget", "takes the whole data set that retain names: add forget.select")
        return self

    @model_validator(mode="after")
    def _trains_nothing(self) -> Self:
        """With ``from_job``: whether that job has what this one needs, ``spec.derived`` says."""
        if self.from_job is None:
            return self
        if self.keep_task_vectors:
            raise field_error("keep_task_vectors", "trains no point whose vector could be kept: leave it out")
        if rivals := self.rivals_compared():
            raise field_error("compare", f"{rivals[0]} trains in its own way: submit a new job without from_job")
        if self.scale_rule == "match_retrained":
            raise field_error("scale_search", "match_retrained trains a model: take another rule", "rule")
        return self

    @model_validator(mode="after")
    def _expansions_are_float32(self) -> Self:
        if self.precision == "bfloat16" and isinstance(self.base_model, OpenClipModel) and self.base_model.linearised:
            raise field_error("precision", "a linearised model computes in float32: leave it out, or say float32")
        return self

    @model_validator(mode="after")
    def _rivals_fit(self) -> Self:
        names = self.rivals_compared()
        if names and not self.base_model.is_classifier:
            raise field_error(
                "compare", f"{names[0]} is a rival for classifiers (base_model.family timm): leave it out"
            )
        if names and not self.one_data_set:
            raise field_error(
                "compare", f"{names[0]} trains on the retain set, which must be the forget set's own data set"
            )
        for name, options in self.rivals.items():
            if name not in names:
                raise field_error("rivals", f"has options for {name!r}, which compare does not name")
            for option in sorted(options.model_dump(exclude_none=True).keys() - options_read(name)):
                detail = f"is not read by {name}: leave it out; {name} reads {listed(sorted(options_read(name)))}"
                raise field_error("rivals", detail, name, option)
        if self.scale_search.rule == "match_retrained" and RETRAIN not in names:
            raise field_error("compare", f"rule match_retrained compares with a retrained model: add {RETRAIN!r}")
        if count(self.sweep) * self.repeats > MAX_POINTS:
            raise field_error("repeats", f"makes more than {MAX_POINTS} points in all: repeat fewer times")
        return self

    @property
    def one_data_set(self) -> bool:
        """Whether what is forgotten and what is retained come from the same data set."""
        return self.forget.source == self.retain.source

    def methods(self) -> list[MethodName]:
        """The job's merge method first, then those of ``compare``, each once."""
        compared = [name for name in self.compare if name in METHOD_NAMES]
        return list(dict.fromkeys([self.merge.method, *compared]))

    def rivals_compared(self) -> list[str]:
        """Those of ``compare`` that are no merges, but train in their own way."""
        return [name for name in self.compare if name not in METHOD_NAMES]

    def points(self) -> list[Point]:
        """All points of the sweep, repeat after repeat."""
        return expand(self.sweep, self.repeats, self.base_model.is_classifier)

    def rival_runs(self) -> list[RivalRun]:
        """What has to be trained besides the points; the retrained model that λ is to match is trained beforehand."""
        runs = [
            RivalRun(name, repeat, repeat_seed(self.sweep.seed, repeat))
            for repeat in range(self.repeats)
            for name in self.rivals_compared()
        ]
        known = self.scale_rule == "match_retrained"
        return [run for run in runs if not (known and run.name == RETRAIN and run.repeat == 0)]

    @property
    def scale_rule(self) -> ScaleRule:
        """The rule in force: ``lowest_forget`` for classes and whole sets, ``match_unseen`` for samples."""
        if self.scale_search.rule is not None:
            return self.scale_search.rule
        select = self.forget.select
        return "lowest_forget" if select is None or select.by_class else "match_unseen"


SpecDocument = Annotated[dict[str, Any], SchemaOf(JobSpec)]
"""A spec as JSON."""


def parse(document: Mapping[str, Any]) -> JobSpec:
    """Check a document against the spec.

    Raises SpecError with one FieldError for each field that is wrong.
    """
    try:
        spec = JobSpec.model_validate(document)
    except ValidationError as error:
        raise SpecError(field_errors(error, document)) from None
    return spec


def field_errors(wrong: ValidationError, document: Any) -> list[FieldError]:
    """pydantic's errors about ``document``, the first MAX_ERRORS: JSON pointers (RFC 6901) and plain messages."""
    first = wrong.errors(include_url=False)[:MAX_ERRORS]
    return [FieldError(_pointer(error, document), _message(error)) for error in first]


def _pointer(error: Any, document: Any) -> str:
    """Where in the document the error is.

    pydantic's location also names the branch of each union that it tried. Walking along the document tells
    such a name from a field, even from one that is called the same.
    """
    parts, node = [], document
    for part in error["loc"]:
        if (isinstance(node, Mapping) and part in node) or (isinstance(node, list) and isinstance(part, int)):
            parts.append(part)
            node = node[part]
        elif error["type"] == "missing" and part is error["loc"][-1]:
            parts.append(part)
    if error["type"] == "about_field":
        parts += error["ctx"]["fields"]
    elif error["type"].startswith("union_tag"):
        parts.append("family")
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _message(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown field: remove it, or check its spelling"
        case "missing":
            return "this field is required"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "should be an object"
        case "union_tag_invalid" | "union_tag_not_found":
            return "should be open_clip or timm"
        case "too_short":
            return "the list is empty: give at least one value"
        case "string_pattern_mismatch":
            return "contains NUL characters: remove them"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")
