"""A job in memory: its spec, its base model on the device, and its prepared data. Made once, used for many steps."""

from dataclasses import dataclass
from pathlib import Path

from app.record.leases import Claim
from negmerge.errors import ModelError
from negmerge.evaluation.prepared import Prepared
from negmerge.models.network import Network
from negmerge.progress import OnStep
from negmerge.spec import job as job_spec
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Trained
from worker import resolve, shelves
from worker.context import WorkerContext


@dataclass(frozen=True)
class LoadedJob:
    """What every step of the job after prepare needs."""

    job_id: str
    spec: JobSpec
    model: Network
    prepared: Prepared
    trained: Trained  # how its points are


def load_job(context: WorkerContext, claim: Claim, on_step: OnStep) -> LoadedJob:
    """Fetch and load what prepare has left. Raises ModelError where the base model is another one by now."""
    assert claim.prepared_key is not None  # the job is tuning or concluding
    assert claim.trained is not None
    spec = job_spec.parse(claim.spec)
    model = resolve.open_model(context, claim, spec, on_step)
    key = claim.prepared_key
    if prepared_name(model) != Path(key).name:
        raise ModelError(
            "the base model has changed since the job was prepared: upload it as a model, whose bytes stay"
        )
    path = context.scratch.cached(
        context.cache / "jobs" / claim.job_id / Path(key).name,
        lambda path: context.download(key, path, on_step),
    )
    prepared = Prepared.load(path, lambda reference: shelves.fetch(context, reference, on_step))
    return LoadedJob(claim.job_id, spec, model, prepared, claim.trained)


def prepared_name(model: Network) -> str:
    """The name of the prepared data's file. It tells with which base model they were made."""
    return f"prepared-{model.digest.removeprefix('sha256:')[:32]}.safetensors"
