"""Alembic's entry: runs the revisions on the connection that ``Database.migrate`` hands over.

There is no alembic.ini. A new revision is made with ``python -m app.record.migrations.new "what it does"``.
"""

from typing import Any, Literal

from alembic import context

from app.record.tables import Instant, Table


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Revisions name plain types: they must read the same when tables.py has moved on."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Instant) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_item=_render,
    transactional_ddl=True,  # SQLite too: db.py begins its transactions itself
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
