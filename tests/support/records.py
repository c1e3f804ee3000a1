"""Jobs and workers for tests of the record: rows without any weights behind them."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from app.record import jobs, leases, reopening, steps
from app.record.db import Database
from app.record.ids import new_id
from app.record.leases import Arithmetic, Claim, WorkerIdentity, claim_next
from app.record.objects import ArtifactFile, register_key
from app.record.retries import Retries
from app.record.states import StepKind
from app.record.tables import Job, Step
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.precision import FLOAT32, Trained
from negmerge.spec.result import PointOutcome, RivalRow, Verdict

T = TypeVar("T")

LEASE = 30.0
CPU = Arithmetic(device="cpu", threads=2)
SHORT = 0.05
"""Seconds of a lease that is meant to end."""

AT_ONCE = Retries(attempts=5, seconds=0.0)
VERDICT = Verdict(outcome="unlearned", reason="The forget accuracy fell.", gates=[])
CAUSE = {"type": "os_error", "detail": "the disk is full"}


def make_spec(points: int = 3, **changes: Any) -> JobSpec:
    """A job that forgets a class with a sweep of some points."""
    document = {
        "base_model": {"family": "open_clip", "weights": "mdl_1"},
        "forget": {"dataset": "ds_1", "select": {"classes": ["seven"]}},
        "retain": {"dataset": "ds_1"},
        "sweep": {"grid": {"epochs": list(range(1, points + 1))}},
    }
    return parse(document | changes)


def make_job(database: Database, tenant: str = "acme", queue: str = "default", **spec: Any) -> str:
    """A queued job; its id."""
    with database.write() as session:
        return jobs.create(session, tenant, "key_1", make_spec(**spec), queue).job.id


def make_worker(arithmetic: Arithmetic = CPU, queue: str = "default") -> WorkerIdentity:
    """One worker process."""
    return WorkerIdentity(new_id("wrk"), "here", 1, queue, arithmetic)


def claim(database: Database, worker: WorkerIdentity, lease: float = LEASE) -> Claim:
    """The worker's next step, which must be there."""
    found = claim_or_none(database, worker, lease)
    assert found is not None
    return found


def claim_or_none(database: Database, worker: WorkerIdentity, lease: float = LEASE) -> Claim | None:
    """The worker's next step, if one is due."""
    with database.write() as session:
        return claim_next(session, worker, lease)


def make_tuning_job(database: Database, **spec: Any) -> str:
    """A job that a worker has prepared on the CPU, so that its points are due."""
    job_id = make_job(database, **spec)
    held = claim(database, make_worker())
    assert held.job_id == job_id, "an older job is due: finish it first"
    finish_prepare(database, held)
    return job_id


def make_job_in(database: Database, trained: Trained) -> str:
    """A job whose points are due, to be trained so."""
    job_id = make_job(database)
    finish_prepare(database, claim(database, make_worker()), trained=trained)
    return job_id


def finish_prepare(database: Database, held: Claim, arithmetic: Arithmetic = CPU, trained: Trained = FLOAT32) -> str:
    """Say that the job is prepared; the key of what was."""
    with database.write() as session:
        key = register(session, held, "prepared")
        steps.finish_prepare(session, held, key, arithmetic, trained)
    return key


def register(session: Any, held: Claim, name: str) -> str:
    """A recorded key below the claim's own prefix."""
    key = f"jobs/{held.job_id}/{held.token}/{name}"
    register_key(session, key, held.token, held.job_id)
    return key


def train(database: Database, held: Claim) -> None:
    """Say that the point is trained and in the worker's partial."""
    with database.write() as session:
        steps.finish_point(session, held, PointOutcome(loss=0.5, digest=f"sha256:{held.index}", seconds=1.0))


def flush(
    database: Database, claims: Sequence[Claim], partial_id: str, points: Sequence[int] | None = None
) -> steps.FlushOutcome:
    """Commit a partial that holds these claims' points, and ``points`` in all."""
    with database.write() as session:
        key = register(session, claims[-1], new_id("partial"))
        return steps.flush(session, claims, partial_id, key, points or [held.index for held in claims])


def fold(database: Database, worker: WorkerIdentity) -> None:
    """The worker claims, trains and commits all points that are due."""
    claims = []
    while (held := claim_or_none(database, worker)) is not None and held.kind == StepKind.POINT:
        train(database, held)
        claims.append(held)
    assert held is None, "conclude was due before all points were folded"
    assert flush(database, claims, new_id("partial")) is steps.FlushOutcome.COMMITTED


def finish_rival(database: Database, held: Claim) -> RivalRow:
    """Say that the rival is trained; its row."""
    row = RivalRow(rival=held.rival or "", repeat=held.repeat, seed=held.seed or 0, state="done", seconds=0.5)
    with database.write() as session:
        steps.finish_rival(session, held, row)
    return row


def conclude(database: Database, held: Claim) -> None:
    """End a job well, with one artifact."""
    with database.write() as session:
        key = register(session, held, "result.json")
        file = ArtifactFile("result.json", key, 2, "0" * 64, "application/json")
        steps.finish_conclude(session, held, key, [file], {"unlearned": "sha256:1"}, VERDICT)


def make_finished_job(database: Database, **spec: Any) -> str:
    """A job that succeeded."""
    job_id = make_tuning_job(database, **spec)
    worker = make_worker()
    fold(database, worker)
    conclude(database, claim(database, worker))
    return job_id


def read_job(database: Database, job_id: str) -> Job:
    """The job's row."""
    with database.read() as session:
        return session.get_one(Job, job_id)


def event_kinds(database: Database, job_id: str) -> list[str]:
    """The kinds of the job's events, in order."""
    with database.read() as session:
        return [event.kind for event in jobs.events(session, job_id, limit=1000)]


def last_event(database: Database, job_id: str, kind: str) -> dict[str, Any]:
    """The data of the job's last event of this kind."""
    with database.read() as session:
        return [event.data for event in jobs.events(session, job_id, limit=1000) if event.kind == kind][-1]


def let_the_lease_end() -> None:
    time.sleep(SHORT * 2)


def sweep(database: Database, retries: Retries = AT_ONCE) -> None:
    with database.write() as session:
        reopening.sweep(session, retries)


def cancel(database: Database, job_id: str) -> None:
    with database.write() as session:
        jobs.request_cancel(session, "acme", job_id)


def fail(database: Database, held: Claim, *, final: bool = False, retries: Retries = AT_ONCE) -> None:
    with database.write() as session:
        reopening.fail_step(session, held, CAUSE, retries, final)


def release_worker(database: Database, dead: WorkerIdentity, retries: Retries = AT_ONCE) -> None:
    """Say that the worker's process has ended."""
    with database.write() as session:
        reopening.release_worker(session, dead.id, retries)


def give_back(database: Database, claims: Sequence[Claim]) -> None:
    with database.write() as session:
        reopening.give_back(session, claims)


def renew(database: Database, claims: Sequence[Claim], lease: float = 30.0) -> set[str]:
    with database.write() as session:
        return leases.renew(session, claims, lease)


def point(database: Database, held: Claim) -> Step:
    with database.read() as session:
        return session.get_one(Step, (held.job_id, held.kind, held.index))


def at_the_same_moment(*actions: Callable[[], T]) -> list[T]:
    """Run the actions in threads that start together; their answers in order."""
    gate = threading.Barrier(len(actions))

    def begin(action: Callable[[], T]) -> T:
        gate.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(begin, actions))
