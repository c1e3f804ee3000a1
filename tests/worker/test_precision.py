"""The precision of a job over real workers: what the spec asks, what the setting means by auto, and the same bits."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.settings import Settings
from app.store.objects import Store
from negmerge.models.precision import bfloat16_by
from negmerge.spec.result import ResultDocument
from tests.support.service import Service, running

pytestmark = [pytest.mark.server, pytest.mark.slow]

POINT = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def service(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers that mean bfloat16 by ``auto``, whatever their hardware."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        broker_url=broker_url,
        threads=1,
        poll_seconds=0.1,
        flush_seconds=0.5,
        precision="bfloat16",
    )
    with running(settings, tmp_path_factory.mktemp("files")) as service:
        service.start(2)
        yield service


def result(service: Service, **changes: Any) -> ResultDocument:
    """The result of a job of two points whose λ is 1, so that it has what was trained in it."""
    spec = {"sweep": {"points": [POINT, POINT | {"learning_rate": 2e-3}]}}
    job_id = service.submit(**spec | {"scale_search": {"rule": "fixed", "scale": 1.0}} | changes)
    service.finish(job_id)
    keys = {path: key for key, path in service.artifact_keys(job_id).items()}
    store: Store = service.store
    return ResultDocument.model_validate_json(store.read(keys["result.json"]))


@pytest.fixture(scope="module")
def by_setting(service: Service) -> ResultDocument:
    return result(service)


def test_auto_is_what_the_worker_is_set_to(by_setting: ResultDocument) -> None:
    where = by_setting.environment
    assert (by_setting.spec.precision, where.precision, where.bfloat16_by) == (
        "auto",
        "bfloat16",
        bfloat16_by("cpu"),
    )


def test_the_spec_comes_before_the_setting(service: Service, by_setting: ResultDocument) -> None:
    asked = result(service, precision="float32")
    assert (asked.environment.precision, asked.environment.bfloat16_by) == ("float32", None)
    assert asked.digests.unlearned != by_setting.digests.unlearned


def test_a_job_that_asks_for_bfloat16_gives_the_same_bits(service: Service, by_setting: ResultDocument) -> None:
    assert result(service, precision="bfloat16").digests == by_setting.digests
