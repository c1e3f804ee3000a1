"""``python -m app up``: the whole service on one machine, from nothing: broker, API and workers as children.

Everything lies under one data directory. The broker starts while the record is brought up to date, API and workers
side by side after that; all are started again when they die, and stop in order (API, workers, broker). Only one ``up``
may use a data directory at a time.
"""

import fcntl
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx
from sqlalchemy import select

from app import auth
from app.embedded import valkey
from app.embedded.children import Child
from app.embedded.sharing import Sharing
from app.record import db, ids, reopening
from app.record.db import Database
from app.record.retries import Retries
from app.record.states import JobState
from app.record.tables import Job, Worker
from app.settings import Settings

Say = Callable[[str], None]

READY_SECONDS = 300
_LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107
_GRACE = {"api": 5.0, "worker": 20.0, "broker": 5.0}


class UpError(Exception):
    """The service cannot be started; the message says why and what to do."""


def run(data_dir: Path, port: int, workers: int, say: Say) -> None:
    """Start everything, say when it is ready, and keep it running until TERM or INT. Raises UpError."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # people's data will lie here
    stopping = _Stopping()
    with _only_one(data_dir), _broker_socket(data_dir) as socket_path:
        settings = Settings(data_dir=data_dir, host="127.0.0.1", port=port, broker_url=f"redis+socket://{socket_path}")
        _check_port(settings.host, port)
        database = Database(settings.database_url)
        try:
            stack = _Stack(settings, socket_path, workers, database, say)
            try:
                stack.broker.start()
                database.migrate()
                _first_key(database, data_dir / "api-key", say)
                _warn_of_other_threads(database, settings.cpu_threads, say)
                stack.start(stopping)
                stack.watch(stopping)
            finally:
                stack.stop()
        finally:
            database.dispose()


class _Stopping:
    """Becomes true at the first TERM or INT. Made once, in the main thread."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def __bool__(self) -> bool:
        return self._asked


