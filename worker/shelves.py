"""The shelf of a data set (``decoding.shelf``) in the store, with copies of it in the cache of each machine.

What is made of a registered data set belongs to it, for all jobs of its tenant; of any other, to the job. In the cache
it lies under the owner's id, so that ``cache.tidy`` removes it when that is gone.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from app.record import decoded
from app.record.leases import Claim
from app.store.objects import ObjectMissing, put_for
from negmerge.checkpoints.files import file_digest
from negmerge.decoding.shelf import Kept
from negmerge.errors import DataError
from negmerge.progress import OnStep
from worker.context import WorkerContext

log = structlog.get_logger(__name__)


class Damaged(DataError):
    """A stored object is not what was put. It is made again."""


@dataclass(frozen=True)
class Taken:
    """Keys of what a job has taken from its shelves: what is the job's own, and what is shared with others."""

    own: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StoreShelf:
    """What is kept of one data set for a claim's job.

    content: what tells the data set's content from any other that the owner may have. dataset_id: to which it belongs;
    None where it is the job's. taken: to which it adds what was taken.
    """

    context: WorkerContext
    claim: Claim
    on_step: OnStep
    content: str
    dataset_id: str | None
    taken: Taken

    def take(self, name: str, make: Callable[[Path], None]) -> Kept:
        """The file of this name: from the cache, from the store, or made and put into both."""
        name = hashlib.sha256(f"{self.content}\n{name}".encode()).hexdigest()[:32]
        found = None if self.dataset_id is None else self._found(self.dataset_id, name)
        return self._made(name, make) if found is None else found

    def _found(self, dataset_id: str, name: str) -> Kept | None:
        """What is kept by the name; one that is damaged or gone is given up, so that it is made anew."""
        with self.context.database.read() as session:
            key = decoded.find(session, dataset_id, name)
        if key is None:
            return None
        try:
            found = fetch(self.context, key, self.on_step)
            self.taken.shared.append(key)
            return found
        except (Damaged, ObjectMissing) as error:
            log.warning("what was kept of a data set is made anew", key=key, error=str(error))
            with self.context.database.write() as session:
                decoded.release_one(session, key)
            return None

    def _made(self, name: str, make: Callable[[Path], None]) -> Kept:
        context = self.context
        with context.scratch.folder() as folder:
            path = folder / "made"
            make(path)
            sha256 = file_digest(path).removeprefix("sha256:")
            key = self._put(name, sha256, path)
            place = _place(context, key)
            if key.endswith(f".{sha256}") and not place.exists():  # else somebody was faster
                context.scratch.cached(place, lambda target: _move(path, target))
                return Kept(place, f"sha256:{sha256}", key)
        return fetch(context, key, self.on_step)

    def _put(self, name: str, sha256: str, path: Path) -> str:
        """Put a file into the store, for whoever it belongs to; the key under which it lies there."""
        context, claim = self.context, self.claim
        if self.dataset_id is None:
            key = context.upload(claim, f"{name}.{sha256}", path, self.on_step)
            self.taken.own.append(key)
            return key
        key = decoded.key_of(self.dataset_id, claim.token, name, sha256)
        put_for(context.database, context.store, key, path, claim.token, claim.job_id, self.on_step)
        with context.database.write() as session:
            return decoded.keep(session, claim, self.dataset_id, key)


def fetch(context: WorkerContext, key: str, on_step: OnStep) -> Kept:
    """What lies under a key of a shelf, in this machine's cache. Its digest is looked at each time.

    Raises Damaged where the store's object is another, ObjectMissing where there is none.
    """
    place, sha256 = _place(context, key), key.rpartition(".")[2]

    def download(path: Path) -> None:
        context.download(key, path, on_step)
        if file_digest(path) != f"sha256:{sha256}":
            raise Damaged(f"the stored object {key} is damaged")

    if place.exists() and file_digest(place) != f"sha256:{sha256}":
        log.warning("a file of the cache is damaged, and fetched again", file=place.name)
        place.unlink(missing_ok=True)
    return Kept(context.scratch.cached(place, download), f"sha256:{sha256}", key)


def _move(path: Path, target: Path) -> None:
    path.rename(target)


def _place(context: WorkerContext, key: str) -> Path:
    """Where a copy lies in the cache: under the id of the data set or the job that the key begins with."""
    return context.cache / "decoded" / key.split("/")[1] / key.rpartition("/")[2]
