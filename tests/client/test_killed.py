"""A real service that is killed while it answers, and started again: no job comes twice, no byte comes twice."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.settings import Settings
from negmerge.client import Client, Retries
from tests.support import killed_service
from tests.support.api_client import Api, serving

pytestmark = [pytest.mark.server, pytest.mark.slow]

RETRIES = Retries(attempts=20, first_seconds=0.05, most_seconds=0.5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[tuple[Api, Settings]]:
    """A record with a key, and the settings of whoever serves it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("killed"), broker_url=broker_url)
    with serving(settings) as api:
        yield api, settings


@contextmanager
def killed_once(made: tuple[Api, Settings], method: str, path: str, after: int) -> Iterator[Client]:
    """A client of a service that is killed in its answer to this request, and then started again as it was."""
    api, settings = made
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = killed_service.start(settings, listener, method=method, path=path, after=after)
        again: list[killed_service.Process] = []

        def start_again() -> None:
            first.wait()
            again.append(killed_service.start(settings, listener, method="", path="", after=0))

        thread = threading.Thread(target=start_again)
        thread.start()
        try:
            key = api.headers["Authorization"].removeprefix("Bearer ")
            with Client(f"http://127.0.0.1:{listener.getsockname()[1]}", key, retries=RETRIES) as client:
                yield client
            assert first.wait(60) == -9
        finally:
            first.kill()
            thread.join()
            for process in again:
                process.kill()
                process.wait()


def test_a_download_goes_on_where_the_service_was_killed(made: tuple[Api, Settings], tmp_path: Path) -> None:
    api, _ = made
    content = os.urandom(3_000_000)
    path = f"/v1/jobs/{api.finished_job({'report.html': content})}/artifacts/report.html"
    told: list[float] = []
    with killed_once(made, "GET", path, 1_000_000) as client:
        client.jobs.download(path.split("/")[3], "report.html", tmp_path, progress=lambda _, share: told.append(share))
    assert (tmp_path / "report.html").read_bytes() == content
    assert [name.name for name in tmp_path.glob("*report*")] == ["report.html"]
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_job_that_was_committed_and_not_answered_is_not_made_again(made: tuple[Api, Settings]) -> None:
    api, _ = made
    with killed_once(made, "POST", "/v1/jobs", -1) as client:
        job = client.jobs.submit(api.spec(metadata={"ticket": "killed"}))
        assert [one.id for one in client.jobs.list(metadata={"ticket": "killed"})] == [job.id]
