"""What one job made of a data set, another finds: on this machine, on another, and never once the data set is gone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import obstore
import pytest
import torch

from app.intake.registration import DatasetIn, Registrar
from app.record import catalog, decoded, jobs, tables
from app.record.leases import Claim, LostClaim
from app.settings import Settings
from app.store import garbage
from negmerge.evaluation.metrics import Evaluation, evaluate
from negmerge.evaluation.prepared import Prepared
from negmerge.progress import ignore
from tests.support import pico, records
from tests.support.service import CALLER, Service, uploaded
from tests.support.worker_contexts import worker_context
from worker import resolve
from worker.context import WorkerContext
from worker.loaded_job import LoadedJob, load_job
from worker.prepare import prepare_step

PARTS = 6
"""Of both sides: each has samples in all three parts."""


class Place:
    """A record and a store with a model and a data set, and workers of two machines."""

    def __init__(self, service: Service, machines: list[WorkerContext]) -> None:
        self.service = service
        self.here, self.there = machines

    def prepares(self, machine: WorkerContext, **spec: Any) -> tuple[str, LoadedJob]:
        """A new job, prepared by a worker of the machine; its id."""
        job_id = self.service.submit(points=1, **spec)
        claims = [self.claim(machine)]
        while claims[-1].job_id != job_id:  # points of the jobs before
            claims.append(self.claim(machine))
        loaded = prepare_step(machine, claims[-1], ignore)
        records.give_back(self.service.database, claims[:-1])
        return job_id, loaded

    def claim(self, machine: WorkerContext) -> Claim:
        return records.claim(self.service.database, machine.worker, 600.0)

    def cancel(self, job_id: str) -> None:
        """End a job that nobody works on."""
        with self.service.database.write() as session:
            jobs.request_cancel(session, CALLER.tenant, job_id)

    def kept(self, dataset_id: str) -> set[str]:
        with self.service.database.read() as session:
            return decoded.keys(session, [dataset_id])

    def stored(self, prefix: str) -> list[str]:
        """Keys in the store, whether or not the record knows of them."""
        listed = obstore.list(self.service.store._objects, prefix)
        return [str(found["path"]) for page in listed for found in page]

    def collect(self) -> None:
        garbage.collect(self.service.database, self.service.store, 0.0, 1000)

    def delete_dataset(self, dataset_id: str) -> None:
        with self.service.database.write() as session:
            catalog.delete(session, tables.Dataset, CALLER.tenant, dataset_id)

    def expire(self, seconds: float) -> int:
        with self.service.database.write() as session:
            return decoded.expire(session, seconds)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    with ExitStack() as stack:

        def place(**changes: Any) -> Place:
            settings = Settings(data_dir=tmp_path / "here", threads=1, allowed_roots=[tmp_path], **changes)
            service = Service(settings, tmp_path / "files")
            stack.callback(service.close)
            elsewhere = settings.model_copy(update={"data_dir": tmp_path / "there"})
            machines = [
                stack.enter_context(worker_context(one, tmp_path / name / "scratch"))
                for name, one in (("here", settings), ("there", elsewhere))
            ]
            return Place(service, machines)

        yield place


@pytest.fixture
def place(make: Callable[..., Place]) -> Place:
    return make()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each part on which a base model is measured."""
    calls: list[str] = []

    def counting(*arguments: Any) -> Evaluation:
        calls.append("a part")
        return evaluate(*arguments)

    monkeypatch.setattr("negmerge.pipeline.kept.evaluate", counting)
    return calls


def assert_same(one: Prepared, other: Prepared) -> None:
    assert one.base == other.base
    for name, side in one.sides.items():
        there = other.sides[name]
        assert (side.classes, torch.equal(side.head, there.head)) == (there.classes, True)
        for part, samples in side.parts.items():
            again = there.parts[part]
            assert (samples.ids, torch.equal(samples.labels, again.labels)) == (again.ids, True)
            assert torch.equal(samples.images, again.images)


@pytest.mark.parametrize("machine", ["here", "there"])
def test_a_second_job_decodes_nothing_and_measures_nothing(place: Place, measured: list[str], machine: str) -> None:
    """The archive is gone by then: from the store, and from the cache."""
    _, first = place.prepares(place.here)
    assert len(measured) == PARTS
    place.service.store.delete([f"datasets/{place.service.dataset_id}/archive"])
    (place.here.cache / "datasets" / place.service.dataset_id).unlink()
    _, second = place.prepares(getattr(place, machine))
    assert len(measured) == PARTS
    assert_same(first.prepared, second.prepared)


def test_another_selection_takes_the_parts_that_are_the_same(place: Place, measured: list[str]) -> None:
    control = {"retain": {"dataset": place.service.dataset_id, "select": {"classes": ["zero", "one"]}}}
    place.prepares(place.here, **control)
    before = len(place.kept(place.service.dataset_id))
    place.prepares(place.here, forget={"dataset": place.service.dataset_id, "select": {"classes": ["four"]}}, **control)
    assert len(measured) == PARTS + 3
    assert len(place.kept(place.service.dataset_id)) == before + 6  # three parts of the forget set, and their figures


