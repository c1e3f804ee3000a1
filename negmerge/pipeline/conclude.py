"""The last step of a job: merge, choose λ for every method, test once, compare, and write the artifacts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from negmerge.errors import MergeError
from negmerge.evaluation.assessment import Assessment, assess, membership
from negmerge.evaluation.duplicates import duplicates
from negmerge.evaluation.examples import choose, examples, taken_for
from negmerge.evaluation.prepared import Prepared
from negmerge.evaluation.search import Choice
from negmerge.merging.methods import METHODS
from negmerge.merging.partial import Partial
from negmerge.merging.vectors import TaskVector
from negmerge.models.network import Network
from negmerge.pipeline.greedy import greedy
from negmerge.pipeline.scale import choose_scale, load_at
from negmerge.progress import OnStep, frozen_at, ignore
from negmerge.report.comparison import Run
from negmerge.report.document import Concluded, MethodResult, write
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Trained
from negmerge.spec.result import Asked, PointRow, ResultDocument, RivalRow
from negmerge.spec.sweep import of_repeat


@dataclass(frozen=True)
class Evidence:
    """What the earlier steps have made.

    partials: one for each repeat of the sweep. points: one row for each point, in order. load: the kept task vector of
    a point, for methods that need it. trained: how points and rivals were.
    """

    partials: Sequence[Partial]
    points: Sequence[PointRow]
    rivals: Sequence[RivalRow]
    load: Callable[[int], TaskVector]
    trained: Trained


@dataclass(frozen=True)
class _Merged:
    """A method's τ*, its scale, with the curve in the first repeat, and what only greedy has: the points in it."""

    vector: TaskVector
    choice: Choice
    points: list[int] | None = None


def conclude(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    evidence: Evidence,
    folder: Path,
    asked: Asked,
    job: str | None = None,
    on_step: OnStep = ignore,
) -> ResultDocument:
    """Merge each repeat by each method, and write the job's artifacts into ``folder``; the first repeat gives weights.

    asked: who asked for what, for the record. job: its id, where it has one.
    Returns the result document, which is also written as ``result.json``. Raises MergeError where every point of a
    repeat diverged.
    """
    methods = spec.methods()
    total = len(methods) * len(evidence.partials) + 1
    model.restore()
    chosen = choose(prepared)
    before = after = taken_for(model, prepared, chosen)
    base = Assessment(prepared.base, membership(model, prepared, frozen_at(on_step, 0, total)))
    results: dict[str, list[MethodResult]] = {method: [] for method in methods}
    vectors: list[TaskVector] = []
    for repeat, partial in enumerate(evidence.partials):
        if not partial.points:
            raise MergeError("every point of the sweep diverged: lower the learning rates, or the weight decay")
        rows = of_repeat(evidence.points, repeat, len(evidence.partials))
        for i, method in enumerate(methods):
            poll = frozen_at(on_step, repeat * len(methods) + i, total)
            started = time.monotonic()
            merged = _merge(spec, model, prepared, partial, method, rows, evidence.load, poll, with_curve=repeat == 0)
            seconds = _pool_seconds(method, rows) + time.monotonic() - started
            load_at(model, merged.vector, merged.choice.scale)
            assessment = assess(model, prepared, poll)
            stored = _bytes_stored(method, partial, merged.vector)
            run = Run(assessment, round(seconds, 3), stored, merged.choice.scale)
            results[method].append(MethodResult(merged.choice, run, merged.points))
            if method == spec.merge.method and repeat == 0:
                vectors.append(merged.vector)
                after = taken_for(model, prepared, chosen)
    consensus = evidence.partials[0].consensus()
    twice = duplicates(prepared.forget, prepared.retain, frozen_at(on_step, total - 1, total))
    shown = examples(prepared, chosen, before, after)
    concluded = Concluded(
        spec,
        job,
        asked,
        prepared,
        base,
        results,
        consensus,
        evidence.points,
        evidence.rivals,
        twice,
        shown,
        evidence.trained,
    )
    document = write(concluded, model, vectors[0], folder)
    on_step(total, total, None)
    return document


def _merge(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    partial: Partial,
    method: str,
    rows: Sequence[PointRow],
    load: Callable[[int], TaskVector],
    on_step: OnStep,
    with_curve: bool,
) -> _Merged:
    """One method of one repeat. with_curve: as ``choose_scale``'s; what greedy only tries never has one."""

    def search(vector: TaskVector, with_curve: bool = False) -> Choice:
        return choose_scale(spec, model, prepared, vector, on_step, with_curve)

    if METHODS[method].needs_kept_vectors:
        vector, choice, points = greedy(rows, load, search)
        return _Merged(vector, search(vector, with_curve=True) if with_curve else choice, points)
    vector = partial.result(method)
    return _Merged(vector, search(vector, with_curve))


def _pool_seconds(method: str, rows: Sequence[PointRow]) -> float:
    """What training the pool took; where each single is searched on its own, with that."""
    searched = METHODS[method].needs_singles
    return sum((row.seconds_to_scale if searched else row.training_seconds) or 0 for row in rows)


def _bytes_stored(method: str, partial: Partial, vector: TaskVector) -> int:
    if METHODS[method].needs_kept_vectors:
        return len(partial.points) * sum(4 * tau.numel() for tau in vector.values())
    return partial.bytes_of(method)
