"""A job from another's accumulators, over HTTP and with real workers: nothing is trained, and the bits are the same."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import auth
from app.auth import Scope
from app.intake.registration import DatasetIn, Registrar
from app.main import create_app
from app.record.states import StepKind
from app.settings import Settings
from tests.support import pico
from tests.support.service import CALLER, Service, running, uploaded

pytestmark = [pytest.mark.server, pytest.mark.slow]

POINTS = [
    {"learning_rate": rate, "epochs": epochs, "batch_size": 8, "label_smoothing": 0.1}
    for rate in (1e-3, 2e-3, 3e-3)
    for epochs in (8, 16)
]
SETTINGS: dict[str, Any] = {
    "merge": {"method": "negmerge"},
    "scale_search": {"keep": 0.5},
    "compare": ["task_arithmetic", "uniform", "ties"],
}


@dataclass
class Place:
    """A service with workers, and its application."""

    service: Service
    client: TestClient
    headers: dict[str, str]

    def submit(self, **document: Any) -> str:
        answer = self.client.post("/v1/jobs", json=document, headers=self.headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def trained(self, **changes: Any) -> str:
        """The id of a job that trains its points and has ended."""
        job_id = self.service.submit(sweep={"points": POINTS}, **SETTINGS | changes)
        self.service.finish(job_id)
        return job_id

    def derived(self, first: str, **document: Any) -> str:
        """The id of a job from another's accumulators that has ended."""
        job_id = self.submit(from_job=first, **document)
        self.service.finish(job_id)
        return job_id

    def result(self, job_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/jobs/{job_id}/result", headers=self.headers)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


@pytest.fixture(scope="module")
def place(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two workers, so that a job's accumulators are more than one worker's."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        broker_url=broker_url,
        threads=1,
        poll_seconds=0.1,
        flush_seconds=0.2,
        lease_seconds=5.0,
        renew_seconds=0.5,
    )
    with running(settings, tmp_path_factory.mktemp("files")) as service, TestClient(create_app(settings)) as client:
        service.start(2)
        with service.database.write() as session:
            _, key = auth.create_key(session, "test", CALLER.tenant, (Scope.READ, Scope.WRITE))
        yield Place(service, client, {"Authorization": f"Bearer {key}"})


@pytest.fixture(scope="module")
def first(place: Place) -> str:
    """The job that trained the points; its vectors are not kept."""
    return place.trained()


def figures(document: dict[str, Any]) -> dict[str, Any]:
    """Every method's scale, curve and figures, without times."""
    return {
        name: {key: value for key, value in row.items() if key != "seconds"}
        for name, row in document["methods"].items()
    }


def test_the_same_settings_give_the_same_digests_and_figures_and_train_nothing(place: Place, first: str) -> None:
    job_id = place.derived(first)
    here, there = place.result(job_id), place.result(first)
    assert here["digests"] == there["digests"]
    assert figures(here) == figures(there)
    assert here["consensus"] == there["consensus"]
    assert {step.kind for step in place.service.steps(job_id)} == {StepKind.PREPARE, StepKind.CONCLUDE}


def test_the_result_and_the_job_say_where_the_points_are_from(place: Place, first: str) -> None:
    job_id = place.derived(first)
    here, there = place.result(job_id), place.result(first)
    assert (here["from_job"], there["from_job"]) == (first, None)
    assert here["spec"]["from_job"] == first
    assert here["points"] == there["points"]
    job = place.client.get(f"/v1/jobs/{job_id}", headers=place.headers).json()
    assert job["links"]["from_job"] == f"/v1/jobs/{first}"
    assert job["points"] == 0


def test_another_retain_set_gives_other_figures_of_the_same_vector(place: Place, first: str) -> None:
    registrar = Registrar(place.service.settings, place.service.database, place.service.store)
    archive = pico.make_archive(place.service.settings.data_dir / "few.zip", classes=["zero", "one", "four"])
    given = DatasetIn(name="few", templates=pico.TEMPLATES)
    few = registrar.upload_dataset(CALLER, uploaded(archive), given).id

    here, there = place.result(place.derived(first, retain={"dataset": few})), place.result(first)

    assert here["digests"]["task_vector"] == there["digests"]["task_vector"]
    assert here["splits"]["retain"] != there["splits"]["retain"]
    assert "task_arithmetic" not in here["methods"]
    assert all("rank" not in point and "test" not in point for point in here["points"])  # found on another retain set


@pytest.mark.parametrize(
    "merge", [{"method": "relaxed", "relaxed": 0.6}, {"method": "ties"}, {"method": "negmerge", "agreement": 0.7}]
)
def test_another_merge_is_what_a_job_that_trains_for_it_gets(place: Place, first: str, merge: dict[str, Any]) -> None:
    job_id = place.derived(first, merge=merge, compare=[])
    assert place.service.digests(job_id) == place.service.digests(place.trained(merge=merge, compare=[]))


def test_kept_task_vectors_give_a_method_that_nobody_added_up(place: Place) -> None:
    kept = place.trained(merge={"method": "uniform"}, compare=[], keep_task_vectors=True)
    merge = {"method": "ties", "density": 0.4}
    job_id = place.derived(kept, merge=merge, compare=["magmax"])
    expected = place.trained(merge=merge, compare=["magmax"])
    assert place.service.digests(job_id) == place.service.digests(expected)


def test_gates_are_judged_without_training(place: Place, first: str) -> None:
    job_id = place.derived(first, require={"retain_min": 1.0, "forget_max": 0.0})
    job = place.client.get(f"/v1/jobs/{job_id}", headers=place.headers).json()
    assert job["outcome"] == "below_target"


def test_its_files_are_its_own_and_stay_when_the_first_job_goes(place: Place) -> None:
    gone = place.trained(compare=[])
    job_id = place.derived(gone)
    assert place.client.delete(f"/v1/jobs/{gone}", headers=place.headers).status_code == 204
    weights = place.client.get(f"/v1/jobs/{job_id}/weights", headers=place.headers)
    digest = f"sha256:{hashlib.sha256(weights.content).hexdigest()}"
    assert digest == json.loads(json.dumps(place.result(job_id)))["digests"]["unlearned"]


def test_a_job_keeps_its_accumulators_as_one_object_for_each_repeat(place: Place) -> None:
    job_id = place.trained(compare=[], repeats=2)
    service = place.service
    artifacts = set(service.artifact_keys(job_id))
    service.wait(lambda: len(set(service.objects(job_id)) - artifacts) == 2, "the collection of what is not kept")
    assert place.client.delete(f"/v1/jobs/{job_id}", headers=place.headers).status_code == 204
    service.wait(lambda: service.objects(job_id) == [], "the collection of all that a deleted job had")
