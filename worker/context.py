"""Where a step is worked on: the settings, the record, the store, a place for files, and who this worker is."""

from dataclasses import dataclass
from pathlib import Path

from app.record.db import Database
from app.record.leases import Claim, WorkerIdentity
from app.settings import Settings
from app.store.objects import Store, put_for
from negmerge.progress import OnStep, ignore
from worker.scratch import Scratch


@dataclass(frozen=True)
class WorkerContext:
    """All that a step needs besides its job."""

    settings: Settings
    database: Database
    store: Store
    scratch: Scratch
    worker: WorkerIdentity

    @property
    def cache(self) -> Path:
        """Files fetched once and shared by all workers of this machine (see ``worker.cache.tidy``)."""
        return self.settings.data_dir / "cache"

    def download(self, key: str, path: Path, on_step: OnStep) -> None:
        """Copy an object to a file; ``on_step`` counts bytes and may stop it. Raises ObjectMissing."""
        size, done = self.store.head(key), 0
        with path.open("wb") as file:
            for chunk in self.store.stream(key):
                file.write(chunk)
                done += len(chunk)
                on_step(done, size, None)

    def upload(self, claim: Claim, name: str, path: Path, on_step: OnStep = ignore) -> str:
        """Put a file into the store under a new key of this claim; returns the key.

        ``on_step`` may stop it, and must not use the store (``Store.put_file``), so a flush has no place in it.
        """
        key = f"jobs/{claim.job_id}/{claim.token}/{name}"
        put_for(self.database, self.store, key, path, claim.token, claim.job_id, on_step)
        return key
