"""Since when people are idle, until when a skill counts

Nobody has ever written `last_assigned_at`.

Revision: 0005   After: 0004
Phase: contract
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
oldest_program = "0005"


def upgrade() -> None:
    op.add_column("staff", sa.Column("idle_since", sa.DateTime(timezone=True), nullable=True))
    op.drop_column("staff", "last_assigned_at")
    op.add_column("staff_skill", sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("staff_skill", "valid_to")
    op.add_column("staff", sa.Column("last_assigned_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_column("staff", "idle_since")
