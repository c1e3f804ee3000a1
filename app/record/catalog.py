"""Data sets and models in the record: what both have in common. One tenant never sees another's."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import InUse, NotFound
from app.record import decoded, jobs
from app.record.objects import keep, release
from app.record.pages import first_rows
from app.record.tables import Dataset, Model

Entry = TypeVar("Entry", Dataset, Model)

_WORDS = {Dataset: "data set", Model: "model"}


def get(session: Session, kind: type[Entry], tenant: str, entry_id: str, *, lock: bool = False) -> Entry:
    """The tenant's data set or model. Raises NotFound.

    lock: nobody may delete it before this transaction ends, so that a job can be made that needs it.
    """
    statement = select(kind).where(kind.id == entry_id, kind.tenant == tenant)
    row = session.scalar(statement.with_for_update(read=True) if lock else statement)
    if row is None:
        raise NotFound(f"there is no {_WORDS[kind]} {entry_id!r}")
    return row


def page(
    session: Session, kind: type[Entry], tenant: str, cursor: str | None, limit: int
) -> tuple[Sequence[Entry], str | None]:
    """The tenant's entries, newest first, and the next page's cursor."""
    statement = select(kind).where(kind.tenant == tenant).order_by(kind.id.desc())
    if cursor is not None:
        statement = statement.where(kind.id < cursor)
    found, more = first_rows(session, kind, statement, limit)
    return found, found[-1].id if more else None


def delete(session: Session, kind: type[Entry], tenant: str, entry_id: str) -> None:
    """Forget a data set or model; its objects go to garbage collection. Raises NotFound, InUse."""
    statement = select(kind).where(kind.id == entry_id, kind.tenant == tenant).with_for_update()
    row = session.scalar(statement)
    if row is None:
        raise NotFound(f"there is no {_WORDS[kind]} {entry_id!r}")
    if using := jobs.using(session, tenant, entry_id):
        raise InUse(f"{entry_id} is needed by {', '.join(using[:3])}: wait until they end, or cancel them")
    release(session, row.keys)
    decoded.release_all(session, entry_id)
    session.delete(row)


def add_key(session: Session, dataset_id: str, column: str, key: str) -> None:
    """Let a data set's row name an object that was made of it; one that is not needed goes to garbage collection.

    column: ``listing_key`` or ``hashes_key``. Somebody else may have made it too, or deleted the data set.
    """
    row = session.scalar(select(Dataset).where(Dataset.id == dataset_id).with_for_update())
    if row is None or getattr(row, column) is not None:
        release(session, [key])
    else:
        setattr(row, column, key)
        keep(session, [key])
