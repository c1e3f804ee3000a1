"""Garbage collection: which stored objects nobody needs, and their end.

An object is needed while a row points at it (``kept``), and before that while its owner may still come to keep
it: a claim with a live lease, or an upload within its time.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.orm import Session

from app.record import db
from app.record.db import Database
from app.record.lifecycle import lock
from app.record.states import StepState
from app.record.tables import Step, StoredObject
from app.store.objects import Store


def collect(database: Database, store: Store, upload_grace_seconds: float, limit: int = 200) -> int:
    """Delete up to ``limit`` objects that nobody needs, and then their rows. Returns how many.

    A transaction that keeps an object may have looked at its lease before the end of it, and commit afterwards; it
    holds the job's lock, though. So each job's objects are judged under that lock: an ended lease is never renewed,
    and what is not needed then, is never needed again. Raises StoreUnavailable.
    """
    with database.read() as session:
        suspects = list(
            session.execute(
                select(StoredObject.key, StoredObject.job_id)
                .where(_unneeded(session, upload_grace_seconds))
                .order_by(StoredObject.job_id, StoredObject.key)
                .limit(limit)
            )
        )
    by_job: dict[str | None, list[str]] = {}
    for key, job_id in suspects:
        by_job.setdefault(job_id, []).append(key)
    return sum(_collect(database, store, upload_grace_seconds, job_id, keys) for job_id, keys in by_job.items())


def _collect(
    database: Database, store: Store, upload_grace_seconds: float, job_id: str | None, suspects: Sequence[str]
) -> int:
    """Those of one job's suspects that are not needed, judged when nobody is about to keep one."""
    with database.write() as session:
        if job_id is not None:
            lock(session, job_id)
        judged = select(StoredObject.key).where(
            StoredObject.key.in_(suspects), _unneeded(session, upload_grace_seconds)
        )
        keys = list(session.scalars(judged))
    if keys:
        store.delete(keys)
        with database.write() as session:
            session.execute(delete(StoredObject).where(StoredObject.key.in_(keys)))
    return len(keys)


def _unneeded(session: Session, upload_grace_seconds: float) -> ColumnElement[bool]:
    moment = db.now(session)
    live = select(Step.token).where(Step.state == StepState.CLAIMED, Step.lease_until > moment)
    over = moment - timedelta(seconds=upload_grace_seconds)
    ownerless = or_(
        StoredObject.owner.is_(None),
        and_(StoredObject.job_id.is_not(None), StoredObject.owner.not_in(live)),
        and_(StoredObject.job_id.is_(None), StoredObject.created_at < over),
    )
    return and_(StoredObject.kept.is_(False), ownerless)
