"""Streams of events: read in any pieces, gone on with where they were cut, done without where they do not come."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.client import JobCancelled, JobFailed, NotUnderstood, StillRunning, waiting
from negmerge.client.events import Lines
from negmerge.spec.job_resources import Event, Job
from negmerge.spec.resources import Page
from tests.client.test_asking import example, problem
from tests.support.faulty import Faulty, cut, give

STREAM = "text/event-stream"


def event(number: int, kind: str = "point.trained") -> Event:
    return Event(number=number, at="2026-11-25T09:30:00Z", kind=kind, data={"index": number, "é": "\n"})


def told(*events: Event) -> bytes:
    """The events as the service streams them, with a sign of life between."""
    return b": ping\n\n".join(
        f"event: {one.kind}\ndata: {one.model_dump_json()}\nid: {one.number}\n\n".encode() for one in events
    )


def job(state: str, **changes: Any) -> bytes:
    return example(Job, id="job_1", state=state, terminal=state in ("succeeded", "failed", "cancelled"), **changes)


@given(st.lists(st.integers(1, 400), max_size=6), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_the_same_in_whatever_pieces_they_come(cuts: list[int], ending: bytes) -> None:
    events = [event(1), event(2), event(3)]
    stream, places = told(*events).replace(b"\n", ending), sorted({0, *cuts})
    pieces = [stream[begin:end] for begin, end in zip(places, [*places[1:], len(stream)], strict=True)]
    lines = Lines()
    assert [one for piece in pieces for one in lines.feed(piece)] == events


def test_an_event_that_never_ends_is_not_kept_for_ever() -> None:
    lines = Lines()
    assert lines.feed(b"x" * 2**20) == []
    with pytest.raises(NotUnderstood, match="has no end"):
        lines.feed(b"x")


def test_an_event_of_another_shape_is_told() -> None:
    with pytest.raises(NotUnderstood):
        Lines().feed(b'data: {"number": "x"}\n\n')


def test_a_stream_goes_on_after_the_last_event_where_it_was_cut(server: Faulty) -> None:
    first, rest = told(event(1), event(2)), told(event(2), event(3))
    server.will(cut(200, 10_000, first, STREAM), give(200, rest, STREAM), give(204))
    with server.client() as client:
        assert [one.number for one in client.jobs.events("job_1")] == [1, 2, 3]
    assert [asked.headers["last-event-id"] for asked in server.asked] == ["0", "2", "3"]


def test_events_are_asked_for_where_no_stream_comes_through(server: Faulty) -> None:
    def page(*events: Event) -> bytes:
        return Page[Event](data=list(events), next_cursor=None).model_dump_json().encode()

    server.will(give(200, b"<html>", "text/html"), give(200, job("tuning")), give(200, page(event(1))))
    server.will(give(200, job("succeeded")), give(200, page(event(2))))
    with server.client() as client:
        assert [one.number for one in client.jobs.events("job_1")] == [1, 2]


def test_events_so_far_come_without_a_stream(server: Faulty) -> None:
    body = {"data": [json.loads(event(7).model_dump_json())], "next_cursor": None}
    server.will(give(200, json.dumps(body).encode()))
    with server.client() as client:
        assert [one.number for one in client.jobs.events("job_1", after=6, follow=False)] == [7]
    assert "after=6" in server.asked[0].path


def test_waiting_looks_at_the_job_after_each_word_of_the_stream(server: Faulty) -> None:
    server.will(give(200, job("queued")), give(200, told(event(1)), STREAM), give(200, job("tuning")))
    server.will(give(204), give(200, job("succeeded")))
    with server.client() as client:
        assert client.jobs.wait("job_1").state == "succeeded"


def test_who_watches_sees_the_bar_move_within_one_point(server: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point may take hours, and there is no event in it."""
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.0)
    progress = json.loads(job("tuning"))["progress"]
    for step, share in ((20, 0.36), (40, 0.39)):
        running = [{"kind": "point", "index": 4, "step": step, "total": 60, "loss": 0.4}]
        server.will(give(200, job("tuning", progress=progress | {"fraction": share, "running": running})))
    server.will(give(200, job("succeeded")))
    told: list[tuple[str, float]] = []
    with server.client() as client:
        client.jobs.wait("job_1", progress=lambda what, share: told.append((what, share)))
    assert told == [
        ("job_1: 4 of 12 points (point 5: 20 of 60 steps)", 0.36),
        ("job_1: 4 of 12 points (point 5: 40 of 60 steps)", 0.39),
        ("job_1: succeeded", 1.0),
    ]


def test_waiting_asks_where_streams_are_too_many(server: Faulty) -> None:
    server.will(give(200, job("queued")), *[give(**problem(429, "too-many"))] * 4)
    server.will(give(200, job("succeeded")))
    with server.client() as client:
        assert client.jobs.wait("job_1").state == "succeeded"


@pytest.mark.parametrize(("state", "kind"), [("failed", JobFailed), ("cancelled", JobCancelled)])
def test_a_job_that_ended_without_a_result_raises_with_the_problems_words(
    server: Faulty, state: str, kind: type[Exception]
) -> None:
    server.will(give(200, job(state, problem={"type": "x", "detail": "no room for the pixels"})))
    with server.client() as client, pytest.raises(kind, match="no room for the pixels"):
        client.jobs.wait("job_1")


def test_waiting_ends_when_its_time_is_over(server: Faulty) -> None:
    server.will(give(200, job("tuning")), server.hang, give(200, job("tuning")), give(200, job("tuning")))
    with server.client() as client, pytest.raises(StillRunning) as raised:
        client.jobs.wait("job_1", timeout=0.1)
    assert raised.value.job.state == "tuning"
