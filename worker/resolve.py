"""A spec's references as files of this machine: models and data sets, fetched once into the cache.

What belongs to a registered thing lies in the cache under its id, what belongs to one job under the job's. Both
go as soon as the data set, the model or the job is gone (``worker.cache``).
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.intake import uris, weights
from app.record.leases import Claim
from app.record.tables import Dataset as DatasetRow
from app.record.tables import Model as ModelRow
from app.record.tables import beside
from negmerge.checkpoints.files import file_digest as file_sha256
from negmerge.data.archives import Index
from negmerge.data.prompts import DEFAULT_TEMPLATES
from negmerge.decoding.dataset import Dataset, open_archive, open_torchvision
from negmerge.errors import DataError, ModelError
from negmerge.formats.families import family_of
from negmerge.models.loading import as_asked, load_model, load_tag
from negmerge.models.network import Network
from negmerge.progress import OnStep
from negmerge.spec.hub import HubReference, parsed
from negmerge.spec.job import JobSpec
from negmerge.spec.references import DatasetRef
from negmerge.spec.sources import (
    DatasetUri,
    HubModel,
    PublishedDataset,
    RegisteredDataset,
    RegisteredModel,
    RegistryTag,
    StoredSource,
    WeightsPath,
    WeightsUri,
    stored_source,
)
from worker.context import WorkerContext
from worker.shelves import StoreShelf, Taken


def open_model(context: WorkerContext, claim: Claim, spec: JobSpec, on_step: OnStep) -> Network:
    """The job's base model on this worker's device. Raises ModelError, CheckpointError, DataError."""
    return as_asked(_open_model(context, claim, spec, on_step), spec)


def _open_model(context: WorkerContext, claim: Claim, spec: JobSpec, on_step: OnStep) -> Network:
    asked = spec.base_model
    match asked.source:
        case RegisteredModel(model_id):
            return _registered_model(context, claim, model_id, on_step)
        case WeightsUri() | WeightsPath() | HubModel() | RegistryTag() as source:
            return _referenced_model(context, claim.job_id, source, asked.family, asked.architecture, on_step)


def _registered_model(context: WorkerContext, claim: Claim, model_id: str, on_step: OnStep) -> Network:
    with context.database.read() as session:
        row = session.get(ModelRow, model_id)
    if row is None or row.tenant != claim.tenant:
        raise ModelError(f"there is no model {model_id}: it was deleted")
    if row.key is None:
        told, source = row.config or row.architecture, stored_source(row.uri or "")
        return _referenced_model(context, claim.job_id, source, row.family, told, on_step)
    key, config, sha256, files = row.key, row.config, row.sha256, family_of(row.config)
    others = row.beside or {}

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / files.config_file).write_text(json.dumps(config), encoding="utf-8")
        _download(context, key, sha256, folder / files.weights_file, on_step)
        for name, digest in others.items():
            _download(context, beside(key, name), digest, folder / name, on_step)

    folder = context.scratch.cached(context.cache / "models" / model_id, make)
    return load_model(folder, context.worker.arithmetic.device)


def open_dataset(
    context: WorkerContext, claim: Claim, ref: DatasetRef, on_step: OnStep, taken: Taken | None = None
) -> Dataset:
    """A data set that the spec names, with its shelf. Raises DataError.

    An upload is fetched when something is read of it that does not lie on the shelf. taken: what is taken from there is
    added to it.
    """
    noted = Taken() if taken is None else taken

    def shelf(content: str, dataset_id: str | None = None) -> StoreShelf:
        kept = dataset_id if context.settings.decoded_hours else None
        return StoreShelf(context, claim, on_step, content, kept, noted)

    match ref.source:
        case RegisteredDataset(dataset_id):
            return _registered_dataset(context, claim, dataset_id, on_step, shelf)
        case DatasetUri(uri, leave_out):
            path = _fetched(context, claim.job_id, uri, on_step)
            limits = context.settings.archive_limits
            return open_archive(path, None, {}, DEFAULT_TEMPLATES, limits, leave_out, shelf(uri))
        case PublishedDataset(name, root):
            local = uris.local_path(root, context.settings)
            if local is None:
                raise DataError(f"the root {root} must be a local folder")
            return replace(open_torchvision(name, local), shelf=shelf(f"{name} {root}"))


def _registered_dataset(
    context: WorkerContext, claim: Claim, dataset_id: str, on_step: OnStep, shelf: Callable[..., StoreShelf]
) -> Dataset:
    with context.database.read() as session:
        row = session.get(DatasetRow, dataset_id)
    if row is None or row.tenant != claim.tenant:
        raise DataError(f"there is no data set {dataset_id}: it was deleted")
    limits, leave_out = context.settings.archive_limits, row.on_unreadable == "leave_out"
    words = row.class_names, row.templates, limits, leave_out
    if row.key is None:
        path = _fetched(context, claim.job_id, row.uri or "", on_step)
        # What lies at a URI may be another tomorrow; of a folder nothing tells whether it is.
        mine = shelf(file_sha256(path), row.id) if path.is_file() else shelf(row.uri or "")
        return open_archive(path, None, *words, mine)
    key, sha256 = row.key, row.sha256

    def fetched() -> Path:
        place = context.cache / "datasets" / dataset_id
        return context.scratch.cached(place, lambda path: _download(context, key, sha256, path, on_step))

    index = Index.from_json(json.loads(context.store.read(row.index_key))) if row.index_key else None
    return open_archive(fetched, index, *words, shelf(sha256 or key, row.id))


def _referenced_model(
    context: WorkerContext,
    job_id: str,
    source: StoredSource,
    family: str,
    architecture: str | dict[str, Any] | None,
    on_step: OnStep,
) -> Network:
    """A model by a URI or an absolute path, or by a tag of its library's registry."""
    device = context.worker.arithmetic.device
    match source:
        case RegistryTag(tag):
            if not isinstance(architecture, str):
                raise ModelError(f"the tag {tag} needs an architecture, such as ViT-B-32")
            return load_tag(family, architecture, tag, device)
        case HubModel(reference):
            return load_model(_from_hub(context, job_id, parsed(reference), on_step), device)
        case WeightsUri(place) | WeightsPath(place):
            path = _fetched(context, job_id, place, on_step)
            folder = path if path.is_dir() else _as_folder(context, job_id, path, architecture)
            return load_model(folder, device)


