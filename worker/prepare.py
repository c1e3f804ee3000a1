"""The step ``prepare``: from references to decoded data in the store, and the base model's figures.

What an earlier job has left of the same data and model is taken as it is (``shelves``).
"""

from app.record import decoded, steps
from app.record.leases import Claim
from app.store.deliveries import Destination
from negmerge.models.precision import training_precision
from negmerge.pipeline.prepare import prepare
from negmerge.progress import OnStep
from negmerge.spec import job as job_spec
from worker import resolve
from worker.context import WorkerContext
from worker.loaded_job import LoadedJob, prepared_name
from worker.shelves import Taken


def prepare_step(context: WorkerContext, claim: Claim, on_step: OnStep) -> LoadedJob:
    """Resolve the references, decode and measure, and hand the job over to tuning. Raises LostClaim."""
    spec = job_spec.parse(claim.spec)
    if spec.deliver is not None:  # before hours of work, rather than after them
        Destination.of(spec.deliver, context.settings).probe()
    taken = Taken()
    model = resolve.open_model(context, claim, spec, on_step)
    forget = resolve.open_dataset(context, claim, spec.forget, on_step, taken)
    retain = forget if spec.one_data_set else resolve.open_dataset(context, claim, spec.retain, on_step, taken)
    trained = training_precision(spec.precision, model, context.settings.precision)
    prepared = prepare(spec, model, forget, retain, on_step, trained.precision)
    with context.scratch.folder() as folder:
        path = folder / prepared_name(model)
        prepared.save(path)
        key = context.upload(claim, path.name, path, on_step)
    with context.database.write() as session:
        trained = steps.finish_prepare(session, claim, key, context.worker.arithmetic, trained, taken.own)
        decoded.used(session, taken.shared)
    return LoadedJob(claim.job_id, spec, model, prepared, trained)
