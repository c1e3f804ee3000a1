"""A job from another's accumulators in the record: what stays for it, who may go, what conclude gets."""

from typing import Any

import pytest
from sqlalchemy import select

from app.errors import InUse, JobDeleted
from app.record import jobs, steps
from app.record.db import Database
from app.record.objects import ArtifactFile
from app.record.states import JobState, StepKind
from app.record.steps import CommittedPartial
from app.record.tables import Partial, StoredObject
from negmerge.spec.precision import FLOAT32, Trained
from tests.support import records

DIGESTS = {"base": "sha256:0", "unlearned": "sha256:1"}


def finished(database: Database, kept: int = 1, trained: Trained = FLOAT32) -> str:
    """A job whose points two workers folded, and which keeps so many partials of its own."""
    job_id = records.make_job_in(database, trained)
    records.fold(database, records.make_worker())
    held = records.claim(database, records.make_worker())
    with database.write() as session:
        key = records.register(session, held, "result.json")
        file = ArtifactFile("result.json", key, 2, "0" * 64, "application/json")
        names = [records.register(session, held, f"accumulators-{number}") for number in range(kept)]
        partials = [CommittedPartial(0, name, [0, 1, 2]) for name in names]
        steps.finish_conclude(session, held, key, [file], DIGESTS, records.VERDICT, partials)
    return job_id


def derived(database: Database, first: str, **changes: Any) -> str:
    return records.make_job(database, from_job=first, **changes)


def kept_keys(database: Database, job_id: str) -> list[str]:
    """The last parts of the keys that stay of a job."""
    with database.read() as session:
        rows = select(StoredObject.key).where(StoredObject.job_id == job_id, StoredObject.kept)
        return sorted(key.rpartition("/")[2] for key in session.scalars(rows))


def test_what_conclude_keeps_takes_the_place_of_what_the_workers_left(database: Database) -> None:
    job_id = finished(database)
    assert kept_keys(database, job_id) == ["accumulators-0", "result.json"]
    with database.read() as session:
        assert jobs.has_accumulators(session, job_id)
        [row] = session.scalars(select(Partial).where(Partial.job_id == job_id))
        assert row.points == [0, 1, 2]


def test_a_workers_own_partial_may_stay_as_it_is(database: Database) -> None:
    job_id = records.make_tuning_job(database)
    records.fold(database, records.make_worker())
    held = records.claim(database, records.make_worker())
    with database.write() as session:
        key = records.register(session, held, "result.json")
        file = ArtifactFile("result.json", key, 2, "0" * 64, "application/json")
        partials = steps.conclude_inputs(session, held).partials
        steps.finish_conclude(session, held, key, [file], DIGESTS, records.VERDICT, partials)
    with database.read() as session:
        assert [row.key for row in session.scalars(select(Partial))] == [partial.key for partial in partials]
        assert jobs.has_accumulators(session, job_id)


def test_a_job_of_a_version_that_kept_nothing_has_no_accumulators(database: Database) -> None:
    job_id = finished(database, kept=0)
    with database.read() as session:
        assert not jobs.has_accumulators(session, job_id)


def test_a_job_that_is_cancelled_keeps_no_partial(database: Database) -> None:
    job_id = records.make_tuning_job(database)
    records.fold(database, records.make_worker())
    with database.write() as session:
        jobs.request_cancel(session, "acme", job_id)
    assert kept_keys(database, job_id) == []


def test_a_job_from_another_has_no_points_and_gets_the_others(database: Database) -> None:
    first = finished(database)
    job_id = derived(database, first)
    worker = records.make_worker()
    records.finish_prepare(database, records.claim(database, worker))
    held = records.claim(database, worker)
    assert (held.job_id, held.kind) == (job_id, StepKind.CONCLUDE)
    with database.write() as session:
        inputs = steps.conclude_inputs(session, held)
    assert inputs.origin is not None
    assert (inputs.origin.job_id, inputs.origin.base) == (first, "sha256:0")
    assert [row.index for row in inputs.points] == [0, 1, 2]
    assert [partial.points for partial in inputs.partials] == [[0, 1, 2]]
    assert records.read_job(database, job_id).points == 0


def test_a_job_from_another_was_trained_as_that_one(database: Database) -> None:
    first = finished(database, trained=Trained("bfloat16", "emulated"))
    derived(database, first)
    worker = records.make_worker()
    records.finish_prepare(database, records.claim(database, worker), trained=FLOAT32)
    assert records.claim(database, worker).trained == Trained("bfloat16", "emulated")


def test_the_first_job_stays_while_a_job_from_it_has_not_ended(database: Database) -> None:
    first = finished(database)
    job_id = derived(database, first)
    with database.write() as session, pytest.raises(InUse, match=job_id):
        jobs.delete_job(session, "acme", first)
    with database.write() as session:
        jobs.request_cancel(session, "acme", job_id)
        jobs.delete_job(session, "acme", first)
    assert kept_keys(database, first) == []


def test_there_is_no_job_from_one_that_was_deleted(database: Database) -> None:
    first = finished(database)
    with database.write() as session:
        jobs.delete_job(session, "acme", first)
    with pytest.raises(JobDeleted):
        derived(database, first)
    with database.read() as session:
        assert [job.id for job in jobs.page(session, "acme").jobs] == []


def test_what_a_job_from_another_keeps_is_its_own_files(database: Database) -> None:
    first = finished(database)
    job_id = derived(database, first)
    worker = records.make_worker()
    records.finish_prepare(database, records.claim(database, worker))
    records.conclude(database, records.claim(database, worker))
    assert records.read_job(database, job_id).state == JobState.SUCCEEDED
    assert kept_keys(database, job_id) == ["result.json"]
    assert kept_keys(database, first) == ["accumulators-0", "result.json"]
