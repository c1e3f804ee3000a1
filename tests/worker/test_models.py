"""Models that a spec names by a path or a URI, or that were registered by one, as the worker opens them."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import pytest
import torch
from sqlalchemy import select

from app.errors import InvalidModel
from app.intake.registration import ModelIn, Registrar
from app.record import catalog
from app.record.tables import Model, StoredObject
from app.settings import Settings
from app.store.objects import open_s3
from negmerge.errors import DataError, ModelError
from negmerge.models.network import Network
from negmerge.progress import ignore
from negmerge.spec.job import parse
from tests.support import hub as hubs
from tests.support import pico_timm, records, towers, transformers_folders
from tests.support.servers import S3
from tests.support.service import CALLER, uploaded
from tests.support.worker_contexts import worker_context
from worker import resolve
from worker.context import WorkerContext

CONFIG = pico_timm.CONFIGS["resnet18"]


@pytest.fixture
def context(tmp_path: Path) -> Iterator[WorkerContext]:
    """A worker's place, with a classifier's folder, its zip and its weights alone below an allowed root."""
    shared = tmp_path / "shared"
    folder = pico_timm.write_folder(shared / "folder", CONFIG)
    shutil.make_archive(str(shared / "packed"), "zip", folder)
    shutil.copy(folder / "model.safetensors", shared / "alone.safetensors")
    shutil.make_archive(str(shared / "siglip"), "zip", towers.write_siglip(shared / "siglip"))
    settings = Settings(data_dir=tmp_path / "data", threads=1, allowed_roots=[shared])
    with worker_context(settings, tmp_path / "scratch") as context:
        yield context


def opened(context: WorkerContext, name: str, family: str = "timm", **more: Any) -> Network:
    """What the worker makes of a job with this base model; a name is of a file below the allowed root."""
    weights = name if name.startswith("mdl_") else f"file://{context.settings.allowed_roots[0]}/{name}"
    document = records.make_spec().model_dump(mode="json", exclude_none=True)
    document["base_model"] = {"family": family, "weights": weights} | more
    records.make_job(context.database)
    claim = records.claim(context.database, context.worker)
    return resolve.open_model(context, claim, parse(document), ignore)


def assert_is_the_classifier(model: Network) -> None:
    state = pico_timm.module(CONFIG).state_dict()
    assert model.family == "timm"
    assert model.config == CONFIG
    assert all(torch.equal(model.original[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("name", "more"),
    [("folder", {}), ("packed.zip", {}), ("alone.safetensors", {"architecture": CONFIG})],
    ids=["folder", "zip", "weights with the config in the spec"],
)
def test_a_classifier_is_opened_from_where_it_lies(context: WorkerContext, name: str, more: dict[str, Any]) -> None:
    assert_is_the_classifier(opened(context, name, **more))


@pytest.mark.parametrize(
    ("name", "more"), [("packed.zip", {}), ("alone.safetensors", {"architecture": CONFIG})], ids=["zip", "weights"]
)
def test_a_registered_classifier_is_opened_as_it_was_registered(
    context: WorkerContext, name: str, more: dict[str, Any]
) -> None:
    uri = f"file://{context.settings.allowed_roots[0]}/{name}"
    given = ModelIn.model_validate({"family": "timm", "uri": uri} | more)
    row = Registrar(context.settings, context.database, context.store).register_model(CALLER, given)
    assert_is_the_classifier(opened(context, row.id))


def test_a_folder_of_another_family_than_the_spec_says_is_refused(context: WorkerContext) -> None:
    with pytest.raises(ModelError, match=r"base_model\.family is open_clip, but the weights are of timm"):
        opened(context, "folder", family="open_clip")


def test_weights_alone_without_a_config_are_refused(context: WorkerContext) -> None:
    with pytest.raises(ModelError, match="needs its config"):
        opened(context, "alone.safetensors")


def test_a_config_with_a_head_of_another_size_is_refused(context: WorkerContext) -> None:
    config = json.loads(json.dumps(CONFIG | {"num_classes": 7}))
    with pytest.raises(ModelError, match="a head of another size"):
        opened(context, "alone.safetensors", architecture=config)


def siglip(context: WorkerContext, name: str) -> Network:
    return opened(context, name, family="open_clip")


@pytest.mark.parametrize("name", ["siglip", "siglip.zip"])
def test_a_siglip_is_opened_with_the_tokenizer_beside_it(context: WorkerContext, name: str) -> None:
    assert siglip(context, name).beside.keys() == {"tokenizer.json", "tokenizer_config.json"}


def test_an_uploaded_siglip_keeps_its_tokenizer_in_the_store(context: WorkerContext) -> None:
    shared = context.settings.allowed_roots[0]
    registrar = Registrar(context.settings, context.database, context.store)
    row = registrar.upload_model(CALLER, uploaded(shared / "siglip.zip"))
    model = siglip(context, row.id)
    assert {name: path.read_bytes() for name, path in model.beside.items()} == {
        name: (shared / "siglip" / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")
    }


def test_a_deleted_siglip_leaves_nothing_that_is_kept(context: WorkerContext) -> None:
    registrar = Registrar(context.settings, context.database, context.store)
    row = registrar.upload_model(CALLER, uploaded(context.settings.allowed_roots[0] / "siglip.zip"))
    assert len(row.keys) == 3
    with context.database.write() as session:
        catalog.delete(session, Model, CALLER.tenant, row.id)
    with context.database.read() as session:
        assert set(session.scalars(select(StoredObject.kept))) == {False}


def test_a_siglip_whose_stored_tokenizer_was_changed_is_damaged(context: WorkerContext) -> None:
    registrar = Registrar(context.settings, context.database, context.store)
    row = registrar.upload_model(CALLER, uploaded(context.settings.allowed_roots[0] / "siglip.zip"))
    with context.database.write() as session:
        session.get_one(Model, row.id).beside = {"tokenizer.json": "0" * 64}
    with pytest.raises(DataError, match=r"tokenizer\.json is damaged: its SHA-256 is"):
        siglip(context, row.id)


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_classifier_of_transformers_is_opened_from_where_it_lies(context: WorkerContext, packed: bool) -> None:
    shared = context.settings.allowed_roots[0]
    folder = transformers_folders.save(transformers_folders.vit(), shared / "vit")
    if packed:
        shutil.make_archive(str(folder), "zip", folder)
    model = opened(context, "vit.zip" if packed else "vit")
    assert model.theirs is not None
    assert model.theirs.config == json.loads((folder / "config.json").read_bytes())


@pytest.mark.slow
def test_an_uploaded_classifier_of_transformers_keeps_what_lies_beside_it(context: WorkerContext) -> None:
    shared = context.settings.allowed_roots[0]
    folder = transformers_folders.save(transformers_folders.vit(), shared / "vit")
    shutil.make_archive(str(folder), "zip", folder)
    row = Registrar(context.settings, context.database, context.store).upload_model(
        CALLER, uploaded(shared / "vit.zip")
    )
    model = opened(context, row.id)
    assert model.theirs is not None
    assert {name: path.read_bytes() for name, path in model.theirs.beside.items()} == {
        "preprocessor_config.json": (folder / "preprocessor_config.json").read_bytes()
    }


def with_hub(context: WorkerContext, url: str) -> WorkerContext:
    return replace(context, settings=context.settings.model_copy(update={"hub_endpoint": url}))


@pytest.mark.slow
def test_a_registered_model_of_a_hub_is_fetched_when_a_job_needs_it(context: WorkerContext) -> None:
    with hubs.serving({"acme/net": context.settings.allowed_roots[0] / "folder"}) as hub:
        allowed = with_hub(context, hub.url)
        given = ModelIn(family="timm", uri=f"hf-hub:acme/net@{hubs.COMMIT}")
        row = Registrar(allowed.settings, allowed.database, allowed.store).register_model(CALLER, given)
        assert_is_the_classifier(opened(allowed, row.id))


def test_a_model_of_a_hub_needs_one_that_is_allowed(context: WorkerContext) -> None:
    registrar = Registrar(context.settings, context.database, context.store)
    with pytest.raises(InvalidModel, match="NEGMERGE_HUB_ENDPOINT"):
        registrar.register_model(CALLER, ModelIn(family="timm", uri=f"hf-hub:acme/net@{hubs.COMMIT}"))


def test_a_model_of_a_hub_is_registered_with_its_commit_alone(context: WorkerContext) -> None:
    registrar = Registrar(with_hub(context, "https://hub.example").settings, context.database, context.store)
    with pytest.raises(InvalidModel, match="40 hex digits of a commit"):
        registrar.register_model(CALLER, ModelIn(family="timm", uri="hf-hub:acme/net@main"))


@pytest.mark.server
@pytest.mark.slow
def test_a_model_in_a_bucket_is_fetched_when_a_job_needs_it(context: WorkerContext, s3: S3) -> None:
    start, _, query = s3.url.partition("?")
    packed = (context.settings.allowed_roots[0] / "packed.zip").read_bytes()
    obstore.put(open_s3(start.removeprefix("s3://"), "", query), "models/net.zip", packed)
    allowed = context.settings.model_copy(update={"allowed_buckets": [f"{start}/models?{query}"]})
    inside = replace(context, settings=allowed)
    given = ModelIn(family="timm", uri=f"{start}/models/net.zip")
    row = Registrar(allowed, inside.database, inside.store).register_model(CALLER, given)
    assert_is_the_classifier(opened(inside, row.id))
