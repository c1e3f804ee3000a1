"""What forms of the page choose from: the tenant's data sets and models, newest first."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.record import catalog
from app.record.tables import Dataset, Model

MOST = 200
"""Of each; what is older is found by its address."""


def datasets(session: Session, tenant: str) -> Sequence[Dataset]:
    """The tenant's newest data sets."""
    return catalog.page(session, Dataset, tenant, None, MOST)[0]


def models(session: Session, tenant: str) -> Sequence[Model]:
    """The tenant's newest models."""
    return catalog.page(session, Model, tenant, None, MOST)[0]
