"""What a job's spec refers to: does it exist for this tenant, is it allowed, and can the job be made of it?

The spec's shape has been judged before (``negmerge.spec.job``). Whatever can be known without reading data is said
here, at submission, with a JSON pointer; what only the data can tell, the worker says in prepare.
"""

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.errors import InvalidSpec, NotFound
from app.intake import uris, zoo
from app.record import catalog
from app.record.tables import Dataset, Model
from app.settings import Settings
from app.store.deliveries import Destination
from negmerge.data.prompts import class_words
from negmerge.errors import DataError, FieldError, ModelError
from negmerge.formats.families import FAMILIES
from negmerge.formats.hugging_face.config import outputs_config
from negmerge.formats.timm_config import outputs_of
from negmerge.spec.job import JobSpec
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


@dataclass
class References:
    """The rows that a spec names; None where it names a URI, a tag or a torchvision data set instead."""

    forget: Dataset | None = None
    retain: Dataset | None = None
    model: Model | None = None
    wrong: list[FieldError] = field(default_factory=list)


def find(session: Session, settings: Settings, tenant: str, spec: JobSpec) -> References:
    """Look up and judge every reference. Raises InvalidSpec with all that are wrong."""
    found = References()
    found.model = _model(session, settings, tenant, spec, found.wrong)
    found.forget = _dataset(session, settings, tenant, spec.forget, "/forget", found.wrong)
    found.retain = _dataset(session, settings, tenant, spec.retain, "/retain", found.wrong)
    if spec.deliver is not None:
        _deliver(spec.deliver, settings, found.wrong)
    if wrong := found.wrong or _without_output(spec, found):
        raise InvalidSpec(_summary(wrong), wrong)
    return found


def _deliver(place: str, settings: Settings, wrong: list[FieldError]) -> None:
    try:
        Destination.of(place, settings)
    except DataError as error:
        wrong.append(FieldError("/deliver", str(error)))


def hold(session: Session, tenant: str, found: References) -> None:
    """In the transaction that makes the job: nothing that it needs was deleted meanwhile, nor can be now."""
    datasets = {row.id for row in (found.forget, found.retain) if row is not None}
    try:
        for dataset_id in sorted(datasets):  # always in one order, so that no two ever wait for each other
            catalog.get(session, Dataset, tenant, dataset_id, lock=True)
        if found.model is not None:
            catalog.get(session, Model, tenant, found.model.id, lock=True)
    except NotFound as error:
        raise InvalidSpec(f"{error}: it was deleted just now") from None


def _dataset(
    session: Session, settings: Settings, tenant: str, ref: DatasetRef, at: str, wrong: list[FieldError]
) -> Dataset | None:
    try:
        match ref.source:
            case RegisteredDataset(dataset_id):
                at += "/dataset"
                return catalog.get(session, Dataset, tenant, dataset_id)
            case DatasetUri(uri):
                at += "/uri"
                uris.check(uri, settings)
                return None
            case PublishedDataset(root=root):
                at += "/root"
                if uris.local_path(root, settings) is None:
                    raise DataError("a torchvision root is a folder on the worker, not a URI")
                return None
    except (NotFound, DataError) as error:
        wrong.append(FieldError(at, str(error)))
    return None


def _model(session: Session, settings: Settings, tenant: str, spec: JobSpec, wrong: list[FieldError]) -> Model | None:
    architecture, family, at = spec.base_model.architecture, spec.base_model.family, "/base_model/weights"
    try:
        if isinstance(architecture, dict):
            FAMILIES[family].check_config(architecture)
        elif architecture is not None:
            zoo.check_architecture(family, architecture)
    except ModelError as error:
        wrong.append(FieldError("/base_model/architecture", str(error)))
        return None
    try:
        match spec.base_model.source:
            case RegisteredModel(model_id):
                row = catalog.get(session, Model, tenant, model_id)
                if row.family != family:
                    at = "/base_model/family"
                    raise ModelError(f"{model_id} is of {row.family}, not of {family}: say so here")
                if architecture is not None and architecture not in (row.architecture, row.config):
                    raise ModelError(f"{model_id} says its architecture itself: leave base_model.architecture away")
                return row
            case HubModel(reference):
                uris.check_hub(reference, settings)
                return None
            case WeightsUri(place) | WeightsPath(place):
                uris.check(place, settings)
                return None
            case RegistryTag(tag):
                if not isinstance(architecture, str):
                    raise ModelError(
                        "a registry tag needs base_model.architecture, a built-in name such as ViT-B-32 or resnet18"
                    )
                zoo.check_tag(family, architecture, tag)
                return None
    except (NotFound, DataError, ModelError) as error:
        wrong.append(FieldError(at, str(error)))
    return None


def _without_output(spec: JobSpec, found: References) -> list[FieldError]:
    """The data sets whose classes a classifier's head does not have, as far as config and classes are known."""
    config = spec.base_model.architecture if found.model is None else found.model.config
    if not spec.base_model.is_classifier or not isinstance(config, dict):
        return []
    config = outputs_config(config)
    sides = {"/retain/dataset": found.retain, "/forget/dataset": found.forget}
    rows = {row.id: (at, row) for at, row in sides.items() if row is not None}  # one that is both is told once
    wrong = []
    for at, row in reversed(rows.values()):
        if not row.classes:  # not known, or none: that is told with what is selected
            continue
        classes = list(row.classes)
        try:
            outputs_of(config, classes, class_words(classes, row.class_names))
        except DataError as error:
            wrong.append(FieldError(at, str(error)))
    return wrong


def _summary(wrong: list[FieldError]) -> str:
    return "; ".join(f"{field.pointer}: {field.detail}" for field in wrong)
