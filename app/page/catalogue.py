"""What data sets and models have in common on the page: which jobs used one, and how one is deleted."""

from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.page import words
from app.page.parts import Part, Parts, parts
from app.page.status import Status, status
from app.record import db
from app.record.progress import progress
from app.record.tables import Job

MOST_JOBS = 50
"""The latest; the list of jobs finds the others."""


class Use(NamedTuple):
    """A job that used a data set or a model: from which, by which, to what."""

    job: Job
    what: str
    parts: Parts
    status: Status


def uses(session: Session, tenant: str, entry_id: str) -> list[Use]:
    """The tenant's latest jobs whose spec names the data set or model."""
    base = Job.spec["base_model"]["weights"].as_string() == entry_id
    sides = (Job.spec[side]["dataset"].as_string() == entry_id for side in ("forget", "retain"))
    named = select(Job).where(Job.tenant == tenant, Job.deleted_at.is_(None), or_(base, *sides))
    rows = list(session.scalars(named.order_by(Job.created_at.desc(), Job.id.desc()).limit(MOST_JOBS)))
    told, now = progress(session, rows), db.now(session)
    return [
        Use(row, words.forgets(row.spec), parts(session, row), status(row, told[row.id], None, now)) for row in rows
    ]


def leads(part: Part) -> str | None:
    """The address of a data set's or a model's own page; None for what is gone, or is no row."""
    if part.id is None:
        return None
    return f"/{'models' if part.id.startswith('mdl_') else 'datasets'}/{part.id}"
