"""In which folder the pictures of a data set without classes lie, which was taken for no class."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("folder", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("datasets", "folder")
