"""What request headers say, as RFC 9110 reads them."""

import pytest

from app.api.headers import names, prefers
from tests.support.api_client import Api, assert_problem

STREAM, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("accept", "asked"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        (STREAM, True),
        ("Text/Event-Stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=0.000, application/json", False),
        ("text/event-stream;q=0.5", True),
        ("text/event-stream;q=0.5, application/json;q=0.4", True),
        ("text/event-stream;q=0.4, application/json;q=0.5", False),
        ("application/json, text/event-stream", True),
        ("text/event-stream;Q=0.1", True),
        ("text/event-stream;q=2", False),
        ("text/event-stream;q=", False),
        ("application/x-text/event-stream", False),
        ("text/event-streams", False),
    ],
)
def test_a_stream_is_given_where_it_is_asked_for_by_name_and_no_less_than_json(accept: str, asked: bool) -> None:
    assert prefers(accept, STREAM, JSON) is asked


@pytest.mark.parametrize(
    ("header", "weak", "strong"),
    [
        (None, False, False),
        ("*", True, True),
        ('"a"', True, True),
        ('"b", "a"', True, True),
        ('W/"a"', True, False),
        ('"b"', False, False),
        ("", False, False),
    ],
)
def test_entity_tags_are_compared_weakly_or_strongly(header: str | None, weak: bool, strong: bool) -> None:
    assert names(header, '"a"', weak=True) is weak
    assert names(header, '"a"', weak=False) is strong


def test_a_header_on_two_lines_is_one_list(api: Api) -> None:
    job_id = api.finished_job({"a.txt": b"a"})
    path = f"/v1/jobs/{job_id}/artifacts/a.txt"
    etag = api.get(path).headers["etag"]
    key = ("Authorization", api.headers["Authorization"])
    matched = api.client.get(path, headers=[key, ("If-Match", '"x"'), ("If-Match", etag)])
    assert matched.status_code == 200
    unchanged = api.client.get(path, headers=[key, ("If-None-Match", '"x"'), ("If-None-Match", etag)])
    assert unchanged.status_code == 304


def test_two_encodings_of_a_body_are_both_seen(api: Api) -> None:
    headers = [
        ("Authorization", api.headers["Authorization"]),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "identity"),
        ("Content-Encoding", "gzip"),
    ]
    assert_problem(api.client.post("/v1/jobs", content=b"{}", headers=headers), 415, "unsupported-media-type")


def test_two_idempotency_keys_are_refused(api: Api) -> None:
    headers = [("Authorization", api.headers["Authorization"]), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert_problem(api.client.post("/v1/jobs", json=api.spec(), headers=headers), 400, "malformed")


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("text/event-stream;q=0,text/event-stream", False),
        ("application/*, text/event-stream;q=0.5", False),
        ("application/*;q=0.5, text/event-stream", True),
        ("application/json, application/*;q=0.1, text/event-stream;q=0.5", False),
    ],
)
def test_what_is_asked_for_twice_or_by_its_kind_is_weighed(accept: str, streamed: bool) -> None:
    assert prefers(accept, "text/event-stream", "application/json") == streamed


@pytest.mark.parametrize("query", ["dry_run=true&dry_run=false", "dry_run=true&dry_run=true"])
def test_a_parameter_that_stands_there_twice_is_refused(api: Api, query: str) -> None:
    problem = assert_problem(api.post(f"/v1/jobs?{query}", json=api.spec()), 422, "invalid-request")
    assert problem["detail"] == "dry_run is given twice: give it once"
