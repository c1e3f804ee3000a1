"""What the simulation of many workers stands on, measured here and now: transactions, a partial's way, real points."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from app.record import jobs
from app.record.db import Database
from app.record.ids import new_id
from app.record.states import StepKind, StepState
from app.settings import Settings
from app.store.objects import Store
from benchmarks.scale_model import Costs
from negmerge.merging.partial import Partial
from negmerge.spec.job import Merge
from tests.support import records, servers
from tests.support.service import Service, running

T = TypeVar("T")

ELEMENTS = 8_000_000
"""Of the partial whose way is measured: 80 MB."""
POINTS = 1000
"""Of the job whose transactions are measured: claims look among so many."""
_REPEATS = 60
_REAL_POINTS = 24


def costs(database: Database, store: Store, folder: Path) -> Costs:
    """Medians of this record and this store."""
    return Costs(**_transactions(database), **_bytes(store, folder))


def _transactions(database: Database) -> dict[str, float]:
    job_id = records.make_tuning_job(database, points=POINTS)
    worker, partial_id = records.make_worker(), new_id("partial")
    taken: dict[str, list[float]] = {"claim": [], "finish": [], "renew": [], "flush": []}
    points: list[int] = []

    def timed(what: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        done = work()
        taken[what].append(time.perf_counter() - started)
        return done

    for _ in range(_REPEATS):
        claim = timed("claim", partial(records.claim, database, worker))
        assert claim.job_id == job_id
        timed("finish", partial(records.train, database, claim))
        timed("renew", partial(records.renew, database, [claim]))
        points.append(claim.index)
        timed("flush", partial(records.flush, database, [claim], partial_id, points))
    return {what: statistics.median(each) for what, each in taken.items()}


def _bytes(store: Store, folder: Path) -> dict[str, float]:
    base = {"weight": torch.zeros(ELEMENTS)}
    one, sum_of_all = (Partial(["negmerge"], base, Merge()) for _ in range(2))
    one.add(0, {"weight": torch.randn(ELEMENTS) * 0.001})
    path, fetched, size = folder / "partial", folder / "fetched", 0
    taken: dict[str, list[float]] = {"save": [], "put": [], "get": [], "combine": []}
    for number in range(4):
        moments = [time.perf_counter()]
        one.save(path)
        moments.append(time.perf_counter())
        store.put_file(f"scale/{number}", path)
        moments.append(time.perf_counter())
        with fetched.open("wb") as file:
            for chunk in store.stream(f"scale/{number}"):
                file.write(chunk)
        moments.append(time.perf_counter())
        found = Partial.load(fetched, base, Merge())
        found.points = [1000 - number]  # points of its own: the same ones twice are refused
        sum_of_all.combine(found)
        moments.append(time.perf_counter())
        size = path.stat().st_size
        for what, begun, ended in zip(taken, moments, moments[1:], strict=False):
            taken[what].append(ended - begun)
    return {what: statistics.median(each) / size for what, each in taken.items()}


def real(workers: int) -> tuple[float, float]:
    """A job of small points on real workers: seconds from its first claim to its last flush, and of one point."""
    with tempfile.TemporaryDirectory(prefix="nm-") as name, servers.broker(Path(name)) as broker:
        folder = Path(name)
        (folder / "files").mkdir()
        settings = Settings(data_dir=folder / "data", broker_url=broker, device="cpu", threads=1, flush_seconds=2.0)
        with running(settings, folder / "files") as service:
            service.start(workers)
            service.finish(service.submit(points=workers, epochs=2))  # libraries are loaded
            return _tuning(service, service.submit(points=_REAL_POINTS, epochs=40))


def _tuning(service: Service, job_id: str) -> tuple[float, float]:
    service.finish(job_id)
    steps = [step for step in service.steps(job_id) if step.kind == StepKind.POINT]
    assert {step.state for step in steps} == {StepState.FOLDED}
    begun = min(step.started_at for step in steps if step.started_at)
    with service.database.read() as session:
        [concluded] = [
            event.at for event in jobs.events(session, job_id, limit=1000) if event.kind == "conclude.started"
        ]
    each = [
        (step.finished_at - step.started_at).total_seconds() for step in steps if step.finished_at and step.started_at
    ]
    return (concluded - begun).total_seconds(), statistics.median(each)
