"""All the direct chats that somebody of the staff has with the desk

Revision: 0007   After: 0006
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "direct_room",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_direct_room_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("room_id", name=op.f("pk_direct_room")),
    )
    op.create_index(op.f("ix_direct_room_staff_id"), "direct_room", ["staff_id"], unique=False)
    op.execute(
        "INSERT INTO direct_room SELECT direct_room, min(id::text)::uuid FROM staff WHERE direct_room IS NOT NULL "
        "GROUP BY direct_room"
    )


def downgrade() -> None:
    op.drop_table("direct_room")
