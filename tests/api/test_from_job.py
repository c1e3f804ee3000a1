"""A job from another's accumulators as it is asked for over HTTP: who may, what is refused, where it leads."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.auth import Scope
from app.record import jobs, steps
from app.record.objects import ArtifactFile
from app.record.steps import CommittedPartial
from app.settings import Settings
from tests.support import records
from tests.support.api_client import Api, assert_problem, pointers, serving


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    with serving(Settings(data_dir=tmp_path_factory.mktemp("from"), broker_url=broker_url)) as served:
        yield served


def finished(api: Api, *, kept: bool = True, **changes: Any) -> str:
    """A job that succeeded over real references, with accumulators or as versions before left it."""
    job_id = api.job(**changes)
    worker = records.make_worker()
    records.finish_prepare(api.database, records.claim(api.database, worker))
    records.fold(api.database, worker)
    held = records.claim(api.database, worker)
    assert held.job_id == job_id
    with api.database.write() as session:
        key = records.register(session, held, "result.json")
        file = ArtifactFile("result.json", key, 2, "0" * 64, "application/json")
        name = records.register(session, held, "accumulators-0")
        partials = [CommittedPartial(0, name, [0, 1, 2])] if kept else []
        steps.finish_conclude(session, held, key, [file], {"base": "sha256:0"}, records.VERDICT, partials)
    return job_id


@pytest.fixture(scope="module")
def first(api: Api) -> str:
    return finished(api, compare=["uniform"])


@pytest.fixture
def submitted(api: Api) -> Iterator[list[str]]:
    """Jobs that a test has submitted: cancelled at its end, so that none is due before another test's."""
    ids: list[str] = []
    yield ids
    for job_id in ids:
        with api.database.write() as session:
            jobs.request_cancel(session, "acme", job_id)


def test_only_what_is_to_be_otherwise_is_named(api: Api, first: str, submitted: list[str]) -> None:
    answer = api.post("/v1/jobs", json={"from_job": first, "merge": {"method": "uniform"}, "metadata": {"a": "b"}})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    submitted.append(job["id"])
    there = api.get(f"/v1/jobs/{first}").json()
    assert job["spec"]["from_job"] == first
    assert job["spec"]["sweep"] == there["spec"]["sweep"]
    assert job["spec"]["merge"]["method"] == "uniform"
    assert (job["points"], job["metadata"]) == (0, {"a": "b"})
    assert (job["links"]["from_job"], there["links"]["from_job"]) == (f"/v1/jobs/{first}", None)


def test_a_dry_run_says_that_nothing_is_trained_and_makes_nothing(api: Api, first: str) -> None:
    before = api.get("/v1/jobs").json()
    answer = api.post("/v1/jobs?dry_run=true", json={"from_job": first})
    assert answer.status_code == 200, answer.text
    estimate = answer.json()["estimate"]
    assert (estimate["points"], estimate["steps"], estimate["seconds"]) == (0, 0, 0.0)
    assert first in estimate["basis"]
    assert api.get("/v1/jobs").json() == before


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_key_that_may_not_read_is_not_given_another_jobs_spec(api: Api, first: str, query: str) -> None:
    answer = api.post(f"/v1/jobs{query}", json={"from_job": first}, headers=api.key(scopes=(Scope.WRITE,)))
    assert "no scope 'read'" in assert_problem(answer, 403, "forbidden")["detail"]


def test_a_job_that_is_needed_cannot_be_deleted(api: Api, submitted: list[str]) -> None:
    first = finished(api)
    submitted.append(api.post("/v1/jobs", json={"from_job": first}).json()["id"])
    assert submitted[0] in assert_problem(api.delete(f"/v1/jobs/{first}"), 409, "in-use")["detail"]


def refused(api: Api, first: Any, status: int, kind: str, **document: Any) -> str:
    """The detail of a problem that blames ``from_job``."""
    problem = assert_problem(api.post("/v1/jobs", json={"from_job": first} | document), status, kind)
    assert pointers(problem) == ["/from_job"]
    return str(problem["detail"])


@pytest.mark.parametrize("name", [7, [], {}, "", "job_1", "mdl_1", "../jobs", "job_" + "z" * 26])
def test_what_is_no_jobs_id_is_named(api: Api, name: Any) -> None:
    assert "name one that succeeded" in refused(api, name, 422, "invalid-spec")


def test_a_job_that_is_not_there_or_another_tenants_is_404(api: Api, first: str) -> None:
    refused(api, "job_" + "0" * 26, 404, "not-found")
    answer = api.post("/v1/jobs", json={"from_job": first}, headers=api.key("other"))
    assert pointers(assert_problem(answer, 404, "not-found")) == ["/from_job"]


def test_a_job_that_has_not_ended_or_failed_is_409(api: Api, submitted: list[str]) -> None:
    submitted.append(api.job())
    refused(api, submitted[0], 409, "result-not-ready")
    api.post(f"/v1/jobs/{submitted[0]}/cancel")
    refused(api, submitted.pop(), 409, "no-result")


def test_a_job_that_was_deleted_is_410(api: Api) -> None:
    first = finished(api)
    api.delete(f"/v1/jobs/{first}")
    refused(api, first, 410, "deleted")


def test_a_job_that_kept_no_accumulators_is_409_and_says_so(api: Api) -> None:
    assert "kept no accumulators" in refused(api, finished(api, kept=False), 409, "conflict")


def test_a_job_that_is_from_another_names_that(api: Api, first: str, submitted: list[str]) -> None:
    job_id = api.post("/v1/jobs", json={"from_job": first}).json()["id"]
    worker = records.make_worker()
    records.finish_prepare(api.database, records.claim(api.database, worker))
    records.conclude(api.database, records.claim(api.database, worker))
    assert first in refused(api, job_id, 422, "invalid-spec")


def test_what_cannot_be_had_is_refused_with_what_would_help(api: Api, first: str) -> None:
    answer = api.post("/v1/jobs", json={"from_job": first, "merge": {"method": "ties"}})
    problem = assert_problem(answer, 422, "invalid-spec")
    assert pointers(problem) == ["/merge/method"]
    assert "submit a new job" in problem["detail"]


def test_the_same_request_gives_the_same_job_when_the_first_one_is_gone(api: Api) -> None:
    first = finished(api)
    key = {"Idempotency-Key": f"again-{first}"}
    made = api.post("/v1/jobs", json={"from_job": first}, headers=key).json()["id"]
    api.post(f"/v1/jobs/{made}/cancel")
    assert api.delete(f"/v1/jobs/{first}").status_code == 204
    again = api.post("/v1/jobs", json={"from_job": first}, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, made)
