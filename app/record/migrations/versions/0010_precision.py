"""In which precision a job is trained, and what computes bf16 on a worker.

Jobs that were begun before: on the CPU in float32, on CUDA their points in bf16.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("precision", sa.String(20), nullable=True))
    op.add_column("jobs", sa.Column("bfloat16_by", sa.String(20), nullable=True))
    op.add_column("workers", sa.Column("bfloat16_by", sa.String(20), nullable=False, server_default="emulated"))
    op.execute("UPDATE jobs SET precision = 'float32' WHERE device = 'cpu'")
    op.execute("UPDATE jobs SET precision = 'bfloat16', bfloat16_by = 'cuda' WHERE device = 'cuda'")


def downgrade() -> None:
    op.drop_column("workers", "bfloat16_by")
    op.drop_column("jobs", "bfloat16_by")
    op.drop_column("jobs", "precision")
