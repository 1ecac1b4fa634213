"""Desks that are alive, a mark that grows, what was sent before a restore, sets of a backup

Revision: 0012   After: 0011
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("desk", sa.Column("mark", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table("living_desk", sa.Column("account", sa.Text(), primary_key=True))
    op.execute("INSERT INTO living_desk (account) SELECT account FROM desk")
    op.create_table(
        "sent_before",
        sa.Column("account", sa.Text(), primary_key=True),
        sa.Column("txn", sa.Text(), primary_key=True),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "backup_set",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("backup_set")
    op.drop_table("sent_before")
    op.drop_table("living_desk")
    op.drop_column("desk", "mark")