class _Worker(Child):
    """A worker process; each life of it has an id of its own in the record."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        super().__init__(name, [], environment, log)
        self.worker_id = ""

    def start(self) -> None:
        """Start the process under a fresh id."""
        self.worker_id = ids.new_id("wrk")
        self.command = [sys.executable, "-m", "worker", "--id", self.worker_id]
        super().start()


class _Stack:
    """The children, and what is done when one of them dies."""

    def __init__(self, settings: Settings, socket_path: Path, workers: int, database: Database, say: Say) -> None:
        self._settings = settings
        self._database = database
        self._say = say
        logs = settings.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        environment = os.environ | {
            "NEGMERGE_DATA_DIR": str(settings.data_dir),
            "NEGMERGE_BROKER_URL": settings.broker_url,
            "NEGMERGE_HOST": settings.host,
            "NEGMERGE_PORT": str(settings.port),
            "NEGMERGE_THREADS": str(settings.threads),
        }
        self.broker = Child("broker", _broker_command(socket_path), environment, logs / "broker.log")
        self.api = Child("api", [sys.executable, "-m", "app", "serve"], environment, logs / "api.log")
        self._environment, self._logs = environment, logs
        self._sharing = Sharing(settings.workers_per_device, settings.device)
        self.workers = [self._worker(number) for number in range(1, workers * self._sharing.first + 1)]

    def _worker(self, number: int) -> _Worker:
        return _Worker(f"worker-{number}", self._environment, self._logs / f"worker-{number}.log")

    @property
    def _children(self) -> list[Child]:
        return [self.broker, self.api, *self.workers]

    def start(self, stopping: _Stopping) -> None:
        """Start API and workers and wait until all answer. Raises UpError where one ends, or takes too long."""
        for child in (self.api, *self.workers):
            child.start()
        self._wait(stopping, "the broker, the API or a worker", self._all_ready)
        if not stopping:
            self._say(f"Ready: http://{self._settings.host}:{self._settings.port}  (Ctrl-C stops everything)")

    def watch(self, stopping: _Stopping) -> None:
        """Start again what dies, and another worker where the device has room for one, until asked to stop."""
        while not stopping:
            for child in self._children:
                status = child.buried()
                if status is not None:
                    self._say(f"{child.name} ended with status {status}; starting it again (see {child.log})")
                    if isinstance(child, _Worker):
                        self._release(child.worker_id)
                child.start_if_due()
            if self._sharing.another(len(self.workers), time.monotonic()):
                self.workers.append(self._worker(len(self.workers) + 1))
                self.workers[-1].start()
                self._say(f"the device has room for another worker: {len(self.workers)} of them share it")
            time.sleep(0.1)

    def stop(self) -> None:
        """API first, so that nothing new comes in; then the workers, all at once; the broker last."""
        self.api.stop(_GRACE["api"])
        for worker in self.workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + _GRACE["worker"]
        for worker in self.workers:
            worker.stop(max(deadline - time.monotonic(), 0.1))
            if worker.worker_id:  # else it was never started
                self._release(worker.worker_id)
        self.broker.stop(_GRACE["broker"])

    def _release(self, worker_id: str) -> None:
        """A reaped worker's leases need not run out: its steps are open at once, if the record answers."""
        try:
            with self._database.write() as session:
                reopening.release_worker(session, worker_id, Retries.of(self._settings))
        except db.AWAY as error:
            self._say(f"the record does not answer ({type(error).__name__}); the leases of {worker_id} will run out")

    def _wait(self, stopping: _Stopping, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not stopping and not ready():
            for child in self._children:
                if (status := child.exit_status()) is not None:
                    raise UpError(f"{child.name} ended with status {status} while starting:\n{child.last_words()}")
            if time.monotonic() > deadline:
                raise UpError(f"{what} did not answer within {READY_SECONDS} s; see {self._logs}")
            time.sleep(0.1)

    def _all_ready(self) -> bool:
        try:
            url = f"http://{self._settings.host}:{self._settings.port}/readyz"
            if httpx.get(url, timeout=2.0, trust_env=False).status_code != 200:
                return False
        except httpx.TransportError:
            return False
        with self._database.read() as session:
            seen = set(session.scalars(select(Worker.id)))
        return seen >= {worker.worker_id for worker in self.workers}


def _broker_command(socket_path: Path) -> list[str]:
    try:
        return valkey.command(valkey.server(), socket_path)
    except valkey.ServerMissing as error:
        raise UpError(str(error)) from None


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data directory. The kernel lets go of the lock whatever way the process ends."""
    with (data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UpError(
                f"another `up` (process {lock.read().strip() or 'unknown'}) uses {data_dir}: "
                "stop it, or name another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _broker_socket(data_dir: Path) -> Iterator[Path]:
    """A path for the broker's socket: in the data directory, or where that is too long in a private folder."""
    path = data_dir / "broker.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="negmerge-") as folder:
        yield Path(folder) / "broker.sock"


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UpError(f"port {port} cannot be used ({error.strerror}): name a free one with --port") from None


def _warn_of_other_threads(database: Database, threads: int, say: Say) -> None:
    """A job goes on only with the arithmetic that it began with, because its bits depend on it."""
    waiting = select(Job.id, Job.threads).where(
        Job.state.in_([JobState.TUNING, JobState.CONCLUDING]), Job.threads != threads
    )
    with database.read() as session:
        for job_id, began_with in session.execute(waiting):
            say(f"{job_id} waits for workers with {began_with} threads (now {threads}): set NEGMERGE_THREADS")


def _first_key(database: Database, path: Path, say: Say) -> None:
    """Make the first API key where there is none, keep it in ``path`` (mode 0600), and show it once."""
    with database.write() as session:
        if path.exists() and auth.list_keys(session):
            say(f"API key: in {path}")
            return
        _, key = auth.create_key(session, "first key", scopes=[auth.Scope.ADMIN])
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    say(f"API key, shown once: {key}\n  kept in {path}")
