"""Since when a row of the outbox fails, so that nothing is given up because it had to wait before

Revision: 0021   After: 0020
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "failing_since")
