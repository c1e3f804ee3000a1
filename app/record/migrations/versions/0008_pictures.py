"""What is kept of a data set's pictures beside its index."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("listing_key", sa.Text(), nullable=True))
    op.add_column("datasets", sa.Column("hashes_key", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("datasets", "hashes_key")
    op.drop_column("datasets", "listing_key")
