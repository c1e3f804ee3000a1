"""The step of one point: fine-tune it, and fold it into this process's own partial."""

from app.record import steps
from app.record.leases import Claim
from app.record.steps import KeptVector
from negmerge.checkpoints.files import save_tensors
from negmerge.errors import DivergedError
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.tune import tune
from negmerge.progress import OnStep
from negmerge.spec.sweep import HyperParameters, Point
from worker.causes import cause_of
from worker.context import WorkerContext
from worker.fold import Fold
from worker.loaded_job import LoadedJob


def tune_step(context: WorkerContext, loaded: LoadedJob, fold: Fold, claim: Claim, on_step: OnStep) -> None:
    """Train the claimed point. It stays claimed until ``fold`` is flushed. Raises LostClaim.

    A point that diverged is left out, or fails the job, as the spec says.
    """
    assert claim.seed is not None  # every point has one
    point = Point(claim.index, HyperParameters.model_validate(claim.hyper_parameters), claim.seed, claim.repeat)
    try:
        tuned = tune(loaded.spec, loaded.model, loaded.prepared, point, on_step, loaded.trained.precision)
    except DivergedError as error:
        with context.database.write() as session:
            steps.diverge_point(session, claim, cause_of(error))
        return
    kept = _kept(context, claim, tuned.vector) if loaded.spec.keep_task_vectors else None
    with context.database.write() as session:
        steps.finish_point(session, claim, tuned.outcome, kept)
    fold.add(claim, tuned)


def _kept(context: WorkerContext, claim: Claim, vector: TaskVector) -> KeptVector:
    """Store the task vector; conclude makes an artifact of it."""
    with context.scratch.folder() as folder:
        path = folder / "task_vector.safetensors"
        sha256 = save_tensors(vector, path).removeprefix("sha256:")
        key = context.upload(claim, path.name, path)
        return KeptVector(key, path.stat().st_size, sha256)
