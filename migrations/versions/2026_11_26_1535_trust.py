"""Verifications and decisions about people's keys

Revision: 0011   After: 0010
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_NO_TEXT = sa.text("''")


def upgrade() -> None:
    op.create_table(
        "verification",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=True),
        sa.Column("emoji", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.Column("decimals", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.Column("master", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.Column("began_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("account", "id", name=op.f("pk_verification")),
    )
    op.create_index(op.f("ix_verification_user_id"), "verification", ["user_id"], unique=False)
    op.create_table(
        "trust_alert",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("raised_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", _MOMENT, nullable=True),
        sa.Column("decided_by", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust_alert")),
    )
    op.create_index(op.f("ix_trust_alert_room_id"), "trust_alert", ["room_id", "user_id"], unique=False)
    op.create_index(
        "uq_trust_alert_open",
        "trust_alert",
        ["account", "room_id", "user_id", "device_id", "cause", "key"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    op.drop_table("trust_alert")
    op.drop_table("verification")
