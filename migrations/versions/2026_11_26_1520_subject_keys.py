"""Data keys name the person whose key wraps them

Revision: 0009   After: 0008
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("data_key", sa.Column("subject", sa.Uuid(), nullable=True))
    op.create_index("ix_data_key_subject", "data_key", ["subject"])


def downgrade() -> None:
    op.drop_index("ix_data_key_subject", table_name="data_key")
    op.drop_column("data_key", "subject")
