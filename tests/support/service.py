"""A whole service for tests: a real record, store and broker, and workers that are real processes."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import torch
from sqlalchemy import select

from app.auth import Principal
from app.intake.registration import DatasetIn, Registrar
from app.intake.uploads import Upload
from app.record import ids, jobs
from app.record.db import Database
from app.record.lifecycle import lock
from app.record.states import JobState, StepKind
from app.record.tables import Artifact, Job, Step, Worker
from app.settings import Settings
from app.store.objects import Store
from negmerge.spec.job import parse
from tests.support import pico

CALLER = Principal("key_test", "acme", frozenset({"write"}))
PATIENCE = 180.0


class WorkerProcess:
    """One life of ``python -m worker``, with its log."""

    def __init__(self, settings: Settings) -> None:
        self.id = ids.new_id("wrk")
        self.log = settings.data_dir / f"{self.id}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "--id", self.id],
                env=os.environ | environment(settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit status. One that does not end fails the test."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


class Service:
    """The record and the store with a pico model and its digits in them, and the workers that were started."""

    def __init__(self, settings: Settings, files: Path) -> None:
        self.settings = settings
        self.database = Database(settings.database_url)
        self.database.migrate()
        self.store = Store.open(settings.store_url)
        self.workers: list[WorkerProcess] = []
        registrar = Registrar(settings, self.database, self.store)
        torch.set_num_threads(1)  # two threads that fight over a busy core take ten times as long
        archive = shutil.make_archive(str(files / "model"), "zip", pico.make_model(files / "model-folder"))
        self.model_id = registrar.upload_model(CALLER, uploaded(Path(archive))).id
        digits = pico.make_archive(files / "digits.zip")
        given = DatasetIn(name="digits", class_names=pico.CLASS_WORDS, templates=pico.TEMPLATES)
        self.dataset_id = registrar.upload_dataset(CALLER, uploaded(digits), given).id

    @property
    def alive(self) -> list[WorkerProcess]:
        """The workers that run."""
        return [worker for worker in self.workers if worker.process.poll() is None]

    def start(self, count: int = 1) -> list[WorkerProcess]:
        """Start workers; returns when each has said in the record that it lives."""
        started = [WorkerProcess(self.settings) for _ in range(count)]
        self.workers += started
        wanted = {worker.id for worker in started}
        self.wait(lambda: wanted <= self._seen(), "the workers' start")
        return started

    def pause(self, worker: WorkerProcess, job_id: str) -> None:
        """Stop a worker's clock, but never while it locks the job (on SQLite, the record): others would wait."""
        with self.database.write() as session:
            lock(session, job_id)
            worker.signal(signal.SIGSTOP)

    def submit(self, points: int = 6, epochs: int = 2, queue: str | None = None, **changes: Any) -> str:
        """A job that forgets "three"; its id. ``epochs`` says how long a point takes."""
        spec = {
            "base_model": {"family": "open_clip", "weights": self.model_id},
            "forget": {"dataset": self.dataset_id, "select": {"classes": ["three"]}},
            "retain": {"dataset": self.dataset_id},
            "sweep": {
                "points": [{"learning_rate": 1e-3 * (1 + i), "epochs": epochs, "batch_size": 8} for i in range(points)]
            },
        }
        with self.database.write() as session:
            queue = queue or self.settings.queue
            return jobs.create(session, CALLER.tenant, CALLER.key_id, parse(spec | changes), queue).job.id

    def job(self, job_id: str) -> Job:
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def points(self, job_id: str) -> list[Step]:
        with self.database.read() as session:
            return jobs.points(session, job_id, limit=1000)

    def events(self, job_id: str) -> list[str]:
        """The kinds of the job's events, in order."""
        with self.database.read() as session:
            return [event.kind for event in jobs.events(session, job_id, limit=10_000)]

    def steps(self, job_id: str) -> list[Step]:
        with self.database.read() as session:
            return list(session.scalars(select(Step).where(Step.job_id == job_id)))

    def claimed(self, job_id: str) -> list[Step]:
        """The steps that a worker holds."""
        return [step for step in self.steps(job_id) if step.token is not None]

    def objects(self, job_id: str) -> list[str]:
        """Keys of the job's objects in the store, whether or not the record knows of them."""
        prefix = f"jobs/{job_id}/"
        return [str(found["path"]) for page in obstore.list(self.store._objects, prefix) for found in page]

    def artifact_keys(self, job_id: str) -> dict[str, str]:
        """Key → public path of each artifact."""
        with self.database.read() as session:
            rows = session.scalars(select(Artifact).where(Artifact.job_id == job_id))
            return {row.key: row.path for row in rows}

    def artifact_digests(self, job_id: str) -> dict[str, str]:
        """Public path → SHA-256 of each artifact, as the record has it."""
        with self.database.read() as session:
            rows = session.scalars(select(Artifact).where(Artifact.job_id == job_id))
            return {row.path: row.sha256 for row in rows}

    def finish(self, job_id: str) -> Job:
        """Wait until the job has succeeded."""
        self.wait(lambda: JobState(self.job(job_id).state).terminal, "the job's end")
        job = self.job(job_id)
        assert job.state == JobState.SUCCEEDED, (job.problem, self.logs())
        return job

    def digests(self, job_id: str) -> dict[str, Any]:
        """The digests of a job that succeeds: of base, merged vector and unlearned weights."""
        digests = self.finish(job_id).digests
        assert digests is not None
        return digests

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until something is so; a worker that ended meanwhile, or too long a wait, fails the test."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"waited too long for {what}: {self.logs()}"
            time.sleep(0.02)

    def logs(self) -> str:
        return "\n".join(worker.log.read_text() for worker in self.workers)

    def close(self) -> None:
        for worker in self.alive:
            worker.kill()
        self.database.dispose()

    def _seen(self) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(select(Worker.id)))


@contextmanager
def running(settings: Settings, files: Path) -> Iterator[Service]:
    """A service whose workers are gone at the end of the block."""
    service = Service(settings, files)
    try:
        yield service
    finally:
        service.close()


def environment(settings: Settings) -> dict[str, str]:
    """The variables that make ``Settings()`` in a child process equal to ``settings``."""
    return {f"NEGMERGE_{name.upper()}": _as_variable(value) for name, value in settings}


def _as_variable(value: Any) -> str:
    return json.dumps([str(one) for one in value]) if isinstance(value, list) else str(value)


def in_the_middle(service: Service, job_id: str, kind: StepKind) -> bool:
    """Whether a worker is in the middle of such a step, and has said so."""
    return any(step.kind == kind and step.progress for step in service.claimed(job_id))


def uploaded(path: Path) -> Upload:
    """A file as it came in."""
    content = path.read_bytes()
    return Upload(path, path.name, len(content), hashlib.sha256(content).hexdigest(), {})
