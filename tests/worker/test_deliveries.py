"""A job whose files are delivered to a bucket: a real worker, a real S3 server, in a folder's own store otherwise."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.record.states import JobState
from app.settings import Settings
from app.store.objects import Store
from negmerge.spec import paths
from tests.support import servers
from tests.support.service import Service, running

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def allowed(s3: servers.S3) -> str:
    return servers.new_prefix(s3)


@pytest.fixture
def service(allowed: str, broker_url: str, tmp_path: Path) -> Iterator[Service]:
    settings = Settings(
        data_dir=tmp_path / "data", broker_url=broker_url, threads=1, poll_seconds=0.1, deliver_to=[allowed]
    )
    settings.data_dir.mkdir()
    with running(settings, tmp_path) as service:
        service.start()
        yield service


def ended(service: Service, job_id: str) -> None:
    service.wait(lambda: service.job(job_id).state in (JobState.SUCCEEDED, JobState.FAILED), "the job's end")


def test_a_finished_jobs_files_lie_in_the_bucket_and_one_elsewhere_fails_at_once(
    service: Service, allowed: str
) -> None:
    uri = f"{allowed.partition('?')[0]}/team"
    delivered, elsewhere = service.submit(2, deliver=uri), service.submit(2, deliver="s3://elsewhere/x")
    ended(service, delivered)
    ended(service, elsewhere)

    assert service.job(delivered).state == JobState.SUCCEEDED, service.logs()
    there = Store.open(allowed)
    result = json.loads(there.read(f"team/{delivered}/result.json"))
    assert (result["job"], result["spec"]["deliver"]) == (delivered, uri)
    digests = service.artifact_digests(delivered)
    assert "unlearned/open_clip_model.safetensors" in digests
    assert digests.pop(paths.BASE)  # the service keeps it, for other scales
    for path, digest in digests.items():
        assert hashlib.sha256(there.read(f"team/{delivered}/{path}")).hexdigest() == digest

    assert service.job(elsewhere).state == JobState.FAILED
    assert "NEGMERGE_DELIVER_TO" in json.dumps(service.job(elsewhere).problem)
