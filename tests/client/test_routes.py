"""The client against the real application under a real server: every route, waited for and awaited."""

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.auth import Scope
from app.settings import Settings
from negmerge.client import AsyncClient, Client, Conflict, Deleted, Forbidden, NotFound, Unauthorized, WrongRequest
from negmerge.client import client as module
from negmerge.errors import DataError
from tests.support.api_client import CONFIG, Api, digits_zip, png, serving, sha256, weights
from tests.support.listening import listening

pytestmark = pytest.mark.server


@dataclass(frozen=True)
class Site:
    """The service's URL, and the record behind it."""

    url: str
    api: Api

    def client(self, *scopes: Scope, tenant: str = "acme") -> Client:
        """A client with a new key."""
        return Client(self.url, self.key(*scopes, tenant=tenant))

    def key(self, *scopes: Scope, tenant: str = "acme") -> str:
        return self.api.key(tenant, scopes or (Scope.READ, Scope.WRITE))["Authorization"].removeprefix("Bearer ")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(data_dir=folder, broker_url=broker_url, allowed_roots=[folder])
    with serving(settings) as api, listening(settings) as port:
        yield Site(f"http://127.0.0.1:{port}", api)


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.client() as found:
        yield found


def spec(client: Client, folder: Path) -> dict[str, Any]:
    """A spec of an uploaded data set and model."""
    (folder / "digits.zip").write_bytes(digits_zip())
    (folder / "model.safetensors").write_bytes(weights())
    dataset = client.datasets.upload(folder / "digits.zip").id
    model = client.models.upload(folder / "model.safetensors", config=CONFIG).id
    return {
        "base_model": {"family": "open_clip", "weights": model},
        "forget": {"dataset": dataset, "select": {"classes": ["seven"]}},
        "retain": {"dataset": dataset},
        "sweep": {"grid": {"epochs": [1, 2, 3]}},
        "metadata": {"ticket": "DSR-1"},
    }


def test_a_folder_is_a_data_set_by_its_classes_and_hidden_files_stay_here(client: Client, tmp_path: Path) -> None:
    for name in ("one", "two", "drei ü"):
        (tmp_path / "digits" / name).mkdir(parents=True)
        for n in range(4):
            (tmp_path / "digits" / name / f"{n}.png").write_bytes(png(n))
    (tmp_path / "digits" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "digits" / ".git").mkdir()
    (tmp_path / "digits" / ".git" / "x.png").write_bytes(b"x")
    told: dict[str, Any] = {"class_names": {"drei ü": "three"}, "templates": ["a {}."]}
    made = client.datasets.upload(tmp_path / "digits", **told)
    assert made.name == "digits"
    assert made.classes == {"drei ü": 4, "one": 4, "two": 4}
    assert (made.class_names["drei ü"], made.templates) == ("three", ["a {}."])
    assert client.datasets.get(made.id) == made


