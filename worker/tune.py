"""The step of one point: fine-tune it, and fold it into this process's own partial."""

from typing import Any

from app.record import steps
from app.record.leases import Claim
from negmerge.checkpoints.files import save_tensors
from negmerge.errors import DivergedError
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.tune import tune
from negmerge.progress import OnStep
from negmerge.spec.sweep import HyperParameters, Point
from worker.bench import Bench
from worker.causes import cause_of
from worker.fold import Fold
from worker.station import Station


def tune_step(station: Station, bench: Bench, fold: Fold, claim: Claim, on_step: OnStep) -> None:
    """Train the claimed point. It stays claimed until ``fold`` is flushed. Raises LostClaim.

    A point that diverged is left out, or fails the job, as the spec says.
    """
    assert claim.seed is not None  # every point has one
    point = Point(claim.index, HyperParameters.model_validate(claim.hyper_parameters), claim.seed)
    try:
        tuned = tune(bench.spec, bench.model, bench.prepared, point, on_step)
    except DivergedError as error:
        with station.database.write() as session:
            steps.diverge_point(session, claim, cause_of(error))
        return
    outcome = dict(tuned.outcome)
    if bench.spec.keep_task_vectors:
        outcome["task_vector"] = _kept(station, claim, tuned.vector)
    keys = [outcome["task_vector"]["key"]] if bench.spec.keep_task_vectors else []
    with station.database.write() as session:
        steps.finish_point(session, claim, outcome, keys)
    fold.add(claim, tuned)


def _kept(station: Station, claim: Claim, vector: TaskVector) -> dict[str, Any]:
    """Store the task vector; conclude makes an artifact of it."""
    with station.scratch.folder() as folder:
        path = folder / "task_vector.safetensors"
        sha256 = save_tensors(vector, path).removeprefix("sha256:")
        key = station.upload(claim, path.name, path)
        return {"key": key, "bytes": path.stat().st_size, "sha256": sha256}
