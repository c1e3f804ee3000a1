"""Announcing work: over a real broker, once for many, and never in the way of an answer."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.dispatch import TASK_WORK, Dispatcher, check_broker, queue_name
from app.errors import Unavailable
from app.record.ids import new_id
from app.settings import Settings
from tests.support import servers
from tests.support.api_client import serving


@pytest.fixture
def broker(broker_url: str) -> Iterator[Redis]:
    path = broker_url.removeprefix("redis+socket://").partition("?")[0]
    with Redis(unix_socket_path=path) as client:
        yield client


def messages(broker: Redis, queue: str, wanted: int) -> list[dict[str, object]]:
    """The headers of what lies on a queue, once there are as many as wanted."""
    end = time.monotonic() + 10
    while ((found := broker.lrange(queue_name(queue), 0, -1)) and len(found) < wanted) or not found:
        assert time.monotonic() < end
        time.sleep(0.01)
    return [json.loads(message)["headers"] for message in found]


def test_a_submitted_job_is_announced_on_its_queue(tmp_path: Path, broker_url: str, broker: Redis) -> None:
    queue = new_id("q")
    with serving(Settings(data_dir=tmp_path, broker_url=broker_url, queue=queue)) as api:
        api.job()

        assert [message["task"] for message in messages(broker, queue, 1)] == [TASK_WORK]


def test_a_dry_run_announces_nothing(tmp_path: Path, broker_url: str, broker: Redis) -> None:
    queue = new_id("q")
    with serving(Settings(data_dir=tmp_path, broker_url=broker_url, queue=queue)) as api:
        api.post("/v1/jobs?dry_run=true", json=api.spec())

    assert broker.llen(queue_name(queue)) == 0


@pytest.mark.server
def test_a_missing_broker_holds_nobody_up_and_is_announced_to_when_it_comes(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with servers.broker(tmp_path / "b") as url:
        pass  # it was there, and is gone
    queue = new_id("q")
    with Dispatcher(url, retry_seconds=0.05) as dispatcher:
        dispatcher.publish(queue)
        with pytest.raises(Unavailable):
            check_broker(url)
        with servers.broker(tmp_path / "b") as again:
            assert again == url
            path = again.removeprefix("redis+socket://").partition("?")[0]
            with Redis(unix_socket_path=path) as client:
                assert messages(client, queue, 1)[0]["task"] == TASK_WORK


TWO_AT_ONCE = """
import sys
from app.dispatch import Dispatcher

broker_url, *queues = sys.argv[1:]
with Dispatcher(broker_url) as one, Dispatcher(broker_url) as other:
    one.publish(queues[0])
    other.publish(queues[1])
"""


def test_two_dispatchers_of_a_process_may_load_celery_at_once(broker_url: str, broker: Redis) -> None:
    queues = [new_id("q"), new_id("q")]
    command = [sys.executable, "-c", TWO_AT_ONCE, broker_url, *queues]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert [broker.llen(queue_name(queue)) for queue in queues] == [1, 1], told
