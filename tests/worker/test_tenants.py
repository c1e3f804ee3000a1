"""A worker opens nothing of another tenant, even where a job's spec names it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.auth import Principal
from app.intake.registration import DatasetIn, ModelIn, Registrar
from app.record.leases import Claim
from app.settings import Settings
from negmerge.decoding.dataset import Dataset
from negmerge.errors import DataError, ModelError
from negmerge.models.network import Network
from negmerge.progress import ignore
from negmerge.spec.job import parse
from negmerge.spec.references import DatasetRef
from tests.support import archive_files, pico_timm, records
from tests.support.worker_contexts import worker_context
from worker import resolve
from worker.context import WorkerContext


@pytest.fixture
def context(tmp_path: Path) -> Iterator[WorkerContext]:
    """A worker's place, with a classifier's folder and an archive of images below an allowed root."""
    shared = tmp_path / "shared"
    pico_timm.write_folder(shared / "model", pico_timm.CONFIGS["resnet18"])
    archive_files.write_folder(shared / "images", archive_files.PAIR)
    settings = Settings(data_dir=tmp_path / "data", threads=1, allowed_roots=[shared])
    with worker_context(settings, tmp_path / "scratch") as context:
        yield context


def registered_model(context: WorkerContext, tenant: str) -> str:
    given = ModelIn(family="timm", uri=f"file://{context.settings.allowed_roots[0]}/model")
    return registrar(context).register_model(caller_of(tenant), given).id


def registered_dataset(context: WorkerContext, tenant: str) -> str:
    given = DatasetIn(uri=f"file://{context.settings.allowed_roots[0]}/images")
    return registrar(context).register_dataset(caller_of(tenant), given).id


def opened_model(context: WorkerContext, model_id: str) -> Network:
    """The model, for a step of the tenant acme."""
    document = records.make_spec().model_dump(mode="json", exclude_none=True)
    spec = parse(document | {"base_model": {"family": "timm", "weights": model_id}})
    return resolve.open_model(context, claim_of_acme(context), spec, ignore)


def opened_dataset(context: WorkerContext, dataset_id: str) -> Dataset:
    """The data set, for a step of the tenant acme."""
    return resolve.open_dataset(context, claim_of_acme(context), DatasetRef(dataset=dataset_id), ignore)


def claim_of_acme(context: WorkerContext) -> Claim:
    records.make_job(context.database, tenant="acme")
    return records.claim(context.database, context.worker)


def registrar(context: WorkerContext) -> Registrar:
    return Registrar(context.settings, context.database, context.store)


def caller_of(tenant: str) -> Principal:
    return Principal("key_1", tenant, frozenset({"write"}))


def test_the_tenants_own_model_is_opened(context: WorkerContext) -> None:
    assert opened_model(context, registered_model(context, "acme")).family == "timm"


def test_another_tenants_model_is_not_there(context: WorkerContext) -> None:
    with pytest.raises(ModelError, match="there is no model mdl_"):
        opened_model(context, registered_model(context, "globex"))


def test_the_tenants_own_data_set_is_opened(context: WorkerContext) -> None:
    dataset = opened_dataset(context, registered_dataset(context, "acme"))
    assert archive_files.ids(dataset.index) == ["cat/1.png", "dog/1.png"]


def test_another_tenants_data_set_is_not_there(context: WorkerContext) -> None:
    with pytest.raises(DataError, match="there is no data set ds_"):
        opened_dataset(context, registered_dataset(context, "globex"))
