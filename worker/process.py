"""One worker process. It needs no argument; its settings are ``NEGMERGE_…`` variables."""

import argparse
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from celery.signals import setup_logging, worker_shutting_down

from app.record import db, ids, reopening
from app.record.db import Database
from app.record.leases import Arithmetic, WorkerIdentity
from app.record.retries import Retries
from app.settings import Settings
from app.store.objects import Store
from negmerge.memory import keep_freed_memory
from negmerge.models.determinism import deterministic
from negmerge.models.devices import device_of
from negmerge.models.precision import bfloat16_by
from worker import logs
from worker.celery_app import make_app, worker_arguments
from worker.context import WorkerContext
from worker.held_claims import HeldClaims
from worker.janitor import Janitor
from worker.keeper import Keeper
from worker.scratch import Scratch, remove_abandoned
from worker.tasks import add_tasks
from worker.work import Loop

log = structlog.get_logger(__name__)


def main() -> int:
    """Work until TERM; the status is 1 where the process gave up because something in it was broken."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--id", help="what this life of the process is called in the record; always one worker alone")
    given, settings = parser.parse_args().id, Settings()
    worker_id = given or ids.new_id("wrk")
    logs.configure(worker_id)
    keep_freed_memory()
    held = HeldClaims(settings.lease_seconds)
    with deterministic(), _context(settings, worker_id) as context:
        loop, keeper, janitor = Loop(context, held), Keeper(context, held), Janitor(context, held)
        celery = make_app(settings)
        add_tasks(celery, loop)

        def stop(**_: Any) -> None:
            loop.stop()

        def leave_logging_alone(**_: Any) -> None:
            """That somebody listens to this signal keeps Celery from setting up logging itself."""

        worker_shutting_down.connect(stop)
        setup_logging.connect(leave_logging_alone)
        keeper.start()
        janitor.start()
        loop.start()
        try:
            celery.worker_main(worker_arguments(settings, worker_id))
        finally:
            loop.stop()
            loop.join()
            janitor.finish()
            keeper.finish()
    return int(held.broken)


@contextmanager
def _context(settings: Settings, worker_id: str) -> Iterator[WorkerContext]:
    """Open what a worker stands on, and close it in order; its row in the list of workers goes too."""
    temporary = settings.data_dir / "tmp" / "workers"
    remove_abandoned(temporary)
    device = device_of(settings.device)
    arithmetic = Arithmetic(device, settings.cpu_threads, bfloat16_by(device))
    worker = WorkerIdentity(worker_id, platform.node(), os.getpid(), settings.queue, arithmetic)
    database = Database(settings.database_url, idle_seconds=settings.lease_seconds / 3)
    scratch = Scratch(temporary / worker_id)
    try:
        yield WorkerContext(settings, database, Store.open(settings.store_url), scratch, worker)
        try:
            with database.write() as session:
                reopening.release_worker(session, worker_id, Retries.of(settings))
        except db.AWAY as error:  # what it holds, if anything, waits for the end of the leases
            log.warning("left without a word to the record", error=type(error).__name__)
    finally:
        scratch.close()
        database.dispose()