def test_a_worker_that_goes_on_with_a_job_has_what_the_first_one_prepared(place: Place) -> None:
    _, prepared = place.prepares(place.here)
    loaded = load_job(place.there, place.claim(place.there), ignore)
    assert_same(prepared.prepared, loaded.prepared)


@pytest.mark.parametrize("changes", [{}, {"decoded_hours": 0}], ids=["of a path", "of an upload, keeping nothing"])
def test_what_is_the_jobs_alone_is_shared_with_its_workers_and_goes_with_it(
    make: Callable[..., Place], changes: dict[str, Any], tmp_path: Path
) -> None:
    place = make(**changes)
    spec: dict[str, Any] = {}
    if not changes:
        archive = f"file://{pico.make_archive(tmp_path / 'digits.zip')}"
        spec = {"forget": {"uri": archive, "select": {"classes": ["three"]}}, "retain": {"uri": archive}}
    job_id, prepared = place.prepares(place.here, **spec)
    claim = place.claim(place.there)
    assert_same(prepared.prepared, load_job(place.there, claim, ignore).prepared)
    assert place.kept(place.service.dataset_id) == set()
    records.give_back(place.service.database, [claim])
    place.cancel(job_id)
    place.collect()
    assert place.stored(f"jobs/{job_id}/") == []
    for machine in (place.here, place.there):
        resolve.tidy(place.service.database, machine.cache)
        assert list((machine.cache / "decoded").iterdir()) == []


def test_a_deleted_data_set_leaves_nothing_in_the_store_and_in_no_cache(place: Place) -> None:
    dataset_id = place.service.dataset_id
    for machine in (place.here, place.there):
        job_id, _ = place.prepares(machine)
        place.cancel(job_id)
    assert any("/decoded/" in key for key in place.stored(f"datasets/{dataset_id}/"))
    place.delete_dataset(dataset_id)
    place.collect()
    assert place.stored(f"datasets/{dataset_id}/") == []
    for machine in (place.here, place.there):
        assert (machine.cache / "decoded" / dataset_id).is_dir()
        resolve.tidy(place.service.database, machine.cache)
        assert list(machine.cache.rglob(f"*{dataset_id}*")) == []


def test_data_sets_of_the_same_bytes_share_nothing(place: Place, measured: list[str], tmp_path: Path) -> None:
    """So another tenant's is never found, and one that is deleted takes nothing from the other."""
    registrar = Registrar(place.service.settings, place.service.database, place.service.store)
    given = DatasetIn(name="digits", class_names=pico.CLASS_WORDS, templates=pico.TEMPLATES)
    same = registrar.upload_dataset(CALLER, uploaded(pico.make_archive(tmp_path / "same.zip")), given).id
    place.prepares(place.here)
    place.prepares(place.here, forget={"dataset": same, "select": {"classes": ["three"]}}, retain={"dataset": same})
    assert len(measured) == 2 * PARTS
    assert all(f"/{same}/" in key for key in place.kept(same))


def test_a_damaged_file_of_the_cache_is_fetched_again(place: Place, measured: list[str]) -> None:
    _, first = place.prepares(place.here)
    for path in (place.here.cache / "decoded" / place.service.dataset_id).iterdir():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.unlink()  # the first job's pixels are pages of it
        path.write_bytes(content)
    _, second = place.prepares(place.here)
    assert len(measured) == PARTS
    assert_same(first.prepared, second.prepared)


def test_what_is_damaged_in_the_store_is_made_anew(place: Place, measured: list[str], tmp_path: Path) -> None:
    _, first = place.prepares(place.here)
    damaged = place.kept(place.service.dataset_id)
    (tmp_path / "other").write_bytes(b"other bytes")
    for key in damaged:
        place.service.store.put_file(key, tmp_path / "other")
    _, second = place.prepares(place.there)
    assert len(measured) == 2 * PARTS
    assert place.kept(place.service.dataset_id).isdisjoint(damaged)
    assert_same(first.prepared, second.prepared)


def test_what_no_job_used_for_long_goes_unless_one_that_runs_needs_its_data_set(place: Place) -> None:
    job_id, _ = place.prepares(place.here)
    dataset_id = place.service.dataset_id
    count = len(place.kept(dataset_id))
    assert place.expire(3600.0) == 0
    assert place.expire(0.0) == 0  # the job runs
    place.cancel(job_id)
    assert place.expire(3600.0) == 0
    assert place.expire(0.0) == count
    place.collect()
    assert not any("/decoded/" in key for key in place.stored(f"datasets/{dataset_id}/"))
    resolve.tidy(place.service.database, place.here.cache)
    assert list((place.here.cache / "decoded" / dataset_id).iterdir()) == []


def test_a_worker_that_lost_its_claim_leaves_nothing(place: Place) -> None:
    """It was paused while it decoded: what it has put is nobody's."""
    job_id = place.service.submit(points=1)
    claim = records.claim(place.service.database, place.here.worker, records.SHORT)
    records.let_the_lease_end()
    with pytest.raises(LostClaim):
        prepare_step(place.here, claim, ignore)
    place.collect()
    assert place.kept(place.service.dataset_id) == set()
    assert not any("/decoded/" in key for key in place.stored(f"datasets/{place.service.dataset_id}/"))
    assert place.stored(f"jobs/{job_id}/") == []
