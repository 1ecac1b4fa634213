"""The key database: root keys and subject keys

Revision: k0001   After: -
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "k0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "root_key",
        sa.Column("kid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("made_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("retired_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("kid", name="pk_root_key"),
    )
    op.create_index(
        "ix_root_key_one_current", "root_key", ["state"], unique=True, postgresql_where=sa.text("state = 'current'")
    )
    op.create_table(
        "subject_key",
        sa.Column("kid", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("root_kid", sa.BigInteger(), nullable=False),
        sa.Column("made_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("used_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("destroyed_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("kid", name="pk_subject_key"),
    )
    alive, dead = sa.text("destroyed_at IS NULL"), sa.text("destroyed_at IS NOT NULL")
    op.create_index("ix_subject_key_subject", "subject_key", ["subject"], unique=True, postgresql_where=alive)
    op.create_index("ix_subject_key_destroyed_at", "subject_key", ["destroyed_at"], postgresql_where=dead)


def downgrade() -> None:
    op.drop_table("subject_key")
    op.drop_table("root_key")