@pytest.mark.parametrize("wrong", ["link", "nothing", "absent"])
def test_a_folder_that_no_archive_can_be_made_of_is_told_before_anything_is_sent(
    client: Client, tmp_path: Path, wrong: str
) -> None:
    before = len(list(client.datasets.list()))
    if wrong != "absent":
        (tmp_path / "set").mkdir()
    if wrong == "link":
        (tmp_path / "set" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(DataError):
        client.datasets.upload(tmp_path / "set")
    assert len(list(client.datasets.list())) == before


def test_the_samples_of_a_data_set_are_listed_seen_and_found_again(site: Site, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for n in range(4):
            (tmp_path / "set" / name / f"{n} ü.png").write_bytes(png(10 * n + (name == "two")))
    with site.client(Scope.READ, Scope.WRITE, Scope.IMAGES) as client:
        made = client.datasets.upload(tmp_path / "set").id
        found = list(client.datasets.samples(made, classes=["two"]))
        assert [sample.id for sample in found] == [f"two/{n} ü.png" for n in range(4)]
        assert client.datasets.thumbnail(made, "two/0 ü.png")[:4] in (b"RIFF", b"\x89PNG")
        [match] = client.datasets.match(made, [tmp_path / "set" / "two" / "3 ü.png"])
        assert [candidate.id for candidate in match.candidates if candidate.exact] == ["two/3 ü.png"]
    with site.client() as blind, pytest.raises(Forbidden):
        blind.datasets.thumbnail(made, "two/0 ü.png")


def test_a_model_is_registered_by_its_tag_and_deleted(client: Client) -> None:
    made = client.models.register(architecture="ViT-B-32", weights="openai")
    assert (made.family, made.architecture, made.weights) == ("open_clip", "ViT-B-32", "openai")
    assert made.id in [model.id for model in client.models.list()]
    client.models.delete(made.id)
    with pytest.raises(NotFound):
        client.models.get(made.id)


def test_a_job_is_judged_submitted_found_cancelled_and_deleted(client: Client, tmp_path: Path) -> None:
    document = spec(client, tmp_path)
    assert client.jobs.dry_run(document).estimate.points == 3
    job = client.jobs.submit(document, idempotency_key="DSR-1")
    assert client.jobs.submit(document, idempotency_key="DSR-1").id == job.id
    assert [one.id for one in client.jobs.list(states=["queued"], metadata={"ticket": "DSR-1"})] == [job.id]
    assert list(client.jobs.list(created_after=job.created_at, states=["failed"])) == []
    with pytest.raises(Conflict) as running:
        client.jobs.delete(job.id)
    assert running.value.type == "job-running"
    assert client.jobs.cancel(job.id).cancel_requested
    assert client.jobs.get(job.id).state == "cancelled"
    assert [event.kind for event in client.jobs.events(job.id)] == [
        "job.queued",
        "job.cancel_requested",
        "job.cancelled",
    ]
    client.jobs.delete(job.id)
    with pytest.raises(Deleted):
        client.jobs.get(job.id)


def test_wrong_fields_are_pointed_at(client: Client, tmp_path: Path) -> None:
    with pytest.raises(WrongRequest) as raised:
        client.jobs.submit(spec(client, tmp_path) | {"scale_search": {"keep": 1.5}})
    assert [error.pointer for error in raised.value.errors] == ["/scale_search/keep"]


def test_the_files_of_a_job_come_down(site: Site, client: Client, tmp_path: Path) -> None:
    files = {"unlearned/open_clip_model.safetensors": b"w" * 3000, "unlearned/open_clip_config.json": b"{}"}
    files |= {"report.html": b"<html>", "a b/ü#?.txt": b"odd"}
    job = site.api.finished_job(files)
    assert {artifact.path for artifact in client.jobs.artifacts(job)} == set(files)
    client.jobs.download_all(job, tmp_path / "all")
    assert {path: (tmp_path / "all" / path).read_bytes() for path in files} == files
    folder = client.jobs.weights(job, tmp_path, format="zip")
    assert folder.name == f"{job}-unlearned.zip"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "config") == ["all", folder.name]


def test_a_key_without_the_scope_and_one_that_is_none_are_told_apart(site: Site) -> None:
    with site.client(Scope.READ) as reading, pytest.raises(Forbidden):
        reading.jobs.submit({})
    with Client(site.url, "nm_0123456789_wrong") as stranger, pytest.raises(Unauthorized):
        next(stranger.jobs.list())


def test_another_tenants_job_is_not_there(site: Site, client: Client, tmp_path: Path) -> None:
    job = client.jobs.submit(spec(client, tmp_path))
    with site.client(tenant="other") as other:
        assert list(other.jobs.list()) == []
        for look in (other.jobs.get, other.jobs.cancel, other.jobs.delete, other.jobs.result, other.jobs.artifacts):
            with pytest.raises(NotFound):
                look(job.id)
    client.jobs.cancel(job.id)  # for no worker of another test to find it


def test_the_service_says_what_it_is_and_whether_it_is_ready(client: Client) -> None:
    assert client.meta().name == "negmerge"
    readiness = client.readiness()
    assert readiness.parts["database"] == "ok"
    assert not readiness.ready  # on one machine, a worker belongs to it


def test_awaited_it_is_the_same(site: Site, tmp_path: Path) -> None:
    async def all_of_it() -> list[str]:
        for name in ("one", "two"):
            (tmp_path / "digits" / name).mkdir(parents=True)
            for n in range(4):
                (tmp_path / "digits" / name / f"{n}.png").write_bytes(png(n))
        files = {"report.html": b"r" * 5000}
        job = site.api.finished_job(files)
        async with AsyncClient(site.url, site.key()) as client:
            made, other = await asyncio.gather(
                client.datasets.upload(tmp_path / "digits"), client.datasets.upload(tmp_path / "digits", name="x")
            )
            assert made.classes == other.classes == {"one": 4, "two": 4}
            await client.jobs.download(job, "report.html", tmp_path)
            assert (await client.jobs.wait(job)).id == job
            with pytest.raises(Conflict):
                await client.jobs.cancel(job)
            return [dataset.id async for dataset in client.datasets.list()]

    assert len(asyncio.run(all_of_it())) >= 2
    assert sha256((tmp_path / "report.html").read_bytes()) == sha256(b"r" * 5000)


@pytest.mark.parametrize(
    ("now", "later"),
    [
        (module.Client, module.AsyncClient),
        (module.Datasets, module.AsyncDatasets),
        (module.Models, module.AsyncModels),
        (module.Jobs, module.AsyncJobs),
    ],
)
def test_both_clients_have_the_same_methods_with_the_same_arguments(now: type, later: type) -> None:
    def methods(of: type) -> dict[str, Any]:
        found = inspect.getmembers(of, inspect.isfunction)
        return {name: inspect.signature(method).parameters for name, method in found if not name.startswith("_")}

    assert methods(now) == methods(later)
    assert len(methods(now)) > 2


def test_no_torch_is_loaded() -> None:
    script = "import json, sys, negmerge.client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "httpx" in loaded
    assert loaded.isdisjoint({"torch", "open_clip", "timm", "numpy", "scipy", "PIL", "fastapi", "IPython"})
