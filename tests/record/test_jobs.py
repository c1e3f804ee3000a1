"""A job's life as people see it, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.auth import create_key
from app.errors import (
    IdempotencyMismatch,
    InternalError,
    JobDeleted,
    JobFinished,
    JobNotFound,
    JobRunning,
    Malformed,
)
from app.record import jobs
from app.record.asked import asked
from app.record.db import Database, now
from app.record.lifecycle import lock, transition
from app.record.objects import keep
from app.record.states import JobState, StepKind
from app.record.tables import Artifact, Event, JobMetadata, Model, Partial, Step, StoredObject
from negmerge.spec.job import parse
from negmerge.spec.result import Named
from tests.support.records import (
    VERDICT,
    claim,
    event_kinds,
    make_finished_job,
    make_job,
    make_spec,
    make_worker,
    read_job,
)


def test_a_new_job_is_queued_with_a_step_for_each_point(database: Database) -> None:
    job_id = make_job(database, points=3)
    with database.read() as session:
        job = jobs.get(session, "acme", job_id)
        points = jobs.points(session, job_id)
    assert (job.state, job.points) == (JobState.QUEUED, 3)
    assert [point.hyper_parameters["epochs"] for point in points if point.hyper_parameters] == [1, 2, 3]


def test_a_new_job_has_every_point_and_every_rival_in_each_repeat(database: Database) -> None:
    classifier = {"family": "timm", "weights": "mdl_1"}
    job_id = make_job(database, points=2, repeats=2, base_model=classifier, compare=["retrain", "fine_tune"])
    with database.read() as session:
        wanted = select(Step.rival, Step.repeat).where(Step.job_id == job_id).order_by(Step.index)
        points, rivals, others = (
            [tuple(row) for row in session.execute(wanted.where(Step.kind.in_(kinds)))]
            for kinds in ([StepKind.POINT], [StepKind.RIVAL], [StepKind.PREPARE, StepKind.CONCLUDE])
        )
    assert points == [(None, 0), (None, 0), (None, 1), (None, 1)]
    assert rivals == [("retrain", 0), ("fine_tune", 0), ("retrain", 1), ("fine_tune", 1)]
    assert others == [(None, 0), (None, 0)]


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


@pytest.mark.slow
@pytest.mark.parametrize("key", ["ticket", 'a "quoted" key', "a.dotted.key", "it's", "ключ", "$[0]"])
def test_jobs_are_found_by_metadata_whatever_the_key(database: Database, key: str) -> None:
    wanted = make_job(database, metadata={key: "1"})
    make_job(database, metadata={key: "2"})
    make_job(database)
    with database.read() as session:
        assert [job.id for job in jobs.page(session, "acme", metadata={key: "1"}).jobs] == [wanted]


@pytest.mark.slow
def test_jobs_are_found_by_state_and_time(database: Database) -> None:
    old, new = make_finished_job(database), make_job(database)
    border = read_job(database, new).created_at
    with database.read() as session:
        assert [job.id for job in jobs.page(session, "acme", states=[JobState.SUCCEEDED]).jobs] == [old]
        assert [job.id for job in jobs.page(session, "acme", created_before=border).jobs] == [old]
        after = border - timedelta(microseconds=1)
        assert [job.id for job in jobs.page(session, "acme", created_after=after).jobs] == [new]


def test_jobs_are_found_by_outcome(database: Database) -> None:
    done = make_finished_job(database)
    make_job(database)
    with database.read() as session:
        assert [job.id for job in jobs.page(session, "acme", outcomes=["unlearned"]).jobs] == [done]
        assert jobs.page(session, "acme", outcomes=["below_target", "nothing_unlearned"]).jobs == []


def test_a_finished_job_says_what_became_of_it_in_its_row_and_its_last_event(database: Database) -> None:
    job_id = make_finished_job(database)
    row = read_job(database, job_id)
    assert (row.outcome, row.outcome_reason) == (VERDICT.outcome, VERDICT.reason)
    with database.read() as session:
        last = jobs.events(session, job_id)[-1]
    assert (last.kind, last.data) == ("job.succeeded", {"outcome": "unlearned"})


def test_who_asked_is_told_by_the_names_of_key_and_parts(database: Database) -> None:
    with database.write() as session:
        key, _ = create_key(session, "compliance", tenant="acme")
        session.flush()
        job = jobs.create(
            session, "acme", key.id, make_spec(retain={"uri": "https://example.org/control.zip?token=1"}), "default"
        ).job
        told = asked(session, job)
    assert told.by == Named(id=key.id, name="compliance")
    assert (told.forget, told.retain) == (Named(id="ds_1", name="ds_1"), Named(name="control.zip"))
    assert told.at == job.created_at


def test_a_base_model_of_a_hub_is_told_by_its_commit_registered_or_not(database: Database) -> None:
    commit = f"acme/net@{'a' * 40}"
    with database.write() as session:
        rows = {"id": "mdl_1", "tenant": "acme", "name": "net", "family": "timm", "uri": f"hf-hub:{commit}"}
        session.add(Model(**rows, created_at=now(session)))
        for weights, expected in (("mdl_1", commit), (f"hf-hub:{commit}", commit), ("mdl_2", None)):
            spec = make_spec(base_model={"family": "timm", "weights": weights})
            assert asked(session, jobs.create(session, "acme", "key_1", spec, "default").job).hub == expected


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
