"""What becomes of a data set's images that cannot be read, and which these are."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never in Alembic's batches: on SQLite these copy a table and drop the old one, which other tables' rows point at.
    op.add_column("datasets", sa.Column("on_unreadable", sa.String(length=20), nullable=False, server_default="refuse"))
    op.add_column("datasets", sa.Column("left_out", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("datasets", "left_out")
    op.drop_column("datasets", "on_unreadable")
