"""What points were added up to, for the step ``conclude``: a job's own accumulators, or those of the job it is from."""

from collections.abc import Callable, Sequence
from contextlib import closing

from app.record.leases import Claim
from app.record.steps import CommittedPartial, ConcludeInputs
from negmerge.errors import ModelError
from negmerge.merging.partial import Partial, Single
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.tune import new_partial
from negmerge.progress import OnStep
from negmerge.spec.derived import must_fold_again
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.result import PointRow
from negmerge.spec.sweep import of_repeat
from worker.context import WorkerContext
from worker.fetching import fetched
from worker.loaded_job import LoadedJob


def partials_of(
    context: WorkerContext,
    loaded: LoadedJob,
    inputs: ConcludeInputs,
    load: Callable[[int], TaskVector],
    on_step: OnStep,
) -> list[Partial]:
    """A partial for each repeat: of this job's own points, or of the points of the job that it is from.

    Raises ModelError where that one had another base model, MergeError where points overlap.
    """
    if inputs.origin is None:
        return _combined(context, loaded.spec, loaded, inputs.partials, on_step)
    if loaded.model.digest != inputs.origin.base:
        raise ModelError(
            f"the base model is not what it was in {inputs.origin.job_id}, so its task vectors are another's: "
            "submit a new job"
        )
    original = parse(inputs.origin.spec)
    if must_fold_again(loaded.spec, original):
        return _folded_again(loaded, inputs.points, load)
    combined = _combined(context, original, loaded, inputs.partials, on_step)
    methods = new_partial(loaded.spec, loaded.model).methods
    return [partial.read_as(methods, loaded.spec.merge) for partial in combined]


def _combined(
    context: WorkerContext,
    spec: JobSpec,
    loaded: LoadedJob,
    partials: Sequence[CommittedPartial],
    on_step: OnStep,
) -> list[Partial]:
    """All partials of each repeat as one; the order does not matter. spec: with which they were added up."""
    combined = [new_partial(spec, loaded.model) for _ in range(spec.repeats)]
    with closing(fetched(context, [committed.key for committed in partials], on_step)) as files:
        for committed, path in zip(partials, files, strict=True):
            combined[committed.repeat].combine(Partial.load(path, loaded.model.base, spec.merge))
    return combined


def _folded_again(loaded: LoadedJob, points: Sequence[PointRow], load: Callable[[int], TaskVector]) -> list[Partial]:
    """The kept task vectors of another job, added up for this one's methods."""
    folded = []
    for repeat in range(loaded.spec.repeats):
        partial = new_partial(loaded.spec, loaded.model)
        for row in of_repeat(points, repeat, loaded.spec.repeats):
            if row.state == "folded":
                single = None if row.rank is None or row.scale is None else Single(row.rank, row.scale)
                partial.add(row.index, load(row.index), single)
        folded.append(partial)
    return folded


def kept(
    context: WorkerContext,
    claim: Claim,
    repeat: int,
    partial: Partial,
    committed: Sequence[CommittedPartial],
    on_step: OnStep,
) -> CommittedPartial:
    """What stays of a repeat's accumulators: the only worker's own partial, or all workers' as one."""
    of_workers = [one for one in committed if one.repeat == repeat]
    if len(of_workers) == 1:
        return of_workers[0]
    with context.scratch.folder() as folder:
        path = folder / f"accumulators-{repeat}.safetensors"
        partial.save(path)
        return CommittedPartial(repeat, context.upload(claim, path.name, path, on_step), partial.points)
