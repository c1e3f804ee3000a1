"""What forms of the page choose from: the tenant's data sets and models, newest first."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Text, cast, or_, select, true
from sqlalchemy.orm import Session

from app.record.catalog import Entry
from app.record.tables import Dataset, Model

MOST = 200
"""Of each; what is older is searched for, and what is chosen or named is there however old it is."""


def datasets(session: Session, tenant: str, search: str, chosen: str) -> Sequence[Dataset]:
    """The tenant's newest data sets of which a job can be made, and have this text in their name, or this id; and one.

    Pictures without classes are for looking only. Which classes there are in what is only registered nobody knows.
    """
    has_classes = or_(Dataset.key.is_(None), cast(Dataset.classes, Text) != "{}")
    return _entries(session, Dataset, tenant, search, chosen, has_classes)


def models(session: Session, tenant: str, search: str, chosen: str) -> Sequence[Model]:
    """The tenant's newest models that have this text in their name, or this id; and the one that is chosen."""
    return _entries(session, Model, tenant, search, chosen, true())


def _entries(
    session: Session, kind: type[Entry], tenant: str, search: str, chosen: str, where: ColumnElement[bool]
) -> Sequence[Entry]:
    own = select(kind).where(kind.tenant == tenant).order_by(kind.id.desc())
    fits = or_(kind.name.icontains(_plain(search), autoescape=True), kind.id == _plain(search))
    found: list[Entry] = list(session.scalars(own.where(where, fits).limit(MOST)))
    one: Entry | None = session.scalar(own.where(kind.id == _plain(chosen)))
    if one is not None and one not in found:
        found.append(one)
    return found


def has_older(session: Session, kind: type[Entry], tenant: str) -> bool:
    """Whether there are more than the newest, so that one may have to be searched for."""
    beyond = select(kind.id).where(kind.tenant == tenant).order_by(kind.id.desc()).offset(MOST).limit(1)
    return session.scalar(beyond) is not None


def dataset_names(session: Session, tenant: str, named: Collection[str]) -> dict[str, str]:
    """The tenant's newest data sets and those named, by id."""
    own = select(Dataset.id, Dataset.name).where(Dataset.tenant == tenant)
    newest = session.execute(own.order_by(Dataset.id.desc()).limit(MOST)).all()
    older = session.execute(own.where(Dataset.id.in_([_plain(entry_id) for entry_id in named]))).all()
    return {row.id: row.name for row in (*newest, *older)}


def _plain(text: str) -> str:
    """The text without NUL, which PostgreSQL takes in no comparison."""
    return text.strip().replace("\0", "")
