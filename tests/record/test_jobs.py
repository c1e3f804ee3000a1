"""A job's life as people see it, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from app.errors import (
    IdempotencyMismatch,
    InternalError,
    JobDeleted,
    JobFinished,
    JobNotFound,
    JobRunning,
    Malformed,
)
from app.record import jobs, steps
from app.record.db import Database
from app.record.leases import Arithmetic, report_progress
from app.record.lifecycle import lock, transition
from app.record.objects import keep
from app.record.progress import Progress, progress
from app.record.states import JobState
from app.record.tables import Artifact, Event, Job, JobMetadata, Partial, Step, StoredObject
from negmerge.spec.job import parse
from tests.support.records import (
    CPU,
    claim,
    event_kinds,
    flush,
    make_finished_job,
    make_job,
    make_spec,
    make_tuning_job,
    make_worker,
    read_job,
    train,
)


def test_a_new_job_is_queued_with_a_step_for_each_point(database: Database) -> None:
    job_id = make_job(database, points=3)
    with database.read() as session:
        job = jobs.get(session, "acme", job_id)
        points = jobs.points(session, job_id)
    assert (job.state, job.points) == (JobState.QUEUED, 3)
    assert [point.hyper_parameters["epochs"] for point in points if point.hyper_parameters] == [1, 2, 3]


def test_the_stored_spec_is_the_spec(database: Database) -> None:
    job_id = make_job(database, metadata={"ticket": "DSR-1"})
    assert parse(read_job(database, job_id).spec).sweep == make_spec().sweep


def test_another_tenants_job_is_not_found(database: Database) -> None:
    job_id = make_job(database, tenant="acme")
    with database.read() as session, pytest.raises(JobNotFound):
        jobs.get(session, "other", job_id)


def test_pages_give_each_job_once_and_the_newest_first(database: Database) -> None:
    made = [make_job(database) for _ in range(5)]
    make_job(database, tenant="other")
    seen: list[str] = []
    cursor = None
    with database.read() as session:
        while True:
            page = jobs.page(session, "acme", cursor=cursor, limit=2)
            seen += [job.id for job in page.jobs]
            cursor = page.next_cursor
            if cursor is None:
                break
    assert seen == made[::-1]


def test_a_full_last_page_has_no_next(database: Database) -> None:
    make_job(database)
    make_job(database)
    with database.read() as session:
        assert jobs.page(session, "acme", limit=2).next_cursor is None


@pytest.mark.parametrize("key", ["ticket", 'a "quoted" key', "a.dotted.key", "it's", "ключ", "$[0]"])
def test_jobs_are_found_by_metadata_whatever_the_key(database: Database, key: str) -> None:
    wanted = make_job(database, metadata={key: "1"})
    make_job(database, metadata={key: "2"})
    make_job(database)
    with database.read() as session:
        assert [job.id for job in jobs.page(session, "acme", metadata={key: "1"}).jobs] == [wanted]


def test_jobs_are_found_by_state_and_time(database: Database) -> None:
    old, new = make_finished_job(database), make_job(database)
    border = read_job(database, new).created_at
    with database.read() as session:
        assert [job.id for job in jobs.page(session, "acme", states=[JobState.SUCCEEDED]).jobs] == [old]
        assert [job.id for job in jobs.page(session, "acme", created_before=border).jobs] == [old]
        after = border - timedelta(microseconds=1)
        assert [job.id for job in jobs.page(session, "acme", created_after=after).jobs] == [new]


def test_a_cursor_that_is_not_ours_is_malformed(database: Database) -> None:
    foreign = make_job(database, tenant="other")
    with database.read() as session:
        for cursor in ("job_none", foreign, ""):
            with pytest.raises(Malformed, match="next_cursor"):
                jobs.page(session, "acme", cursor=cursor)


def test_the_same_request_again_gives_the_same_job(database: Database) -> None:
    with database.write() as session:
        first = jobs.create(session, "acme", "key_1", make_spec(), "default", ("k", "a" * 64))
    with database.write() as session:
        second = jobs.create(session, "acme", "key_1", make_spec(), "default", ("k", "a" * 64))
    assert (first.replayed, second.replayed) == (False, True)
    assert first.job.id == second.job.id


def test_the_same_key_with_another_body_is_refused(database: Database) -> None:
    with database.write() as session:
        jobs.create(session, "acme", "key_1", make_spec(), "default", ("k", "a" * 64))
    with database.write() as session, pytest.raises(IdempotencyMismatch):
        jobs.create(session, "acme", "key_1", make_spec(), "default", ("k", "b" * 64))


def test_another_tenant_may_use_the_same_key(database: Database) -> None:
    for tenant in ("acme", "other"):
        with database.write() as session:
            assert not jobs.create(session, tenant, "key_1", make_spec(), "default", ("k", "a" * 64)).replayed


def test_the_same_request_at_the_same_moment_makes_one_job(database: Database) -> None:
    def post(_: int) -> str:
        with database.write() as session:
            return jobs.create(session, "acme", "key_1", make_spec(), "default", ("k", "a" * 64)).job.id

    with ThreadPoolExecutor(6) as pool:
        made = set(pool.map(post, range(6)))
    with database.read() as session:
        assert {job.id for job in jobs.page(session, "acme").jobs} == made
    assert len(made) == 1


def test_events_are_numbered_without_gaps(database: Database) -> None:
    job_id = make_finished_job(database)
    with database.read() as session:
        numbers = [event.number for event in jobs.events(session, job_id)]
        rest = [event.number for event in jobs.events(session, job_id, after=2, limit=3)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert rest == [3, 4, 5]


def test_events_tell_the_jobs_way(database: Database) -> None:
    kinds = event_kinds(database, make_finished_job(database))
    assert [kind for kind in kinds if kind.startswith("job.")] == [
        "job.queued",
        "job.preparing",
        "job.tuning",
        "job.concluding",
        "job.succeeded",
    ]


def test_a_step_that_the_picture_does_not_have_is_refused(database: Database) -> None:
    job_id = make_job(database)
    with database.write() as session:
        job = lock(session, job_id)
        assert job is not None
        with pytest.raises(InternalError, match="from queued to succeeded"):
            transition(session, job, JobState.SUCCEEDED)


def test_a_queued_job_is_cancelled_at_once(database: Database) -> None:
    job_id = make_job(database)
    with database.write() as session:
        assert jobs.request_cancel(session, "acme", job_id).state == JobState.CANCELLED
    assert read_job(database, job_id).finished_at is not None


def test_a_job_with_a_running_step_is_asked_to_stop(database: Database) -> None:
    job_id = make_job(database)
    claim(database, make_worker())
    with database.write() as session:
        job = jobs.request_cancel(session, "acme", job_id)
    assert job.state == JobState.PREPARING
    assert job.cancel_requested_at is not None


def test_asking_to_cancel_twice_changes_nothing(database: Database) -> None:
    job_id = make_job(database)
    claim(database, make_worker())
    for _ in range(2):
        with database.write() as session:
            jobs.request_cancel(session, "acme", job_id)
    assert event_kinds(database, job_id).count("job.cancel_requested") == 1


def test_an_ended_job_cannot_be_cancelled(database: Database) -> None:
    job_id = make_finished_job(database)
    with database.write() as session, pytest.raises(JobFinished):
        jobs.request_cancel(session, "acme", job_id)


def test_a_running_job_cannot_be_deleted(database: Database) -> None:
    job_id = make_job(database)
    with database.write() as session, pytest.raises(JobRunning):
        jobs.delete_job(session, "acme", job_id)


def test_a_deleted_job_leaves_a_tombstone_without_what_names_people(database: Database) -> None:
    job_id = make_finished_job(database, metadata={"subject": "Jane Doe"})
    before = read_job(database, job_id)
    with database.write() as session:
        jobs.delete_job(session, "acme", job_id)
    after = read_job(database, job_id)
    assert (after.spec, after.meta) == ({}, {})
    assert (after.state, after.finished_at, after.spec_sha256, after.digests) == (
        before.state,
        before.finished_at,
        before.spec_sha256,
        before.digests,
    )
    with database.read() as session:
        for table in (Step, Event, Artifact, Partial, JobMetadata):
            assert session.scalar(select(func.count()).select_from(table)) == 0
        assert session.scalar(select(func.count()).where(StoredObject.kept)) == 0


def test_a_deleted_job_is_gone_and_not_listed(database: Database) -> None:
    job_id = make_finished_job(database)
    with database.write() as session:
        jobs.delete_job(session, "acme", job_id)
    with database.write() as session:
        assert jobs.page(session, "acme").jobs == []
        for action in (jobs.get, jobs.delete_job, jobs.request_cancel):
            with pytest.raises(JobDeleted):
                action(session, "acme", job_id)


def test_when_a_job_succeeds_only_its_artifacts_are_kept(database: Database) -> None:
    job_id = make_finished_job(database)
    with database.read() as session:
        kept = set(session.scalars(select(StoredObject.key).where(StoredObject.kept)))
        assert kept == set(session.scalars(select(Artifact.key).where(Artifact.job_id == job_id)))


def test_keeping_an_object_that_was_never_recorded_is_a_mistake(database: Database) -> None:
    with database.write() as session, pytest.raises(InternalError, match="register"):
        keep(session, ["nowhere"])


def test_a_data_set_is_in_use_until_its_jobs_have_ended(database: Database) -> None:
    job_id = make_job(database)
    with database.read() as session:
        assert jobs.using(session, "acme", "ds_1") == [job_id]
        assert jobs.using(session, "acme", "mdl_1") == [job_id]
        assert jobs.using(session, "acme", "ds_2") == []
        assert jobs.using(session, "other", "ds_1") == []
    with database.write() as session:
        jobs.request_cancel(session, "acme", job_id)
        assert jobs.using(session, "acme", "ds_1") == []


def progress_of(session: Session, job_id: str) -> Progress:
    return progress(session, [session.get_one(Job, job_id)])[job_id]


def test_the_queue_position_counts_the_older_jobs_of_the_queue(database: Database) -> None:
    first, second = make_job(database), make_job(database)
    elsewhere = make_job(database, queue="big")
    with database.read() as session:
        places = [progress_of(session, i).queue_position for i in (first, second, elsewhere)]
    assert places == [1, 2, 1]


def test_progress_counts_the_points_by_what_became_of_them(database: Database) -> None:
    job_id = make_tuning_job(database, points=4)
    worker = make_worker()
    folded, trained, _running = (claim(database, worker) for _ in range(3))
    train(database, folded)
    flush(database, [folded], "p")
    train(database, trained)
    with database.read() as session:
        found = progress_of(session, job_id)
    counts = {"total": 4, "open": 1, "running": 1, "trained": 1, "folded": 1, "diverged": 0}
    assert found.points == counts
    assert found.running == [{"kind": "point", "index": 2}]
    assert found.fraction == 0.5  # prepare and two of four points, of six steps


def test_progress_says_how_many_living_workers_could_go_on(database: Database) -> None:
    job_id = make_tuning_job(database)
    able, other = make_worker(CPU), make_worker(Arithmetic("cuda", 1))
    with database.write() as session:
        for worker in (able, other, make_worker(CPU, queue="elsewhere")):
            steps.seen(session, worker)
    with database.read() as session:
        assert progress_of(session, job_id).workers == 1


def statements(database: Database, job_ids: list[str]) -> tuple[int, dict[str, Progress]]:
    """How many statements the progress of these jobs takes, and what it is."""
    with database.read() as session:
        jobs = [session.get_one(Job, job_id) for job_id in job_ids]
        sent: list[str] = []
        event.listen(session.connection(), "before_cursor_execute", lambda *given: sent.append(given[2]))
        found = progress(session, jobs)
        return len(sent), found


def test_the_progress_of_a_page_of_jobs_takes_as_many_queries_as_that_of_one(database: Database) -> None:
    worker = make_worker()
    job_ids = [make_tuning_job(database, points=3)]
    folded, trained, running = (claim(database, worker) for _ in range(3))
    train(database, folded)
    flush(database, [folded], "p")
    train(database, trained)
    with database.write() as session:
        report_progress(session, running, 1, 4, 0.5)
    job_ids += [make_job(database, points=points) for points in (1, 2, 300)]

    alone = [statements(database, [job_id]) for job_id in job_ids]
    number, together = statements(database, job_ids)
    assert together == {job_id: found[job_id] for job_id, (_, found) in zip(job_ids, alone, strict=True)}
    assert together[job_ids[0]].fraction == 0.65  # prepare, two points and a quarter of the third, of five steps
    assert number == max(count for count, _ in alone) == 4  # steps, the clock, workers, places
