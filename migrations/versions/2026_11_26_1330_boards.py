"""Boards: what stands on them, and indexes for their counts and for what somebody has

Revision: 0004   After: 0003
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_conversation_board": (["group_id", "state"], "state IN ('queued', 'open', 'paused')"),
    "ix_conversation_own": (["owner_id"], "state IN ('open', 'paused')"),
    "ix_conversation_resolved": (["group_id", "resolved_at"], "state = 'resolved'"),
}


def upgrade() -> None:
    op.add_column("skill_group", sa.Column("board_digest", sa.Text(), nullable=True))
    for name, (columns, where) in _INDEXES.items():
        op.create_index(name, "conversation", columns, unique=False, postgresql_where=sa.text(where))


def downgrade() -> None:
    for name, (_, where) in _INDEXES.items():
        op.drop_index(name, table_name="conversation", postgresql_where=sa.text(where))
    op.drop_column("skill_group", "board_digest")
