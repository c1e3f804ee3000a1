"""The step ``conclude``: all partials together, the merge, λ, the test, and the job's artifacts."""

from collections.abc import Iterator
from pathlib import Path

from app.record import steps
from app.record.leases import Claim
from app.record.objects import ArtifactFile
from app.record.steps import ConcludeInputs, KeptVector
from app.store.deliveries import Destination
from negmerge.checkpoints.files import file_digest, load_tensors, save_tensors
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.conclude import Evidence, conclude
from negmerge.pipeline.tune import task_vector_path
from negmerge.progress import OnStep
from negmerge.spec import paths
from negmerge.spec.derived import searches_alike
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.result import PointRow
from worker import accumulators
from worker.context import WorkerContext
from worker.loaded_job import LoadedJob

_MEDIA_TYPES = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".safetensors": "application/octet-stream",
}


def conclude_step(context: WorkerContext, loaded: LoadedJob, claim: Claim, on_step: OnStep) -> None:
    """Merge, measure, write, upload; the public paths appear with the job's success. Raises LostClaim."""
    with context.database.write() as session:
        inputs = steps.conclude_inputs(session, claim)
    vectors = {index: _vector_file(index, vector) for index, vector in inputs.vectors.items()}
    rivals = [row for row in (loaded.prepared.retrained, *inputs.rivals) if row is not None]

    def load(index: int) -> TaskVector:
        with context.scratch.folder() as folder:
            path = folder / "task_vector.safetensors"
            context.download(vectors[index].key, path, on_step)
            return load_tensors(path)

    partials = accumulators.partials_of(context, loaded, inputs, load, on_step)
    evidence = Evidence(partials, _points(loaded.spec, inputs), rivals, load, loaded.trained)
    with context.scratch.folder() as folder:
        job = (loaded.spec, loaded.model, loaded.prepared)
        document = conclude(*job, evidence, folder, inputs.asked, claim.job_id, on_step)
        moving = {name: loaded.model.original[name] for name in loaded.model.names}
        save_tensors(moving, folder / paths.BASE)  # so that the front door can give the weights at any other λ
        files = list(_uploaded(context, claim, folder, on_step))
        if loaded.spec.deliver is not None:
            given = [file.path for file in files if file.path != paths.BASE]
            Destination.of(loaded.spec.deliver, context.settings).deliver(claim.job_id, folder, given, on_step)
    kept = []
    if inputs.origin is None:  # else both are the first job's
        files += vectors.values()
        for repeat, partial in enumerate(partials):
            kept.append(accumulators.kept(context, claim, repeat, partial, inputs.partials, on_step))
    result_key = next(file.key for file in files if file.path == paths.RESULT)
    with context.database.write() as session:
        steps.finish_conclude(session, claim, result_key, files, document.digests.as_json(), document.verdict, kept)


def _points(spec: JobSpec, inputs: ConcludeInputs) -> list[PointRow]:
    """The points; another job's without what single models scored there, where λ is looked for in another way here."""
    if inputs.origin is None or searches_alike(spec, parse(inputs.origin.spec)):
        return inputs.points
    return [point.without_search() for point in inputs.points]


def _uploaded(context: WorkerContext, claim: Claim, folder: Path, on_step: OnStep) -> Iterator[ArtifactFile]:
    """Every file below ``folder``, stored under its path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        name = path.relative_to(folder).as_posix()
        yield ArtifactFile(
            path=name,
            key=context.upload(claim, name, path, on_step),
            bytes=path.stat().st_size,
            sha256=file_digest(path).removeprefix("sha256:"),
            media_type=_MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
        )


def _vector_file(index: int, vector: KeptVector) -> ArtifactFile:
    path = task_vector_path(index)
    return ArtifactFile(path, vector.key, vector.bytes, vector.sha256, _MEDIA_TYPES[".safetensors"])
