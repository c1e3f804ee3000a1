"""How data sets and models come in: uploads that were received are judged, stored and recorded; URIs recorded.

All checks come before the first put, and the row comes last: whatever fails, nothing is left that a client
could see, and what lies in the store without a row is collected.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from app.auth import Principal
from app.errors import Invalid, InvalidDataset, InvalidModel
from app.intake import uris, zoo
from app.intake.judging import Judge
from app.intake.uploads import Upload
from app.record import db, ids
from app.record.db import Database
from app.record.objects import keep
from app.record.tables import Dataset, Model, beside
from app.settings import Settings
from app.store.objects import Store, put_for
from negmerge.data.classes import called, why_none
from negmerge.data.prompts import DEFAULT_TEMPLATES, TEMPLATE_RULE, is_template
from negmerge.errors import DataError, FieldError, ModelError, NegmergeError
from negmerge.formats.families import FAMILIES, family_of
from negmerge.naming import is_seen, shown, visible
from negmerge.spec.fields import IN_PIECES, OnUnreadable, Part
from negmerge.spec.sources import HubModel, stored_source

Row = TypeVar("Row", Dataset, Model)


def _template(text: str) -> str:
    if not is_template(text):
        raise ValueError(TEMPLATE_RULE)
    return text


def _seen(text: str) -> str:
    if not is_seen(text):
        raise ValueError("must have no characters that cannot be seen")
    return text


Name = Annotated[str, Field(max_length=200), AfterValidator(_seen)]
Words = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_seen)]
Template = Annotated[str, Field(max_length=500), AfterValidator(_template)]


class _In(Part):
    model_config = ConfigDict(extra="forbid")

    name: Name | None = None


class DatasetIn(_In):
    """What a client says of a data set. ``uri`` registers one; an upload brings a file instead."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "faces", "uri": "https://data.example.org/faces.zip"}}
    )

    uri: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    class_names: Annotated[dict[str, Words], IN_PIECES] = Field({}, description="Class (folder) → words of its prompt.")
    templates: list[Template] = Field(list(DEFAULT_TEMPLATES), min_length=1, max_length=1000)
    on_unreadable: OnUnreadable = Field(
        "refuse", description="Images that cannot be read: refuse the data set, or leave them out by name."
    )


