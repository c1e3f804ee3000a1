"""Pages of listings: so many rows, and no more than fit one answer."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Text, cast, func, literal
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.record.tables import Dataset, Job, Model

MAX_BYTES = 4 * 2**20
"""JSON of one page's rows: one may be as large by itself, and 200 of those would hold the interpreter for seconds."""

Row = TypeVar("Row", Dataset, Model, Job)

_HEAVY: dict[type[Any], tuple[InstrumentedAttribute[Any], ...]] = {
    Dataset: (Dataset.classes, Dataset.class_names, Dataset.templates, Dataset.left_out),
    Model: (Model.config,),
    Job: (Job.spec, Job.meta),
}
"""The columns that clients fill."""


def first_rows(session: Session, kind: type[Row], statement: Select[Row], limit: int) -> tuple[Sequence[Row], bool]:
    """The first rows of an ordered statement, ``limit`` at most and at least one, and whether more follow."""
    size: ColumnElement[int] = literal(0)
    for column in _HEAVY[kind]:
        size = size + func.coalesce(func.length(cast(column, Text)), 0)
    sizes = session.execute(statement.with_only_columns(kind.id, size).limit(limit + 1)).all()
    ids: list[str] = []
    room = MAX_BYTES
    for row_id, of_row in sizes[:limit]:
        room -= of_row
        if ids and room < 0:
            break
        ids.append(row_id)
    return session.scalars(statement.where(kind.id.in_(ids))).all(), len(ids) < len(sizes)
