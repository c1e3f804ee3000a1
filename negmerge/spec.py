"""The job spec: what ``POST /v1/jobs`` and ``negmerge run`` take. pydantic only, no torch.

``parse`` turns a document into a ``JobSpec`` or raises ``SpecError`` with every wrong field by JSON pointer.
The sweep's part is in ``sweep``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from negmerge.errors import FieldError, SpecError
from negmerge.fields import Accuracy, NonNegative, Seed, Share, Spec, listed
from negmerge.sweep import Sweep

Method = Literal["negmerge", "uniform", "task_arithmetic", "magmax", "ties", "greedy"]


class OpenClipModel(Spec):
    """A zero-shot model of open_clip; weights with their own config need no ``architecture``."""

    family: Literal["open_clip"]
    architecture: str | dict[str, JsonValue] | None = Field(
        None, description="A built-in name such as `ViT-B-32`, or a model's own config."
    )
    weights: str = Field(
        min_length=1, description="A registry tag such as `openai`, a `mdl_…` id, a URI, or a local folder."
    )


class TimmModel(Spec):
    """A classifier of timm."""

    family: Literal["timm"]
    architecture: str | dict[str, JsonValue] | None = None
    weights: str = Field(min_length=1)


BaseModelSpec = Annotated[OpenClipModel | TimmModel, Field(discriminator="family")]


class Select(Spec):
    """Which samples of a data set: exactly one of ``classes``, ``ids`` and ``fraction``."""

    classes: list[str] | None = Field(None, min_length=1)
    ids: list[str] | None = Field(None, min_length=1)
    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("classes", "ids", "fraction") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of classes, ids and fraction, not {listed(given)}")
        return self

    @property
    def by_class(self) -> bool:
        """True where the selection says what is forgotten (classes), False where it lists samples."""
        return self.classes is not None


class DatasetRef(Spec):
    """A data set, and optionally a part of it: exactly one of ``dataset``, ``uri`` and ``torchvision``."""

    dataset: str | None = Field(None, description="A `ds_…` id of this service.")
    uri: str | None = Field(None, description="An archive or a folder; schemes and hosts must be allowed.")
    torchvision: str | None = Field(None, description="A torchvision data set's class name, with `root`.")
    root: str | None = None
    select: Select | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("dataset", "uri", "torchvision") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of dataset, uri and torchvision, not {listed(given)}")
        if (self.torchvision is None) != (self.root is None):
            raise ValueError("torchvision and root belong together: give both or neither")
        return self

    @property
    def source(self) -> tuple[str, str, str]:
        """What identifies the data set itself, whatever is selected from it."""
        return (self.dataset or "", self.uri or "", f"{self.torchvision or ''}:{self.root or ''}")


class Merge(Spec):
    """How the task vectors become one."""

    method: Method = "negmerge"
    agreement: Share = Field(1.0, description="Share of the points that must agree on a sign (negmerge).")
    density: Share = Field(0.2, description="Share of each task vector that TIES keeps.")


class ScaleSearch(Spec):
    """How the scale λ is chosen, on validation data. ``rule`` defaults by how the forget set is selected."""

    keep: Accuracy = Field(0.95, description="Share of the base model's retain accuracy that must remain.")
    rule: Literal["lowest_forget", "match_unseen", "target", "fixed"] | None = None
    target: Accuracy | None = Field(None, description="Forget accuracy to come nearest to (rule `target`).")
    scale: NonNegative | None = Field(None, description="The λ to use (rule `fixed`).")
    extend: bool = Field(True, description="Go on to 2, then 4, when the best scale is the grid's edge.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for rule, field in (("target", "target"), ("fixed", "scale")):
            if (self.rule == rule) != (getattr(self, field) is not None):
                raise ValueError(f"rule {rule!r} and the field {field!r} belong together")
        return self


class JobSpec(Spec):
    """A whole unlearning job."""

    base_model: BaseModelSpec
    forget: DatasetRef
    retain: DatasetRef
    sweep: Sweep
    merge: Merge = Merge()
    scale_search: ScaleSearch = ScaleSearch()
    compare: list[Method] = Field(default_factory=list, max_length=6)
    keep_task_vectors: bool = False
    metadata: dict[
        Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=512)]
    ] = Field(default_factory=dict, max_length=16)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.compare)) != len(self.compare):
            raise ValueError("compare names a method twice")
        if "greedy" in self.methods() and not self.keep_task_vectors:
            raise ValueError("greedy re-reads every task vector: set keep_task_vectors to true")
        if self.forget.select is None and self.forget.source == self.retain.source:
            raise ValueError("forget takes the whole data set that retain names: add forget.select")
        return self

    def methods(self) -> list[Method]:
        """The job's method first, then those of ``compare``, each once."""
        return list(dict.fromkeys([self.merge.method, *self.compare]))

    @property
    def scale_rule(self) -> Literal["lowest_forget", "match_unseen", "target", "fixed"]:
        """The rule in force: ``lowest_forget`` for classes and whole sets, ``match_unseen`` for samples."""
        if self.scale_search.rule is not None:
            return self.scale_search.rule
        select = self.forget.select
        return "lowest_forget" if select is None or select.by_class else "match_unseen"


def parse(document: Mapping[str, Any]) -> JobSpec:
    """Check a document against the spec.

    Raises SpecError with one FieldError for each wrong field.
    """
    try:
        return JobSpec.model_validate(document)
    except ValidationError as error:
        raise SpecError(field_errors(error.errors())) from None


def field_errors(errors: list[Any]) -> list[FieldError]:
    """pydantic's error list as FieldErrors: JSON pointers without union tags, messages without prefixes."""
    tags = {"open_clip", "timm", "Interval"}
    found = []
    for error in errors:
        parts = [str(part) for part in error["loc"] if part not in tags and not _is_type_tag(part)]
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            message = "unknown field: remove it, or check its spelling"
        found.append(FieldError(pointer, message))
    return found


def _is_type_tag(part: int | str) -> bool:
    """pydantic puts the tried branch of a plain union in the path, as in ``list[float]``."""
    return isinstance(part, str) and (part.startswith(("list[", "dict[")) or part in {"str"})
