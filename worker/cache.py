"""What this machine keeps of jobs, data sets and models, and when it goes. Filling it is in ``resolve``."""

import shutil
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.record import decoded
from app.record.db import Database
from app.record.states import TERMINAL
from app.record.tables import Dataset, Job, Model


def is_active(session: Session, job_id: str) -> bool:
    """Whether the job has not ended."""
    return job_id in _active(session, [job_id])


def tidy(database: Database, cache: Path) -> None:
    """Remove from the cache what belongs to a data set or a model that was deleted, or to a job that has ended.

    So goes what was made of a data set and is kept no more. Several workers of a machine may do so at the same moment.
    """
    entries = list(cache.glob("*/*"))
    if not entries:
        return
    with database.read() as session:
        names = [path.name for path in entries]
        wanted = _active(session, names)
        for table in (Dataset, Model):
            wanted |= set(session.scalars(select(table.id).where(table.id.in_(names))))
        shelves = [path for path in entries if path.parent.name == "decoded" and path.name.startswith("ds_")]
        kept = {key.rpartition("/")[2] for key in decoded.keys(session, [path.name for path in shelves])}
    gone = [path for path in entries if path.name not in wanted]
    gone += [path for shelf in shelves for path in shelf.glob("*") if path.name not in kept]
    for path in gone:
        path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def _active(session: Session, job_ids: list[str]) -> set[str]:
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.state.not_in(TERMINAL))))
