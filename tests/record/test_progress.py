"""How far jobs are, on both databases: against a count of each job's own rows, and by few statements."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from app.record import jobs, reopening, steps
from app.record.db import Database
from app.record.leases import Arithmetic, Claim, report_progress
from app.record.progress import progress, queue_positions
from app.record.tables import Job, Step
from negmerge.spec.job_resources import Progress
from negmerge.spec.precision import Trained
from tests.support.records import (
    CAUSE,
    CPU,
    cancel,
    claim,
    flush,
    make_finished_job,
    make_job,
    make_job_in,
    make_tuning_job,
    make_worker,
    train,
)
from tests.support.statements import counted_statements


def progress_of(database: Database, job_id: str) -> Progress:
    with database.read() as session:
        return progress(session, [session.get_one(Job, job_id)])[job_id]


def report(database: Database, held: Claim, step: int, total: int) -> None:
    with database.write() as session:
        report_progress(session, held, step, total, 0.5)


def diverge(database: Database, held: Claim) -> None:
    with database.write() as session:
        steps.diverge_point(session, held, CAUSE)


def make_busy_job(database: Database) -> str:
    """A job with a point in every state, and three that run: one has told nothing yet, one is nearly done."""
    job_id = make_tuning_job(database, points=9)
    worker = make_worker()
    folded, first, trained, diverged, silent, again, last = (claim(database, worker) for _ in range(7))
    for held in (folded, again):
        train(database, held)
    flush(database, [folded, again], f"of {job_id}")
    train(database, trained)
    diverge(database, diverged)
    report(database, first, 1, 3)
    report(database, last, 59, 60)
    assert silent.index == 4
    return job_id


def slow_progress(job: Job, rows: list[Step], workers: int) -> dict[str, Any]:
    """One job's rows, counted one after another in the order of their kinds and indices."""
    points = dict.fromkeys(("total", "open", "running", "trained", "folded", "diverged"), 0)
    running, done = [], 0.0
    for row in sorted(rows, key=lambda row: (row.kind, row.index)):
        if row.state == "claimed" and row.outcome is None:
            name = "running"
            running.append({"kind": row.kind, "index": row.index} | (row.progress or {}))
            done += row.progress["step"] / row.progress["total"] if row.progress else 0
        else:
            name = "trained" if row.state == "claimed" else row.state
            done += name != "open"
        if row.kind == "point":
            points[name] += 1
            points["total"] += 1
    fraction = 1.0 if job.state == "succeeded" else round(done / len(rows), 4)
    return {"fraction": fraction, "points": points, "running": running, "waiting": [], "workers": workers}


# One job


@pytest.mark.slow
def test_progress_counts_the_points_by_what_became_of_them(database: Database) -> None:
    found = progress_of(database, make_busy_job(database))
    counts = {"total": 9, "open": 2, "running": 3, "trained": 1, "folded": 2, "diverged": 1}
    assert found.points.model_dump() == counts


@pytest.mark.slow
def test_a_running_step_says_where_it_stands_once_it_has_told(database: Database) -> None:
    found = progress_of(database, make_busy_job(database)).model_dump(mode="json")
    assert found["running"] == [
        {"kind": "point", "index": 1, "step": 1, "total": 3, "loss": 0.5},
        {"kind": "point", "index": 4},
        {"kind": "point", "index": 6, "step": 59, "total": 60, "loss": 0.5},
    ]


@pytest.mark.slow
def test_the_fraction_is_of_all_steps_and_counts_what_runs_by_its_share(database: Database) -> None:
    found = progress_of(database, make_busy_job(database))
    assert found.fraction == 0.5742  # prepare, four points, a third and 59 sixtieths of two more, of eleven steps


@pytest.mark.parametrize(("folded", "shares", "fraction"), [(0, (2, 11), 0.2062), (1, (1, 2), 0.2688)])
def test_shares_are_added_in_the_order_of_the_steps(
    database: Database, folded: int, shares: tuple[int, int], fraction: float
) -> None:
    """1.65 and 2.15 of eight steps are halfway between two fourth decimals: which it is, the order of a sum decides.

    0.1 + 0.55 + 1 is a hair below 1.65, unlike 1 + 0.1 + 0.55; and 1 + 0.05 + 0.1 + 1 is above 0.05 + 0.1 + 1 + 1.
    """
    job_id = make_tuning_job(database, points=6)
    worker = make_worker()
    for _ in range(folded):
        held = claim(database, worker)
        train(database, held)
        flush(database, [held], "p")
    for step in shares:
        report(database, claim(database, worker), step, 20)
    assert progress_of(database, job_id).fraction == fraction


def test_an_untouched_job_has_done_nothing(database: Database) -> None:
    found = progress_of(database, make_job(database))
    assert (found.fraction, found.running, found.points.open) == (0.0, [], 3)


def test_a_job_that_succeeded_is_done(database: Database) -> None:
    assert progress_of(database, make_finished_job(database)).fraction == 1.0


