"""Whether a job that succeeded has unlearned what it was to unlearn."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never in Alembic's batches: on SQLite these copy a table and drop the old one, which other tables' rows point at.
    op.add_column("jobs", sa.Column("outcome", sa.String(20), nullable=True))
    op.add_column("jobs", sa.Column("outcome_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "outcome_reason")
    op.drop_column("jobs", "outcome")
