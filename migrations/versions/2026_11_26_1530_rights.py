"""The rights of a person: restriction, legal hold, requests, erasures

Revision: 0010   After: 0009
Phase: expand
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OF_CONTACT = {
    "restricted_at": sa.DateTime(timezone=True),
    "restricted_reason": sa.Text(),
    "held_at": sa.DateTime(timezone=True),
    "held_reason": sa.Text(),
    "erased_at": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    for name, kind in _OF_CONTACT.items():
        op.add_column("contact", sa.Column(name, kind, nullable=True))
    op.add_column("conversation", sa.Column("blocked", sa.Text(), nullable=True))
    op.add_column("dead_letter", sa.Column("source_id", sa.Text(), nullable=True))
    _requests()
    _erasures()
    _targets()


def _requests() -> None:
    op.create_table(
        "rights_request",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_rights_request_contact_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rights_request")),
    )
    op.create_index("ix_rights_request_contact_id", "rights_request", ["contact_id"])


def _erasures() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("ordered_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("ledger_position", sa.BigInteger(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("certificate", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
        sa.UniqueConstraint("subject", name=op.f("uq_erasure_subject")),
    )
    op.create_index("ix_erasure_open", "erasure", ["next_at"], postgresql_where=sa.text("done_at IS NULL"))
    op.create_index(
        "ix_erasure_conversation",
        "erasure",
        ["conversation_id", "scope"],
        unique=True,
        postgresql_where=sa.text("conversation_id IS NOT NULL"),
    )


def _targets() -> None:
    op.create_table(
        "erasure_target",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("subject", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["erasure_id"], ["erasure.id"], name=op.f("fk_erasure_target_erasure_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_target")),
        sa.UniqueConstraint(
            "erasure_id", "kind", "room_id", "subject", name=op.f("uq_erasure_target_erasure_id_kind_room_id_subject")
        ),
    )
    op.create_index(
        "ix_erasure_target_open",
        "erasure_target",
        ["erasure_id", "kind", "id"],
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    op.drop_table("erasure_target")
    op.drop_table("erasure")
    op.drop_table("rights_request")
    op.drop_column("dead_letter", "source_id")
    op.drop_column("conversation", "blocked")
    for name in _OF_CONTACT:
        op.drop_column("contact", name)