def test_progress_says_how_many_living_workers_could_go_on(database: Database) -> None:
    job_id = make_tuning_job(database)
    able, other = make_worker(CPU), make_worker(Arithmetic("cuda", 1))
    with database.write() as session:
        for worker in (able, other, make_worker(CPU, queue="elsewhere")):
            reopening.seen(session, worker)
    assert progress_of(database, job_id).workers == 1


def test_a_worker_that_computes_bfloat16_otherwise_cannot_go_on_with_a_job_in_it(database: Database) -> None:
    job_id = make_job_in(database, Trained("bfloat16", "amx"))
    with database.write() as session:
        for by in ("amx", "avx512", "emulated"):
            reopening.seen(session, make_worker(replace(CPU, bfloat16_by=by)))
    assert progress_of(database, job_id).workers == 1


def test_any_living_worker_of_its_queue_could_prepare_a_job(database: Database) -> None:
    job_id = make_job(database)
    with database.write() as session:
        for worker in (make_worker(CPU), make_worker(Arithmetic("cuda", 1)), make_worker(CPU, queue="elsewhere")):
            reopening.seen(session, worker)
    assert progress_of(database, job_id).workers == 2


def test_the_queue_position_counts_the_older_jobs_of_the_queue(database: Database) -> None:
    tuning, first, second = make_tuning_job(database), make_job(database), make_job(database)
    elsewhere = make_job(database, queue="big")
    with database.read() as session:
        rows = [session.get_one(Job, job_id) for job_id in (tuning, first, second, elsewhere)]
        assert queue_positions(session, rows) == {first: 1, second: 2, elsewhere: 1}
        assert queue_positions(session, rows[2:3]) == {second: 2}


def test_the_queue_position_counts_the_tenants_own_jobs_alone(database: Database) -> None:
    make_job(database, tenant="other")
    mine = make_job(database)
    with database.read() as session:
        assert queue_positions(session, [session.get_one(Job, mine)]) == {mine: 1}


# A page of jobs


def make_jobs_in_every_state(database: Database) -> list[str]:
    """Jobs, oldest first: being prepared, succeeded, cancelled, failed, all claimed, busy, and two that are queued."""
    preparing = make_job(database)
    claim(database, make_worker())
    succeeded, cancelled = make_finished_job(database), make_tuning_job(database)
    cancel(database, cancelled)
    failed = make_tuning_job(database, sweep={"grid": {"epochs": [1, 2]}, "on_diverged": "fail"})
    diverge(database, claim(database, make_worker()))
    claimed = make_tuning_job(database, points=1)
    report(database, claim(database, make_worker()), 3, 7)
    with database.write() as session:
        for worker in (make_worker(CPU), make_worker(Arithmetic("cuda", 1))):
            reopening.seen(session, worker)
    ended = [succeeded, cancelled, failed]
    return [preparing, *ended, claimed, make_busy_job(database), make_job(database), make_job(database)]


@pytest.mark.slow
def test_of_a_page_each_job_has_what_a_count_of_its_own_rows_says(database: Database) -> None:
    made = make_jobs_in_every_state(database)
    with database.read() as session:
        page = jobs.page(session, "acme").jobs
        found = progress(session, page)
        rows = {job.id: list(session.scalars(select(Step).where(Step.job_id == job.id))) for job in page}
    workers = {job.id: 1 if job.device else 2 for job in page}  # one of the two computes as the prepared jobs do
    assert sorted(found) == sorted(made)
    for job in page:
        assert found[job.id].model_dump(mode="json") == slow_progress(job, rows[job.id], workers[job.id])


@pytest.mark.slow
def test_of_a_page_each_job_has_what_it_has_alone(database: Database) -> None:
    make_jobs_in_every_state(database)
    with database.read() as session:
        page = jobs.page(session, "acme").jobs
        alone = {job.id: progress(session, [job])[job.id] for job in page}
        assert progress(session, page) == alone


@pytest.mark.slow
def test_of_a_page_each_queued_job_has_the_place_that_it_has_alone(database: Database) -> None:
    *_, first, second = make_jobs_in_every_state(database)
    with database.read() as session:
        page = jobs.page(session, "acme").jobs
        alone = {job.id: queue_positions(session, [job]).get(job.id) for job in page}
        assert queue_positions(session, page) == {first: 1, second: 2}
    assert {job_id: place for job_id, place in alone.items() if place} == {first: 1, second: 2}


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 30])
def test_a_page_of_jobs_takes_two_statements_for_all_their_steps(database: Database, number: int) -> None:
    for _ in range(number):
        make_job(database)
    with database.read() as session:
        page = jobs.page(session, "acme", limit=number).jobs
        with counted_statements() as asked:
            progress(session, page)
            queue_positions(session, page)
    assert len(page) == number
    assert len([statement for statement in asked if "FROM steps" in statement]) == 2
    assert len(asked) == 5  # steps, those that wait, the clock, workers, the queue
