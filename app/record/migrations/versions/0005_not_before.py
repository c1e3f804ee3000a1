"""When a step that failed may be tried again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never in Alembic's batches: on SQLite these copy a table and drop the old one, which other tables' rows point at.
    op.add_column("steps", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("steps", "not_before")
