"""Rooms that were replaced by others

Revision: 0016   After: 0015
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "room_succession",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("successor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=True),
        sa.Column("chat_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["skill_group.id"], name=op.f("fk_room_succession_group_id_skill_group"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["chat_id"], ["chat.id"], name=op.f("fk_room_succession_chat_id_chat"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account", "room_id", name=op.f("pk_room_succession")),
    )
    op.create_index(op.f("ix_room_succession_group_id"), "room_succession", ["group_id"])
    op.create_index(op.f("ix_room_succession_chat_id"), "room_succession", ["chat_id"])


def downgrade() -> None:
    op.drop_table("room_succession")