def _as_folder(context: WorkerContext, job_id: str, path: Path, architecture: str | dict[str, Any] | None) -> Path:
    """A file of weights or an archive, judged as an upload is, as a model's folder in this job's part of the cache."""
    config = json.dumps(architecture) if isinstance(architecture, dict) else None

    def make(folder: Path) -> None:
        folder.mkdir()
        source = folder / "source"  # what it holds is unpacked beside it, so it must seem to lie here
        source.symlink_to(path)
        opened = weights.open_upload(source, config, context.settings.max_archive_bytes)
        (folder / opened.family.config_file).write_text(json.dumps(opened.config), encoding="utf-8")
        if opened.path == source:
            shutil.copyfile(source, folder / opened.family.weights_file)
        else:
            opened.path.rename(folder / opened.family.weights_file)
        source.unlink()

    return context.scratch.cached(context.cache / "jobs" / job_id / "model", make)


def _from_hub(context: WorkerContext, job_id: str, reference: HubReference, on_step: OnStep) -> Path:
    """The folder of a model on the hub that the settings allow, fetched for this job."""
    from negmerge.models.hub import fetch as fetch_from_hub  # and with it the hub's own library

    endpoint, limit = context.settings.hub_endpoint, context.settings.max_upload_bytes
    if not endpoint:
        raise ModelError(uris.NO_HUB)
    return context.scratch.cached(
        context.cache / "jobs" / job_id / f"hub-{reference.revision}",
        lambda folder: fetch_from_hub(reference, folder, limit, endpoint, on_step),
    )


def _fetched(context: WorkerContext, job_id: str, uri: str, on_step: OnStep) -> Path:
    """The local file or folder that a URI names; what lies elsewhere is downloaded for this job."""
    local = uris.local_path(uri, context.settings)
    if local is not None:
        return local
    limit = context.settings.max_upload_bytes
    return context.scratch.cached(
        context.cache / "jobs" / job_id / f"fetched-{hashlib.sha256(uri.encode()).hexdigest()[:32]}",
        lambda path: uris.fetch(uri, path, context.settings, limit, on_step),
    )


def _download(context: WorkerContext, key: str, sha256: str | None, path: Path, on_step: OnStep) -> None:
    context.download(key, path, on_step)
    found = file_sha256(path).removeprefix("sha256:")
    if sha256 is not None and found != sha256:
        raise DataError(f"the stored object {key} is damaged: its SHA-256 is {found}, not {sha256}")
