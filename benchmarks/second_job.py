"""A first and a second job on the same data and model: what passes from the claim of ``prepare`` to the first training
step, and in ``conclude``, on the demo's digits.

The real pieces of a worker in this process: its loop, an SQLite record, a folder as the store. ``elsewhere`` is a
worker of another machine, which has the record and the store and an empty cache of its own.
"""

import hashlib
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from app.auth import Principal
from app.intake.registration import DatasetIn, Registrar
from app.intake.uploads import Upload
from app.record import ids, jobs
from app.record.db import Database
from app.record.leases import Arithmetic, Claim, WorkerIdentity
from app.record.states import JobState, StepKind
from app.record.tables import Job
from app.settings import Settings
from app.store.objects import Store
from benchmarks.timing import spread
from negmerge.progress import ignore
from negmerge.spec.job import parse
from tooling.digits import FORGET, Digits, make_digits
from tooling.machine import machine
from worker.context import WorkerContext
from worker.held_claims import HeldClaims
from worker.keeper import Keeper
from worker.scratch import Scratch
from worker.work import Loop

RUNS = 3
CALLER = Principal("key_1", "acme", frozenset({"write"}))
LEASE_SECONDS = 60.0
WHICH = ("first", "second", "second, elsewhere")


def main(runs: int = RUNS) -> None:
    """Print seconds of each part, of the first job, of a second one, and of one by another machine's worker."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(machine())
    print("second_job: the demo's digits and model, two points; seconds")
    digits = make_digits(Path("var/demo/digits"), ignore)
    found: dict[str, dict[str, list[float]]] = {which: {} for which in WHICH}
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="negmerge-second-") as folder:
            for which, told in _run(digits, Path(folder)).items():
                for part, took in told.items():
                    found[which].setdefault(part, []).append(took)
    for which, parts in found.items():
        for part, seconds in parts.items():
            print(f"  {which:18} {part:38} {spread(seconds)}")


def _run(digits: Digits, folder: Path) -> dict[str, dict[str, float]]:
    service = _Service(digits, folder)
    here, there = _Worker(service, folder / "here"), _Worker(service, folder / "there")
    try:
        return {which: (there if "elsewhere" in which else here).does(service.submit()) for which in WHICH}
    finally:
        here.close()
        there.close()
        service.database.dispose()


class _Service:
    """The record and the store with the demo's model and data in them."""

    def __init__(self, digits: Digits, folder: Path) -> None:
        self.settings = Settings(data_dir=folder / "here", lease_seconds=LEASE_SECONDS, renew_seconds=1.0)
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.store = Store.open(self.settings.store_url)
        registrar = Registrar(self.settings, self.database, self.store)
        model = shutil.make_archive(str(folder / "model"), "zip", digits.model)
        self.model = registrar.upload_model(CALLER, _upload(Path(model))).id
        given = DatasetIn(class_names=digits.class_names, templates=digits.templates)
        self.dataset = registrar.upload_dataset(CALLER, _upload(digits.archive), given).id

    def submit(self) -> str:
        spec = {
            "base_model": {"family": "open_clip", "weights": self.model},
            "forget": {"dataset": self.dataset, "select": {"classes": [FORGET]}},
            "retain": {"dataset": self.dataset},
            "sweep": {"grid": {"learning_rate": [1e-4, 3e-4], "epochs": [2], "batch_size": [32]}},
            "compare": ["uniform", "ties"],
        }
        with self.database.write() as session:
            return jobs.create(session, "acme", "key_1", parse(spec), self.settings.queue).job.id


class _Watch(HeldClaims):
    """Notes when each kind of step was claimed, when it ended, and when the first step of a training did."""

    def __init__(self) -> None:
        super().__init__(LEASE_SECONDS)
        self.at: dict[str, float] = {}
        self._kind = ""

    def begin(self, claim: Claim, asked_at: float) -> None:
        self._kind = claim.kind
        self.at.setdefault(f"{claim.kind} claimed", asked_at)
        super().begin(claim, asked_at)

    def end(self) -> None:
        self.at[f"{self._kind} ended"] = time.monotonic()
        super().end()

    def on_step(self, step: int, total: int, loss: float | None) -> None:
        if loss is not None and self._kind == StepKind.POINT:
            self.at.setdefault("trained", time.monotonic())
        super().on_step(step, total, loss)


class _Worker:
    """A worker's loop in this process, with a data folder, and so a cache, of its own."""

    def __init__(self, service: _Service, folder: Path) -> None:
        database, store = service.settings.database_url, service.settings.store_url
        settings = service.settings.model_copy(update={"data_dir": folder})
        assert (settings.database_url, settings.store_url) == (database, store)
        me = Arithmetic(device="cpu", threads=settings.cpu_threads)
        self._scratch = Scratch(folder / "tmp" / "worker")
        worker = WorkerIdentity(ids.new_id("wrk"), "here", 1, settings.queue, me)
        self._context = WorkerContext(settings, service.database, service.store, self._scratch, worker)

    def does(self, job_id: str) -> dict[str, float]:
        """Work on the job until it has succeeded; seconds by part."""
        watch = _Watch()
        loop, keeper = Loop(self._context, watch), Keeper(self._context, watch)
        keeper.start()
        loop.start()
        _wait(lambda: JobState(self._job(job_id).state).terminal)
        loop.stop()
        loop.join()
        keeper.finish()
        assert self._job(job_id).state == JobState.SUCCEEDED, self._job(job_id).problem
        at = watch.at
        return {
            "claim of prepare to first training step": at["trained"] - at["prepare claimed"],
            "prepare": at["prepare ended"] - at["prepare claimed"],
            "conclude": at["conclude ended"] - at["conclude claimed"],
        }

    def close(self) -> None:
        self._scratch.close()

    def _job(self, job_id: str) -> Job:
        with self._context.database.read() as session:
            return session.get_one(Job, job_id)


def _wait(done: Callable[[], Any], seconds: float = 600.0) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit("second_job: the job does not end")
        pause.wait(0.05)


def _upload(path: Path) -> Upload:
    content = path.read_bytes()
    return Upload(path, path.name, len(content), hashlib.sha256(content).hexdigest(), {})


if __name__ == "__main__":
    main()
