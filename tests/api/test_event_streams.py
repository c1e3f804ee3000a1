"""A job's events as a stream: whole, resumed, bounded by key, ended with the key, kept alive."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import auth
from app.api import evidence
from app.settings import Settings
from tests.support.api_client import Api, assert_problem, serving


def test_events_stream_to_the_end_and_resume_after_the_last_one(both: Api) -> None:
    job = both.finished_job({"result.json": b"{}"})
    kinds = [event["kind"] for event in both.get(f"/v1/jobs/{job}/events").json()["data"]]
    accept = {"Accept": "text/event-stream"}

    whole = both.get(f"/v1/jobs/{job}/events", headers=accept)
    rest = both.get(f"/v1/jobs/{job}/events", headers=accept | {"Last-Event-ID": "2"})
    over = both.get(f"/v1/jobs/{job}/events", headers=accept | {"Last-Event-ID": str(len(kinds))})

    assert whole.headers["content-type"].startswith("text/event-stream")
    assert [line[7:] for line in whole.text.splitlines() if line.startswith("event: ")] == kinds
    assert next(line[4:] for line in rest.text.splitlines() if line.startswith("id: ")) == "3"
    assert over.status_code == 204


def test_a_stream_tells_each_event_as_the_pages_do(both: Api) -> None:
    job = both.finished_job({"result.json": b"{}"})
    events = both.get(f"/v1/jobs/{job}/events").json()["data"]

    first, *told = both.get(f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"}).text.split("\n\n")

    assert (first, told.pop()) == ("retry: 2000", "")
    fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in told]
    assert [json.loads(each["data"]) for each in fields] == events
    assert [(each["id"], each["event"]) for each in fields] == [(str(e["number"]), e["kind"]) for e in events]


@pytest.mark.parametrize("accept", ["text/event-stream;q=0", "text/event-stream;q=0.1, application/json"])
def test_pages_are_given_where_a_stream_is_not_wanted(api: Api, accept: str) -> None:
    answer = api.get(f"/v1/jobs/{api.job()}/events", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


def test_a_key_has_so_many_streams_and_no_more(tmp_path: Path, broker_url: str) -> None:
    with serving(Settings(data_dir=tmp_path, broker_url=broker_url, max_streams_per_key=2)) as api:
        path, accept = f"/v1/jobs/{api.job()}/events", {"Accept": "text/event-stream"}
        with ThreadPoolExecutor(2) as pool:
            streams = [pool.submit(api.get, path, headers=accept) for _ in range(2)]
            time.sleep(1)
            assert_problem(api.get(path, headers=accept), 429, "too-many")
            other = api.key()
            with api.client.stream("HEAD", path, headers=accept | other) as answer:
                assert answer.status_code == 200  # without a body there is nothing to hold open
            api.post(path.replace("events", "cancel"))
            assert [stream.result().status_code for stream in streams] == [200, 200]
        assert api.get(path, headers=accept).status_code == 200


def test_a_stream_ends_when_its_key_is_revoked(api: Api) -> None:
    job, key = api.job(), api.key()
    with ThreadPoolExecutor(1) as pool:
        path, headers = f"/v1/jobs/{job}/events", key | {"Accept": "text/event-stream"}
        stream = pool.submit(api.client.get, path, headers=headers)
        time.sleep(1)
        with api.database.write() as session:
            auth.revoke_key(session, f"key_{key['Authorization'].split('_')[1]}")
        assert "event: job.queued" in stream.result(timeout=30).text


def test_a_quiet_stream_is_kept_alive(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(evidence, "_KEEP_ALIVE_SECONDS", 0.03)
    job = api.job()

    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(api.get, f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"})
        time.sleep(1)
        api.post(f"/v1/jobs/{job}/cancel")
        blocks = [block.split("\n")[0] for block in stream.result().text.split("\n\n")]

    assert blocks[:3] == ["retry: 2000", "event: job.queued", ": ping"]
    assert set(blocks[3:-3]) == {": ping"}
    assert blocks[-3:] == ["event: job.cancel_requested", "event: job.cancelled", ""]
