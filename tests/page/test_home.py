"""The list of jobs: what it says of each, what is found in it, and that nobody sees another tenant's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.page.status import Status, seconds_left, status
from app.record import jobs, reopening
from app.record.db import Database
from app.record.progress import living_workers
from app.record.states import JobState, StepKind
from app.record.tables import Job
from negmerge.spec.job_resources import PointCounts, Progress, RunningStep, WaitingStep
from tests.support import records

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
RUNNING = [RunningStep(kind=StepKind.POINT, index=4, step=1, total=2, loss=None)]
SELECT_OTHERS: dict[str, Any] = {
    "forget": {"dataset": "ds_2", "select": {"classes": ["cat %_", "hund"]}},
    "retain": {"dataset": "ds_3"},
}


def job(state: JobState, **changes: Any) -> Job:
    return Job(id="job_1", state=state, started_at=NOW - timedelta(seconds=60), **changes)


def progress(**changes: Any) -> Progress:
    whole = {"fraction": 0.25, "points": PointCounts(total=12), "running": [], "waiting": [], "workers": 1}
    return Progress(**(whole | changes))


def told(row: Job, place: int | None = None, **changes: Any) -> Status:
    return status(row, progress(**changes), place, NOW)


@pytest.mark.parametrize(
    ("outcome", "label"),
    [("unlearned", "Unlearned"), ("below_target", "Below target"), ("nothing_unlearned", "Nothing unlearned")],
)
def test_a_job_that_ran_to_its_end_is_called_by_its_outcome_and_says_why(outcome: str, label: str) -> None:
    found = told(job(JobState.SUCCEEDED, outcome=outcome, outcome_reason="Because."))
    assert (found.label, found.reason) == (label, "Because.")


def test_no_two_outcomes_look_alike_without_colour() -> None:
    found = [told(job(JobState.SUCCEEDED, outcome=name)) for name in ("unlearned", "below_target", "nothing_unlearned")]
    ended = [*found, told(job(JobState.FAILED, problem={})), told(job(JobState.CANCELLED))]
    assert len({one.icon for one in ended}) == len({one.label for one in ended}) == 5


def test_a_job_of_before_there_were_outcomes_is_finished() -> None:
    assert told(job(JobState.SUCCEEDED)).label == "Finished"


def test_a_failed_job_says_why() -> None:
    assert told(job(JobState.FAILED, problem={"type": "t", "detail": "the disk is full"})).reason == "the disk is full"


def test_a_job_without_workers_waits_for_one() -> None:
    assert told(job(JobState.QUEUED), workers=0) == ("fair", "waiting", "Waiting", "no worker is running")


def test_a_job_that_began_elsewhere_says_which_worker_it_waits_for() -> None:
    row = job(JobState.TUNING, device="cuda", threads=4)
    assert told(row, workers=0).reason == "no worker that computes on cuda with 4 threads, as it began, is running"


def test_a_job_in_bfloat16_says_by_what_a_worker_must_compute_it() -> None:
    row = job(JobState.TUNING, device="cpu", threads=4, precision="bfloat16", bfloat16_by="amx")
    expected = "no worker that computes on cpu with 4 threads and bfloat16 by AMX, as it began, is running"
    assert told(row, workers=0).reason == expected


@pytest.mark.parametrize(("place", "reason"), [(1, "it is next"), (2, "1 job before it"), (4, "3 jobs before it")])
def test_a_queued_job_says_how_many_come_first(place: int, reason: str) -> None:
    assert told(job(JobState.QUEUED), place).reason == reason


def test_a_job_between_two_tries_says_when_and_why() -> None:
    step = WaitingStep(
        kind=StepKind.POINT,
        index=3,
        attempts=2,
        not_before=NOW + timedelta(seconds=12),
        cause={"detail": "out of memory"},
    )
    found = told(job(JobState.TUNING), waiting=[step])
    assert found.reason == "point 3 failed 2 times and is tried again in 12 s: out of memory"


def test_a_running_job_says_how_many_points_are_trained() -> None:
    counts = PointCounts(total=12, running=1, trained=1, folded=2, diverged=1)
    assert told(job(JobState.TUNING), points=counts, running=RUNNING).reason == "4 of 12 points"


def test_a_cancelled_job_that_has_not_ended_is_stopping() -> None:
    assert told(job(JobState.TUNING, cancel_requested_at=NOW)).label == "Stopping"


def test_what_is_left_is_reckoned_from_what_was_done() -> None:
    """A quarter took a minute: three more."""
    assert seconds_left(job(JobState.TUNING), progress(running=RUNNING), NOW) == 180


def test_what_is_left_is_not_guessed_while_nothing_runs() -> None:
    assert seconds_left(job(JobState.TUNING), progress(), NOW) is None


@given(st.floats(0, 1))
def test_what_is_left_is_never_negative(fraction: float) -> None:
    left = seconds_left(job(JobState.TUNING), progress(fraction=fraction, running=RUNNING), NOW)
    assert left is None or left >= 0


@pytest.fixture
def two(database: Database) -> tuple[Database, str, str]:
    """Two jobs: one with a ticket, one on other data; and a third of another tenant."""
    first = records.make_job(database, metadata={"ticket": "DSR-77"})
    second = records.make_job(database, **SELECT_OTHERS)
    records.make_job(database, "rival", metadata={"ticket": "DSR-77"})
    return database, first, second


def found(database: Database, **filters: Any) -> list[str]:
    with database.read() as session:
        return [row.id for row in jobs.page(session, "acme", **filters).jobs]


@pytest.mark.parametrize("text", ["DSR-77", "dsr", "-7", "seven"])
def test_a_job_is_found_by_its_ticket_and_by_what_it_forgets(two: tuple[Database, str, str], text: str) -> None:
    database, first, _ = two
    assert found(database, search=text) == [first]


@pytest.mark.parametrize("text", ["cat %_", "%_", "HUND"])
def test_signs_of_the_databases_own_are_searched_for_as_they_are(two: tuple[Database, str, str], text: str) -> None:
    database, _, second = two
    assert found(database, search=text) == [second]


def test_a_job_is_found_by_its_id(two: tuple[Database, str, str]) -> None:
    database, first, _ = two
    assert found(database, search=first) == [first]


def test_what_is_nowhere_is_not_found(two: tuple[Database, str, str]) -> None:
    assert found(two[0], search="'; DROP TABLE jobs; --") == []


@pytest.mark.parametrize(("dataset", "which"), [("ds_1", 1), ("ds_2", 2), ("ds_3", 2)])
def test_jobs_are_found_by_the_data_set_of_either_side(
    two: tuple[Database, str, str], dataset: str, which: int
) -> None:
    assert found(two[0], dataset=dataset) == [two[which]]


def test_a_deleted_job_is_found_by_nothing(database: Database) -> None:
    job_id = records.make_job(database, metadata={"ticket": "DSR-77"})
    records.cancel(database, job_id)
    with database.write() as session:
        jobs.delete_job(session, "acme", job_id)
    assert found(database, search="DSR") == []


def test_a_workers_sign_of_life_is_counted(sqlite_database: Database) -> None:
    with sqlite_database.write() as session:
        reopening.seen(session, records.make_worker())
    with sqlite_database.read() as session:
        assert sum(alike.number for alike in living_workers(session)) == 1
