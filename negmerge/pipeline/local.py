"""A spec's references as a command line means them: local folders and archives, torchvision roots, registry tags."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from negmerge.data.prompts import DEFAULT_TEMPLATES, class_words
from negmerge.decoding.dataset import Dataset, open_archive, open_torchvision
from negmerge.errors import ArchiveError, DataError, FieldError, ModelError, SpecError
from negmerge.formats.spec_files import read_document
from negmerge.models.loading import as_asked, check_family, is_linearised, load_model, load_tag
from negmerge.models.network import Network
from negmerge.spec.fields import listed
from negmerge.spec.hub import parsed
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.references import DatasetRef
from negmerge.spec.sources import (
    DatasetUri,
    HubModel,
    PublishedDataset,
    RegisteredDataset,
    RegisteredModel,
    RegistryTag,
    WeightsPath,
    WeightsUri,
)

MAX_HUB_BYTES = 20 * 2**30
"""The most that a model on a hub has; over HTTP it is a setting."""


def read_spec(path: Path) -> JobSpec:
    """The job spec in a JSON or YAML file (.yaml, .yml). Raises SpecError, also where it is missing or no object."""
    document = read_document(path)
    check_local(document)
    return parse(document)


def check_local(document: Mapping[str, Any]) -> None:
    """Raise SpecError where a spec is from another job: a run on this machine keeps no accumulators."""
    if document.get("from_job") is not None:
        told = (
            "is for the service, whose jobs keep their accumulators: submit it there, or leave it out and name "
            "base_model, forget, retain and sweep; another λ of a finished run is `negmerge apply`"
        )
        raise SpecError([FieldError("/from_job", told)])


def open_model(spec: JobSpec, device: str) -> Network:
    """The base model: a local folder in open_clip's or timm's format, or an architecture with a registry tag."""
    weights, architecture = spec.base_model.weights, spec.base_model.architecture
    if Path(weights).is_dir():  # a folder here is meant, whatever its name looks like
        return as_asked(load_model(Path(weights), device), spec)
    match spec.base_model.source:
        case RegisteredModel() | WeightsUri():
            raise ModelError(f"{weights} is the service's: here, base_model.weights is a local folder or a tag")
        case HubModel(reference):
            from negmerge.models.hub import cached

            return as_asked(load_model(cached(parsed(reference), MAX_HUB_BYTES), device), spec)
        case WeightsPath(tag) | RegistryTag(tag):
            if not isinstance(architecture, str):
                raise ModelError(
                    f"base_model.weights is {tag!r}, which is no folder here: give a model's folder in open_clip's or "
                    "timm's format, or base_model.architecture beside a registry tag"
                )
            return as_asked(load_tag(spec.base_model.family, architecture, tag, device), spec)


def open_measured(folder: Path, spec: JobSpec, device: str) -> Network:
    """A model that is to be measured on the spec's data, such as the job's result.

    Where the spec's model is linearised this one is too, by its expansion around the spec's base model.
    """
    model = load_model(folder, device)
    if not is_linearised(spec):
        return model
    check_family(model, spec)
    from negmerge.models.linearised import LinearisedModel

    base = open_model(spec, device)
    return LinearisedModel(model.module, model.config, model.original, device, model.beside, around=base.original)


def open_datasets(
    spec: JobSpec,
    class_names: Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
) -> tuple[Dataset, Dataset]:
    """The forget and the retain data set; the same object where both references mean the same.

    class_names: class → words of the prompt, for the classes of either; a class that is not named keeps the data set's
    own words. templates: for both; None leaves each with its own. Raises DataError, also for a name that neither has.
    """
    words = class_names or {}
    forget = open_dataset(spec.forget, templates)
    retain = forget if spec.one_data_set else open_dataset(spec.retain, templates)
    if unknown := words.keys() - {*forget.index.classes, *retain.index.classes}:
        raise DataError(f"no data set has a class named {listed(sorted(unknown))}: check the class names")
    named = _named(forget, words)
    return named, named if retain is forget else _named(retain, words)


def open_dataset(ref: DatasetRef, templates: Sequence[str] | None = None) -> Dataset:
    """A data set reference: ``uri`` is a local archive or folder, or ``torchvision`` with its root.

    Raises DataError, and ArchiveError where the archive cannot be used.
    """
    match ref.source:
        case RegisteredDataset(dataset_id):
            raise DataError(f"{dataset_id} is the service's: here, give uri (a local path) or torchvision")
        case PublishedDataset(name, root):
            return open_torchvision(name, Path(root), templates=templates)
        case DatasetUri(uri, leave_out):
            return _open_local(uri, leave_out, DEFAULT_TEMPLATES if templates is None else templates)


def _open_local(uri: str, leave_out: bool, templates: Sequence[str]) -> Dataset:
    local = uri.removeprefix("file://")
    if "://" in local:
        raise DataError(f"{local} is not on this machine: fetch it first, then give its path as uri")
    path = Path(local)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}")
    try:
        return open_archive(path, templates=templates, leave_out=leave_out)
    except ArchiveError as error:
        raise ArchiveError(f"{path}: {error}") from None


def _named(dataset: Dataset, class_names: Mapping[str, str]) -> Dataset:
    own = {name: words for name, words in class_names.items() if name in dataset.index.classes}
    called = dict(zip(dataset.index.classes, dataset.class_words, strict=True)) | own
    return replace(dataset, class_words=class_words(dataset.index.classes, called))
