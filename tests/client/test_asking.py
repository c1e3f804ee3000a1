"""One request and its answer, against a real server that fails, hangs, refuses and cuts off."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import errors as service_errors
from negmerge.client import (
    ClientError,
    Conflict,
    NotFound,
    NotUnderstood,
    Problem,
    ServiceFailure,
    TooMany,
    Unreachable,
    WrongRequest,
)
from negmerge.client.asking import answered
from negmerge.client.effects import Request
from negmerge.client.site import Site
from negmerge.client.sync import Wire
from negmerge.errors import FieldError
from negmerge.spec.job_resources import Job
from negmerge.spec.resources import TYPE_PREFIX, Dataset, Meta
from tests.support.faulty import KEY, QUICK, Faulty, cut, faulty, give, nothing


def example(kind: Any, **changes: Any) -> bytes:
    """The example of a record's schema, as the service would send it."""
    return json.dumps(kind.model_config["json_schema_extra"]["example"] | changes).encode()


def problem(status: int, kind: str = "invalid-spec", **changes: Any) -> dict[str, Any]:
    """Arguments of ``give`` for a problem."""
    document = {"type": TYPE_PREFIX + kind, "title": "Wrong", "status": status, "detail": "do better"}
    body = json.dumps(document | {"instance": "/", "errors": []} | changes).encode()
    return {"status": status, "body": body, "media": "application/problem+json"}


META = give(200, example(Meta))


@pytest.mark.parametrize("failure", [give(**problem(503)), give(502), give(**problem(429)), nothing, give(504)])
def test_a_question_is_asked_again_until_it_is_answered(server: Faulty, failure: Any) -> None:
    server.will(failure, failure, META)
    with server.client() as client:
        assert client.meta().name == "negmerge"
    assert len(server.asked) == 3


def test_a_service_that_stays_away_is_given_up(server: Faulty) -> None:
    server.will(*[nothing] * 10)
    with server.client() as client, pytest.raises(Unreachable):
        client.meta()
    assert len(server.asked) == 1 + QUICK.attempts


def test_nobody_at_the_port_is_unreachable() -> None:
    with faulty() as gone:
        pass
    with gone.client() as client, pytest.raises(Unreachable, match="does not answer"):
        client.meta()


def test_silence_is_not_waited_for_longer_than_asked(server: Faulty) -> None:
    server.will(server.hang, META)
    wire = Wire(Site(server.url, KEY), QUICK)
    assert json.loads(wire.run(answered(Request("GET", "/v1/meta", patience=0.1))))["name"] == "negmerge"
    wire.close()


def test_a_wait_that_is_asked_for_is_kept_up_to_a_bound(server: Faulty) -> None:
    server.will(give(**problem(429, "too-many"), retry_after="3"))
    with server.client() as client, pytest.raises(TooMany):
        client.meta()
    assert len(server.asked) == 1


def test_an_answer_that_is_cut_in_the_middle_is_asked_for_again(server: Faulty) -> None:
    body = example(Meta)
    server.will(cut(200, len(body), body[:10], "application/json"), META)
    with server.client() as client:
        assert client.meta().api == "v1"


def test_a_job_is_submitted_again_under_the_same_key(server: Faulty) -> None:
    server.will(nothing, give(**problem(503)), give(202, example(Job)))
    with server.client() as client:
        client.jobs.submit({"sweep": "auto"})
    keys = {asked.headers["idempotency-key"] for asked in server.asked}
    assert len(server.asked) == 3
    assert len(keys) == 1


def test_two_jobs_have_two_keys(server: Faulty) -> None:
    server.will(give(202, example(Job)), give(202, example(Job)))
    with server.client() as client:
        for _ in range(2):
            client.jobs.submit({})
    first, second = (asked.headers["idempotency-key"] for asked in server.asked)
    assert first != second


def test_an_upload_whose_answer_is_lost_is_not_sent_again(server: Faulty, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"zip")
    server.will(nothing)
    with server.client() as client, pytest.raises(Unreachable):
        client.datasets.upload(tmp_path / "a.zip")
    assert len(server.asked) == 1


def test_an_upload_that_was_refused_for_now_is_sent_again_from_its_beginning(server: Faulty, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"bytes of a zip")
    server.will(give(**problem(429)), give(201, example(Dataset)))
    with server.client() as client:
        client.datasets.upload(tmp_path / "a.zip")
    assert [asked.body.count(b"bytes of a zip") for asked in server.asked] == [1, 1]


