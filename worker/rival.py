"""The step of one rival: train it in its own way, measure it, and write its figures into the record."""

from app.record import steps
from app.record.leases import Claim
from negmerge.pipeline.rivals import run_rival
from negmerge.progress import OnStep
from negmerge.spec.rivals import RivalRun
from worker.context import WorkerContext
from worker.loaded_job import LoadedJob


def rival_step(context: WorkerContext, loaded: LoadedJob, claim: Claim, on_step: OnStep) -> None:
    """Run the claimed rival. One that diverged has no figures, and fails no job. Raises LostClaim."""
    assert claim.rival is not None  # every rival has a name
    assert claim.seed is not None  # and a seed
    run = RivalRun(claim.rival, claim.repeat, claim.seed)
    row = run_rival(loaded.spec, loaded.model, loaded.prepared, run, on_step, loaded.trained.precision)
    with context.database.write() as session:
        steps.finish_rival(session, claim, row)
