"""A worker's place for tests of what it does in its own process: a record, a store and a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.record.db import Database
from app.settings import Settings
from app.store.objects import Store
from tests.support import records
from worker.context import WorkerContext
from worker.scratch import Scratch


@contextmanager
def worker_context(settings: Settings, scratch_folder: Path) -> Iterator[WorkerContext]:
    """Open it on the settings' database and store; all is closed at the end of the block."""
    database = Database(settings.database_url)
    database.migrate()
    scratch = Scratch(scratch_folder)
    try:
        yield WorkerContext(settings, database, Store.open(settings.store_url), scratch, records.make_worker())
    finally:
        scratch.close()
        database.dispose()
