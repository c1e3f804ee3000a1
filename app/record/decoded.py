"""What was made of a registered data set for jobs and is kept for later ones: pixels, heads, figures of base models.

Each is an object under ``datasets/{id}/decoded/{token}/{name}.{sha256}``: the name says what it is (the library's
``decoding.shelf``), and its bytes are known by their digest. It belongs to the data set and goes with it, or by itself
when no job has used it for long. ``created_at`` of its row is when a job used it last.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.errors import InternalError
from app.record import db, jobs
from app.record.leases import Claim, require_claim
from app.record.objects import release
from app.record.tables import Dataset, StoredObject


def key_of(dataset_id: str, token: str, name: str, sha256: str) -> str:
    """A new key, of a claim's token."""
    return f"datasets/{dataset_id}/decoded/{token}/{name}.{sha256}"


def find(session: Session, dataset_id: str, name: str) -> str | None:
    """The key of what is kept by this name; None where there is nothing."""
    found = (key for key in sorted(keys(session, [dataset_id])) if _name(key) == name)
    return next(found, None)


def used(session: Session, found: Collection[str]) -> None:
    """A job has used what lies under these keys, just now."""
    session.execute(update(StoredObject).where(StoredObject.key.in_(found)).values(created_at=db.now(session)))


def keep(session: Session, claim: Claim, dataset_id: str, key: str) -> str:
    """Let an object that the claim's worker has made and put belong to the data set; the key of what is kept.

    That is another's where somebody was faster. Raises LostClaim, and InternalError for a key that is not recorded.
    """
    require_claim(session, claim)
    session.execute(select(Dataset.id).where(Dataset.id == dataset_id).with_for_update())  # one after the other
    if (earlier := find(session, dataset_id, _name(key))) is not None:
        release(session, [key])
        return earlier
    belongs = {"kept": True, "owner": dataset_id, "job_id": None, "created_at": db.now(session)}
    statement = update(StoredObject).where(StoredObject.key == key).values(belongs).returning(StoredObject.key)
    if session.scalar(statement) is None:
        raise InternalError(f"{key} is not recorded: register a key before its put")
    return key


def keys(session: Session, dataset_ids: Collection[str]) -> set[str]:
    """All that is kept of these data sets."""
    found: set[str] = set()
    for dataset_id in dataset_ids:
        found |= set(session.scalars(select(StoredObject.key).where(_of(dataset_id))))
    return found


def release_all(session: Session, dataset_id: str) -> None:
    """The data set is forgotten, so garbage collection may take what was made of it."""
    release(session, sorted(keys(session, [dataset_id])))


def release_one(session: Session, key: str) -> None:
    """An object is damaged or gone: whoever needs it makes it anew."""
    release(session, [key])


def expire(session: Session, seconds: float) -> int:
    """Release what no job has used for so long, unless one that has not ended needs its data set. Returns how many."""
    before = db.now(session) - timedelta(seconds=seconds)
    old = select(StoredObject.key).where(_any(), StoredObject.created_at < before)
    by_dataset: dict[str, list[str]] = defaultdict(list)
    for key in session.scalars(old):
        by_dataset[key.split("/")[1]].append(key)
    unused = [
        key
        for dataset_id, found in sorted(by_dataset.items())
        if (row := session.get(Dataset, dataset_id)) is None or not jobs.using(session, row.tenant, dataset_id)
        for key in found
    ]
    release(session, unused)
    return len(unused)


def _name(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _of(dataset_id: str) -> ColumnElement[bool]:
    prefix = StoredObject.key.startswith(f"datasets/{dataset_id}/decoded/", autoescape=True)
    return prefix & StoredObject.kept.is_(True)


def _any() -> ColumnElement[bool]:
    return StoredObject.key.like("datasets/%/decoded/%") & StoredObject.kept.is_(True)
