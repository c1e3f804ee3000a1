"""A tokenizer's files beside a model's weights."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never in Alembic's batches: on SQLite these copy a table and drop the old one, which other tables' rows point at.
    op.add_column("models", sa.Column("beside", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("models", "beside")
