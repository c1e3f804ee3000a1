"""A job from the accumulators of another (``from_job``): what it takes over, and what it can be had of. No torch.

Accumulators do not know how they will be read: with the same sums and counts another method, another agreement, another
rule for λ or another retain set is a matter of merging and measuring again.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from negmerge.errors import FieldError, SpecError
from negmerge.spec.fields import Place, Spec
from negmerge.spec.job import Compared, JobId, JobSpec, Merge, Metadata, Require, ScaleSearch, parse
from negmerge.spec.methods import METHOD_NAMES, components, needs_kept_vectors, needs_singles, options_added_with
from negmerge.spec.references import DatasetRef
from negmerge.spec.resources import JOB_ID


def _as_written(schema: dict[str, Any]) -> None:
    """What may be left out has no default that a client could send: absent means as in the first job."""
    for told in schema["properties"].values():
        told.pop("default", None)
    schema["example"] = {"from_job": JOB_ID, "scale_search": {"rule": "target", "target": 0.1}}


class DerivedJobSpec(Spec):
    """A job that merges another's points in another way, without training: what is not named is that job's."""

    model_config = ConfigDict(json_schema_extra=_as_written)

    from_job: JobId = Field(description="A `job_…` of this service that succeeded and trained its points itself.")
    retain: DatasetRef | SkipJsonSchema[None] = None
    merge: Merge | SkipJsonSchema[None] = None
    scale_search: ScaleSearch | SkipJsonSchema[None] = None
    require: Require | SkipJsonSchema[None] = None
    compare: Compared | SkipJsonSchema[None] = None
    deliver: Place | SkipJsonSchema[None] = None
    metadata: Metadata | SkipJsonSchema[None] = None


ALWAYS = "negmerge"
"""It is added up in every job, because the consensus is always reported."""

_ANEW = ("retain", "merge", "scale_search", "require", "compare", "rivals")
"""What such a job may say otherwise than the first one; where it does not, it is as there."""
_ITS_OWN = ("metadata", "deliver", "keep_task_vectors", "from_job")
"""What it does not take over."""


def derive(document: Mapping[str, Any], original_id: str, original: JobSpec) -> JobSpec:
    """The whole spec of a job from another's accumulators.

    document: what ``POST /v1/jobs`` was given, with ``from_job``. A comparison that it does not name is the first job's
    as far as it can be had. Raises SpecError with one FieldError for each field that is wrong.
    """
    there = original.model_dump(mode="json")
    taken = {name: value for name, value in there.items() if name not in _ITS_OWN}
    inherited = [name for name in original.compare if name in METHOD_NAMES]
    spec = parse(taken | {"compare": [], "rivals": {}} | dict(document))
    if "compare" not in document:
        had = [name for name in inherited if _why_not(name, spec, original_id, original) is None]
        spec = spec.model_copy(update={"compare": had})
    asked = spec.model_dump(mode="json")
    free = {*_ANEW, *_ITS_OWN}
    wrong = [
        FieldError(f"/{name}", f"is {original_id}'s and cannot be another here: leave it out, or submit a new job")
        for name in there
        if name not in free and asked[name] != there[name]
    ]
    wrong += [
        FieldError(_pointer(method, spec), why)
        for method in spec.methods()
        if (why := _why_not(method, spec, original_id, original)) is not None
    ]
    if wrong:
        raise SpecError(wrong)
    return spec


def searches_alike(spec: JobSpec, original: JobSpec) -> bool:
    """Whether what the first job found of single models is what this job would find."""
    chosen_by, there = (one.scale_search.model_dump(exclude={"curve"}) for one in (spec, original))
    return chosen_by == there and spec.retain == original.retain


def must_fold_again(spec: JobSpec, original: JobSpec) -> bool:
    """Whether accumulators lack what a method needs, so that the first job's kept task vectors are added up anew."""
    return not all(_is_added_up(method, spec, original) for method in spec.methods())


def _why_not(method: str, spec: JobSpec, original_id: str, original: JobSpec) -> str | None:
    """Why a method cannot be had of the first job, and what would help; None where it can."""
    if needs_kept_vectors(method):
        return f"{method} goes through the task vectors by rank: submit a new job with it"
    if needs_singles(method):
        if not any(needs_singles(one) for one in original.methods()):
            return f"{method} was not among the methods of {original_id}, so no point was searched: submit a new job"
        if not searches_alike(spec, original):
            return (
                f"{method} takes the best point by the scale search of {original_id} on its retain set: "
                "leave scale_search and retain as they are there, or submit a new job"
            )
    if _is_added_up(method, spec, original) or original.keep_task_vectors:
        return None
    options = {name: getattr(original.merge, name) for name in options_added_with(method)}
    if options and components(method) <= _components(original):
        told = ", ".join(f"{name} {value:g}" for name, value in options.items())
        return f"{method} was added up with {told} in {original_id}: give that, or submit a new job"
    return (
        f"{method} was not among the methods of {original_id}: submit a new job with it "
        "(one with keep_task_vectors has them all later)"
    )


def _is_added_up(method: str, spec: JobSpec, original: JobSpec) -> bool:
    if needs_singles(method):
        return method in original.methods()
    same = all(getattr(spec.merge, name) == getattr(original.merge, name) for name in options_added_with(method))
    return same and components(method) <= _components(original)


def _components(original: JobSpec) -> frozenset[str]:
    return frozenset().union(*(components(method) for method in (ALWAYS, *original.methods())))


def _pointer(method: str, spec: JobSpec) -> str:
    return "/merge/method" if method == spec.merge.method else f"/compare/{spec.compare.index(method)}"
