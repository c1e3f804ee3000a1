"""A step's repeat and rival in columns of their own, a partial's repeat; no stacking, of which there was only one.

Until here a rival's step held ``{"rival": …, "repeat": …}`` as its hyper-parameters, and the repeat of a point was
worked out from its index: points are numbered repeat after repeat.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_JOBS = sa.table("jobs", sa.column("id"), sa.column("spec", _JSON), sa.column("points"))
_STEPS = sa.table(
    "steps",
    *(sa.column(name) for name in ("job_id", "kind", "index", "repeat", "rival")),
    sa.column("hyper_parameters", _JSON),
)
_PARTIALS = sa.table(
    "partials", *(sa.column(name) for name in ("id", "job_id", "repeat")), sa.column("points", sa.JSON())
)


def upgrade() -> None:
    # Never in Alembic's batches: on SQLite these copy a table and drop the old one, which other tables' rows point at.
    op.add_column("steps", sa.Column("repeat", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("steps", sa.Column("rival", sa.String(length=64), nullable=True))
    op.add_column("partials", sa.Column("repeat", sa.BigInteger(), nullable=False, server_default="0"))
    _repeats_of_points()
    _names_of_rivals()
    op.drop_column("jobs", "stacking")
    op.drop_column("workers", "stacking")


def _repeats_of_points() -> None:
    connection = op.get_bind()
    for job_id, size in _repeated(connection):
        mine = (_STEPS.c.job_id == job_id) & (_STEPS.c.kind == "point")
        for (index,) in connection.execute(sa.select(_STEPS.c.index).where(mine)).all():
            connection.execute(_STEPS.update().where(mine, _STEPS.c.index == index).values(repeat=index // size))
        partials = sa.select(_PARTIALS.c.id, _PARTIALS.c.points).where(_PARTIALS.c.job_id == job_id)
        for partial_id, points in connection.execute(partials).all():
            values = {"repeat": points[0] // size}
            connection.execute(_PARTIALS.update().where(_PARTIALS.c.id == partial_id).values(values))


def _repeated(connection: sa.Connection) -> Iterator[tuple[str, int]]:
    """The jobs of several repeats, and how many points each repeat has. A tombstone has no spec, and no steps."""
    for job_id, spec, points in connection.execute(sa.select(_JOBS.c.id, _JOBS.c.spec, _JOBS.c.points)).all():
        repeats = (spec or {}).get("repeats", 1)
        if repeats > 1:
            yield job_id, points // repeats


def _names_of_rivals() -> None:
    connection = op.get_bind()
    columns = (_STEPS.c.job_id, _STEPS.c.index, _STEPS.c.hyper_parameters)
    for job_id, index, run in connection.execute(sa.select(*columns).where(_STEPS.c.kind == "rival")).all():
        mine = (_STEPS.c.job_id == job_id) & (_STEPS.c.kind == "rival") & (_STEPS.c.index == index)
        values: dict[str, Any] = {"rival": run["rival"], "repeat": run["repeat"], "hyper_parameters": None}
        connection.execute(_STEPS.update().where(mine).values(values))


def downgrade() -> None:
    connection = op.get_bind()
    columns = (_STEPS.c.job_id, _STEPS.c.index, _STEPS.c.rival, _STEPS.c.repeat)
    for job_id, index, rival, repeat in connection.execute(sa.select(*columns).where(_STEPS.c.kind == "rival")).all():
        mine = (_STEPS.c.job_id == job_id) & (_STEPS.c.kind == "rival") & (_STEPS.c.index == index)
        connection.execute(_STEPS.update().where(mine).values(hyper_parameters={"rival": rival, "repeat": repeat}))
    op.add_column("jobs", sa.Column("stacking", sa.BigInteger(), nullable=True, server_default="1"))
    op.add_column("workers", sa.Column("stacking", sa.BigInteger(), nullable=False, server_default="1"))
    op.drop_column("partials", "repeat")
    op.drop_column("steps", "rival")
    op.drop_column("steps", "repeat")
