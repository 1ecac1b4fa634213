"""Limits, and floods that are held back until somebody decides

Revision: 0018   After: 0017
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_bucket",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("full_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_rate_bucket")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "flood",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("about", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("chat_id", sa.Uuid(), nullable=True),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("event", sa.Text(), nullable=True),
        sa.Column("shown", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("edit_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("messages", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("people", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["group_id"], ["skill_group.id"], name=op.f("fk_flood_group_id_skill_group"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flood")),
    )
    op.create_index(op.f("ix_flood_group_id"), "flood", ["group_id"])
    op.create_index(
        "ix_flood_open", "flood", ["scope", "key"], unique=True, postgresql_where=sa.text("verdict IS NULL")
    )
    op.add_column("inbox", sa.Column("paced", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("inbox", sa.Column("flood_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_inbox_held", "inbox", ["flood_id", "lane"], postgresql_where=sa.text("state = 'held'"))


def downgrade() -> None:
    op.execute("UPDATE inbox SET state = 'new' WHERE state = 'held'")
    op.drop_index("ix_inbox_held", table_name="inbox")
    op.drop_column("inbox", "flood_id")
    op.drop_column("inbox", "paced")
    op.drop_table("flood")
    op.drop_table("rate_bucket")
