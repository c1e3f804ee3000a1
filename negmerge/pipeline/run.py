"""A whole job in its steps: ``prepare``, ``tune`` for each point, ``pipeline.rivals.run`` for each rival, ``conclude``.

``run`` does them one after the other in this process; the workers of the service call the same.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from negmerge.checkpoints.files import load_tensors, save_tensors
from negmerge.decoding.dataset import Dataset
from negmerge.errors import DivergedError
from negmerge.evaluation.prepared import Prepared
from negmerge.merging.partial import Partial
from negmerge.merging.vectors import TaskVector
from negmerge.models.network import Network
from negmerge.models.precision import training_precision
from negmerge.pipeline.conclude import Evidence, conclude
from negmerge.pipeline.prepare import measured, retrained, with_goal
from negmerge.pipeline.rivals import run_rival
from negmerge.pipeline.tune import task_vector_path, tune
from negmerge.pipeline.unfinished import Unfinished
from negmerge.progress import OnStage, OnStep
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Trained
from negmerge.spec.result import Asked, Named, PointRow, ResultDocument, RivalRow
from negmerge.spec.sources import called, on_hub
from negmerge.spec.sweep import Point


def run(
    spec: JobSpec,
    model: Network,
    forget: Dataset,
    retain: Dataset,
    done: Unfinished,
    on_stage: OnStage,
) -> ResultDocument:
    """A whole job in this process; its artifacts go to ``done.result``. Returns the result document.

    done: what an earlier run has done already, and where each point is kept as it is done. on_stage: called with a
    stage's name before it begins, ``stages`` times in all; returns the OnStep that follows it.
    """
    begun = datetime.now(UTC)
    trained = training_precision(spec.precision, model)
    prepared = measured(spec, model, forget, retain, on_stage("prepare"))
    partials = done.begin(spec, model, prepared, trained)
    if spec.scale_rule == "match_retrained":
        prepared = with_goal(
            prepared, _goal(spec, model, prepared, trained, done, on_stage("retrain, for λ to match it"))
        )
    points, rivals, folder = spec.points(), spec.rival_runs(), done.result
    for point in points:
        on_step = on_stage(f"point {point.index + 1}/{len(points)}")
        if point.index < len(done.points):
            on_step(1, 1, None)
        else:
            row = _tuned(spec, model, prepared, point, trained, partials[point.repeat], folder, on_step)
            done.keep_point(row, point.repeat, partials[point.repeat])
    for number, rival in enumerate(rivals):
        on_step = on_stage(str(rival))
        if number < len(done.rivals):
            on_step(1, 1, None)
        else:
            done.keep_rival(run_rival(spec, model, prepared, rival, on_step, trained.precision))
    goal = [] if prepared.retrained is None else [prepared.retrained]
    evidence = Evidence(partials, done.points, [*goal, *done.rivals], partial(_kept, folder), trained)
    return conclude(spec, model, prepared, evidence, folder, _asked(spec, begun), on_step=on_stage("conclude"))


def stages(spec: JobSpec) -> int:
    """How many stages a whole job has: to prepare, the model that λ is to match, each point and rival, to conclude."""
    return 2 + (spec.scale_rule == "match_retrained") + len(spec.points()) + len(spec.rival_runs())


def _goal(
    spec: JobSpec, model: Network, prepared: Prepared, trained: Trained, done: Unfinished, on_step: OnStep
) -> RivalRow:
    """The retrained model that λ is to match: an earlier run's, or trained now."""
    if done.retrained is None:
        done.keep_retrained(retrained(spec, model, prepared, on_step, trained.precision))
    else:
        on_step(1, 1, None)
    assert done.retrained is not None
    return done.retrained


def _asked(spec: JobSpec, begun: datetime) -> Asked:
    parts = {"base_model": spec.base_model, "forget": spec.forget, "retain": spec.retain}
    named = {part: Named(name=called(reference.source)) for part, reference in parts.items()}
    return Asked(at=begun, concluded_at=datetime.now(UTC), hub=on_hub(spec.base_model.source), **named)


def _tuned(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    point: Point,
    trained: Trained,
    partial: Partial,
    folder: Path,
    on_step: OnStep,
) -> PointRow:
    """Tune one point and fold it; returns its row."""
    try:
        tuned = tune(spec, model, prepared, point, on_step, trained.precision)
        partial.add(point.index, tuned.vector, tuned.single)
    except DivergedError as error:
        if spec.sweep.on_diverged == "fail":
            raise
        return PointRow.diverged(point, str(error))
    if spec.keep_task_vectors:
        save_tensors(tuned.vector, folder / task_vector_path(point.index))
    return PointRow.folded(point, tuned.outcome)


def _kept(folder: Path, index: int) -> TaskVector:
    return load_tensors(folder / task_vector_path(index))