def test_what_was_deleted_though_the_answer_was_lost_is_deleted(server: Faulty) -> None:
    server.will(nothing, give(**problem(404, "not-found")))
    with server.client() as client:
        client.datasets.delete("ds_1")
    assert len(server.asked) == 2


def test_what_was_never_there_is_not_deleted(server: Faulty) -> None:
    server.will(give(**problem(404, "not-found")))
    with server.client() as client, pytest.raises(NotFound):
        client.datasets.delete("ds_1")


def test_a_redirect_is_not_followed_and_the_key_stays_here(server: Faulty) -> None:
    with faulty() as other:
        server.will(give(307, location=f"{other.url}/v1/meta"))
        with server.client() as client, pytest.raises(NotUnderstood, match="sends /v1/meta on to"):
            client.meta()
        assert other.asked == []
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("kind", service_errors.every(), ids=lambda kind: kind.type)
def test_each_problem_of_the_service_is_an_error_of_its_own_status(
    server: Faulty, kind: type[service_errors.ServiceError]
) -> None:
    server.will(*[give(**problem(kind.status, kind.type))] * 4)
    with server.client() as client, pytest.raises(Problem) as raised:
        client.jobs.get("job_1")
    assert (raised.value.type, raised.value.status, str(raised.value)) == (kind.type, kind.status, "do better")
    assert isinstance(raised.value, ServiceFailure) == (kind.status >= 500)
    assert type(raised.value) is not Problem


def test_wrong_fields_come_with_their_pointers(server: Faulty) -> None:
    wrong = [{"pointer": "/scale_search/keep", "detail": "at most 1"}]
    server.will(give(**problem(422, errors=wrong)))
    with server.client() as client, pytest.raises(WrongRequest) as raised:
        client.jobs.dry_run({})
    assert raised.value.errors == [FieldError("/scale_search/keep", "at most 1")]


def test_a_conflict_says_which(server: Faulty) -> None:
    server.will(give(**problem(409, "in-use")))
    with server.client() as client, pytest.raises(Conflict) as raised:
        client.models.delete("mdl_1")
    assert raised.value.type == "in-use"


@pytest.mark.parametrize(
    "answer",
    [
        give(200, b"<html>", "text/html"),
        give(200, b"{}"),
        give(200, b""),
        give(200, example(Meta), content_encoding="gzip"),
    ],
    ids=["a page", "another object", "nothing", "packed"],
)
def test_what_is_no_answer_of_ours_is_told(server: Faulty, answer: Any) -> None:
    server.will(answer)
    with server.client() as client, pytest.raises(NotUnderstood):
        client.meta()


def test_a_proxys_page_is_not_taken_for_the_services_problem(server: Faulty) -> None:
    server.will(give(413, b"<html>too large</html>", "text/html"))
    with server.client() as client, pytest.raises(ClientError, match="is there a proxy"):
        client.meta()


def test_a_list_goes_on_page_after_page_as_it_is_asked_for(server: Faulty) -> None:
    def page(number: int, following: str | None) -> bytes:
        entry = json.loads(example(Dataset, id=f"ds_{number}"))
        return json.dumps({"data": [entry], "next_cursor": following}).encode()

    server.will(give(200, page(1, "ds_1")), give(200, page(2, None)))
    with server.client() as client:
        found = client.datasets.list()
        assert next(found).id == "ds_1"
        assert len(server.asked) == 1
        assert [dataset.id for dataset in found] == ["ds_2"]
    assert "cursor=ds_1" in server.asked[1].path


@pytest.mark.parametrize("name", ["", ".", "..", "..."])
def test_a_name_that_leads_up_names_nothing(server: Faulty, name: str) -> None:
    with server.client() as client, pytest.raises(NotFound):
        client.jobs.get(name)
    assert server.asked == []


@pytest.mark.parametrize("name", ["a/b", "a?b", "a#b", "../x", "a%2Fb", "ä\n"])
def test_no_sign_of_an_id_leads_elsewhere(server: Faulty, name: str) -> None:
    server.will(give(**problem(404, "not-found")))
    with server.client() as client, pytest.raises(NotFound):
        client.jobs.get(name)
    [asked] = server.asked
    assert asked.path.startswith("/v1/jobs/")
    assert asked.path.count("/") == 3
    assert "?" not in asked.path
