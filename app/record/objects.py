"""What the record knows of stored objects: a row for each key, written before its put, and who needs it.

Keys are unique and never written twice. A row records a key before its put (``register_key``), so that whatever
happens next, garbage collection can find the object and take it when nobody needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.errors import InternalError
from app.record import db
from app.record.tables import Artifact, Partial, StoredObject

_RELEASED: dict[str, Any] = {"kept": False, "owner": None}


@dataclass(frozen=True)
class ArtifactFile:
    """A stored file and the public path that it gets when its job succeeds."""

    path: str
    key: str
    bytes: int
    sha256: str  # 64 hex digits, without "sha256:"
    media_type: str


def register_key(session: Session, key: str, owner: str, job_id: str | None = None) -> None:
    """Record a new key before its put, in a transaction of its own.

    owner: a claim's token, or the id of the data set or model that is being uploaded.
    """
    session.add(StoredObject(key=key, owner=owner, job_id=job_id, kept=False, created_at=db.now(session)))
    session.flush()


def keep(session: Session, keys: Sequence[str]) -> None:
    """A row of this transaction points at these keys. Raises InternalError for one that is not recorded."""
    if not keys:
        return
    statement = update(StoredObject).where(StoredObject.key.in_(keys)).values(kept=True)
    if len(session.scalars(statement.returning(StoredObject.key)).all()) != len(set(keys)):
        raise InternalError(f"not all of {', '.join(keys)} are recorded: register a key before its put")


def release(session: Session, keys: Sequence[str]) -> None:
    """No row points at these keys any more: garbage collection may take them."""
    session.execute(update(StoredObject).where(StoredObject.key.in_(keys)).values(_RELEASED))


def release_job(session: Session, job_id: str) -> None:
    """All objects of the job but its artifacts and its partials are needed no more."""
    needed = [select(table.key).where(table.job_id == job_id) for table in (Artifact, Partial)]
    others = [StoredObject.key.not_in(keys) for keys in needed]
    session.execute(update(StoredObject).where(StoredObject.job_id == job_id, *others).values(_RELEASED))