class ModelIn(_In):
    """What a client says of a model: ``uri``, or ``weights`` (a tag) with ``architecture``."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "clip", "family": "open_clip", "architecture": "ViT-B-32", "weights": "openai"}
        }
    )

    family: Literal["open_clip", "timm"] = Field("open_clip", description="CLIP models, or classifiers (timm).")
    architecture: Annotated[str, Field(min_length=1, max_length=200)] | dict[str, JsonValue] | None = None
    uri: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    weights: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="A tag of the library's own registry, such as `openai` or `a1_in1k`."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "ModelIn":
        if (self.uri is None) == (self.weights is None):
            raise ValueError("give exactly one of uri and weights")
        return self


class Registrar:
    """Brings data sets and models in, on behalf of one caller at a time. Blocking: call it from a thread."""

    def __init__(self, settings: Settings, database: Database, store: Store) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._judge = Judge(settings)

    def upload_dataset(self, caller: Principal, upload: Upload, given: DatasetIn) -> Dataset:
        """Check, index and store an uploaded archive. Raises InvalidDataset, naming the file at fault."""
        if given.uri is not None:
            raise Invalid("an upload has no uri", [FieldError("/uri", "leave it away, or send JSON")])
        judged = self._judge.dataset(upload.path, given.on_unreadable == "leave_out")
        class_names = {called(name, judged.classes): words for name, words in given.class_names.items()}
        if unknown := [name for name in class_names if name not in judged.classes]:
            why = "" if judged.classes else f", since {why_none(judged.folder)}"
            wrong = [FieldError("/class_names", f"{shown(name)} is no class of the archive{why}") for name in unknown]
            raise InvalidDataset(f"class_names: {wrong[0].detail}", wrong)
        dataset_id = ids.new_id("ds")
        keys = [f"datasets/{dataset_id}/{name}" for name in ("archive", "index.json", "listing.sqlite")]
        for key, path in zip(keys, (upload.path, judged.index, judged.listing), strict=True):
            self._put(key, path, dataset_id)
        row = Dataset(
            id=dataset_id,
            tenant=caller.tenant,
            name=given.name or _file_name(upload) or dataset_id,
            key=keys[0],
            index_key=keys[1],
            listing_key=keys[2],
            bytes=upload.size,
            sha256=upload.sha256,
            samples=judged.samples,
            classes=judged.classes,
            folder=None if judged.classes else judged.folder,
            class_names=class_names,
            templates=given.templates,
            on_unreadable=given.on_unreadable,
            left_out=judged.left_out,
        )
        return self._record(row)

    def register_dataset(self, caller: Principal, given: DatasetIn) -> Dataset:
        """Record a URI. The data are read when a job needs them."""
        if given.uri is None:
            missing = "give a uri, or upload an archive as multipart/form-data"
            raise Invalid(missing, [FieldError("/uri", missing)])
        try:
            uris.check(given.uri, self._settings)
        except DataError as error:
            raise InvalidDataset(str(error), [FieldError("/uri", str(error))]) from None
        row = Dataset(
            id=ids.new_id("ds"),
            tenant=caller.tenant,
            name=given.name or visible(given.uri.rstrip("/").rpartition("/")[2])[:200],
            uri=given.uri,
            class_names=given.class_names,
            templates=given.templates,
            on_unreadable=given.on_unreadable,
        )
        return self._record(row)

    def upload_model(self, caller: Principal, upload: Upload) -> Model:
        """Check and store an uploaded model. Raises InvalidModel."""
        name = upload.fields.get("name")
        if name is not None and not (len(name) <= 200 and is_seen(name)):
            told = "must have at most 200 characters, all of which can be seen"
            raise Invalid(f"the name {told}", [FieldError("/name", told)])
        found = self._judge.model(upload.path, upload.fields.get("config"))
        model_id = ids.new_id("mdl")
        key = f"models/{model_id}/{found.family.weights_file}"
        self._put(key, found.path, model_id)
        for name in found.beside:
            self._put(beside(key, name), found.path.with_name(name), model_id)
        row = Model(
            id=model_id,
            tenant=caller.tenant,
            name=name or _file_name(upload) or model_id,
            family=found.family.name,
            config=found.config,
            key=key,
            bytes=found.size,
            sha256=found.sha256,
            beside=found.beside or None,
        )
        return self._record(row)

    def register_model(self, caller: Principal, given: ModelIn) -> Model:
        """Record a URI or a registry tag. The weights are fetched when a job needs them."""
        check_source(given, self._settings)
        architecture = given.architecture
        source = given.uri or given.weights or ""
        row = Model(
            id=ids.new_id("mdl"),
            tenant=caller.tenant,
            name=given.name or visible(source.rstrip("/").rpartition("/")[2])[:200],
            family=given.family,
            architecture=architecture if isinstance(architecture, str) else None,
            config=architecture if isinstance(architecture, dict) else None,
            uri=source,
        )
        return self._record(row)

    def _put(self, key: str, path: Path, owner: str) -> None:
        put_for(self._database, self._store, key, path, owner)

    def _record(self, row: Row) -> Row:
        with self._database.write() as session:
            row.created_at = db.now(session)
            session.add(row)
            keep(session, row.keys)
        return row


_ALONE = (
    "a config of transformers says too little by itself: give the URI of the whole folder as an archive, with weights, "
    "config.json and preprocessor_config.json, and leave the architecture away"
)


def check_source(given: ModelIn, settings: Settings) -> None:
    """Judge where a model comes from. Raises InvalidModel with the field at fault."""
    architecture = given.architecture
    if isinstance(architecture, dict):
        try:
            family = family_of(architecture)
        except NegmergeError as error:
            raise _wrong("/architecture", str(error)) from None
        if family not in FAMILIES.values():
            raise _wrong("/architecture", _ALONE)
        if family.name != given.family:
            raise _wrong("/family", f"the architecture is a config of {family.name}: say so as family")
    if given.uri is not None:
        try:
            _check_place(given.uri, settings)
        except (DataError, ModelError) as error:
            raise _wrong("/uri", str(error)) from None
    elif not isinstance(architecture, str):
        raise _wrong("/architecture", "a registry tag needs a built-in architecture, such as ViT-B-32 or resnet18")
    if isinstance(architecture, str):
        try:
            zoo.check_architecture(given.family, architecture)
        except ModelError as error:
            raise _wrong("/architecture", str(error)) from None
        try:
            zoo.check_tag(given.family, architecture, given.weights)
        except ModelError as error:
            raise _wrong("/weights", str(error)) from None


def _check_place(uri: str, settings: Settings) -> None:
    """Raise DataError or ModelError unless a model may come from there."""
    match stored_source(uri):
        case HubModel(reference):
            uris.check_hub(reference, settings)
        case _:
            uris.check(uri, settings)


def _file_name(upload: Upload) -> str:
    """What the client calls its file, for a name."""
    return visible(Path(upload.filename).name)[:200]


def _wrong(pointer: str, detail: str) -> InvalidModel:
    return InvalidModel(detail, [FieldError(pointer, detail)])
