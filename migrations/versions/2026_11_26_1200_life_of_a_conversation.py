"""The life of a conversation: places, pauses, the end and the beginning again; people's skills and availability

Revision: 0003   After: 0002
Phase: expand
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "availability_log",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("availability", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_availability_log_staff_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_availability_log")),
    )
    op.create_index(op.f("ix_availability_log_staff_id"), "availability_log", ["staff_id"], unique=False)
    op.create_table(
        "staff_skill",
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("skill", sa.Text(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_skill_staff_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("staff_id", "skill", name=op.f("pk_staff_skill")),
    )
    op.create_table(
        "case_member",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"], name=op.f("fk_case_member_conversation_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_case_member_staff_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("conversation_id", "staff_id", name=op.f("pk_case_member")),
    )
    op.create_table(
        "place",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("is_room", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"], name=op.f("fk_place_conversation_id")),
        sa.ForeignKeyConstraint(["group_id"], ["skill_group.id"], name=op.f("fk_place_group_id")),
        sa.PrimaryKeyConstraint("conversation_id", "number", name=op.f("pk_place")),
    )
    op.create_index("ix_place_room_id", "place", ["room_id", "made_at"], unique=False)
    op.create_table(
        "routing_decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("explanation", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_routing_decision_conversation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_decision")),
    )
    op.create_index("ix_routing_decision_conversation_id", "routing_decision", ["conversation_id", "id"], unique=False)
    op.create_table(
        "reaction",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_reaction_message_id")),
        sa.PrimaryKeyConstraint("account", "event", name=op.f("pk_reaction")),
    )
    op.create_index(op.f("ix_reaction_message_id"), "reaction", ["message_id"], unique=False)
    op.add_column("contact", sa.Column("consent_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("contact", sa.Column("consent_source", sa.Text(), nullable=True))
    op.add_column("conversation", sa.Column("unanswered_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("warned_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("previous_id", sa.Uuid(), nullable=True))
    op.add_column("conversation", sa.Column("place", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column(
        "conversation", sa.Column("is_in_room", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("conversation", sa.Column("paused_by", sa.Uuid(), nullable=True))
    op.add_column("conversation", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("pause_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("wake_on", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("conversation", sa.Column("pause_note", sa.Uuid(), nullable=True))
    op.add_column("conversation", sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("resolution", sa.Text(), nullable=True))
    op.add_column(
        "conversation",
        sa.Column("unrouted", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "conversation",
        sa.Column("scheduled", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("conversation", sa.Column("enc_tags", sa.LargeBinary(), nullable=True))
    op.create_index("ix_conversation_chat_id", "conversation", ["chat_id"], unique=False)
    op.create_index(
        "ix_conversation_queue",
        "conversation",
        ["group_id", "queued_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.add_column("message", sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False))
    op.add_column("message", sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_message_conversation_id_seq", "message", ["conversation_id", "seq"], unique=False)
    op.create_unique_constraint(op.f("uq_message_seq"), "message", ["seq"])
    op.add_column("outbox", sa.Column("message_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_outbox_message_id",
        "outbox",
        ["message_id"],
        unique=False,
        postgresql_where=sa.text("state = 'new' AND message_id IS NOT NULL"),
    )
    op.add_column("skill_group", sa.Column("board_event", sa.Text(), nullable=True))
    op.add_column("skill_group", sa.Column("board_edit_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("staff", sa.Column("availability", sa.Text(), server_default=sa.text("'available'"), nullable=False))
    op.add_column(
        "staff",
        sa.Column("availability_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("staff", sa.Column("enc_availability_reason", sa.LargeBinary(), nullable=True))
    op.add_column(
        "staff",
        sa.Column(
            "capacity_units",
            sa.Numeric(precision=6, scale=2, asdecimal=False),
            server_default=sa.text("5"),
            nullable=False,
        ),
    )
    op.add_column("staff", sa.Column("last_assigned_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("staff", sa.Column("direct_room", sa.Text(), nullable=True))
    op.add_column("timer", sa.Column("conversation_id", sa.Uuid(), nullable=True))

    # What is there already has its card in its group's room; it waits since it came.
    op.execute("""
        INSERT INTO place (conversation_id, number, group_id, room_id, card)
        SELECT id, 1, group_id, card_room, card_event FROM conversation
        WHERE card_event IS NOT NULL AND group_id IS NOT NULL""")
    op.execute("UPDATE conversation SET queued_at = opened_at")
    op.execute("UPDATE remote_message SET part = 1 WHERE kind = 'card'")


def downgrade() -> None:
    op.execute("UPDATE remote_message SET part = 0 WHERE kind = 'card'")
    op.drop_column("timer", "conversation_id")
    op.drop_column("staff", "direct_room")
    op.drop_column("staff", "last_assigned_at")
    op.drop_column("staff", "capacity_units")
    op.drop_column("staff", "enc_availability_reason")
    op.drop_column("staff", "availability_since")
    op.drop_column("staff", "availability")
    op.drop_column("skill_group", "board_edit_at")
    op.drop_column("skill_group", "board_event")
    op.drop_index(
        "ix_outbox_message_id",
        table_name="outbox",
        postgresql_where=sa.text("state = 'new' AND message_id IS NOT NULL"),
    )
    op.drop_column("outbox", "message_id")
    op.drop_constraint(op.f("uq_message_seq"), "message", type_="unique")
    op.drop_index("ix_message_conversation_id_seq", table_name="message")
    op.drop_column("message", "edited_at")
    op.drop_column("message", "seq")
    op.drop_index("ix_conversation_queue", table_name="conversation", postgresql_where=sa.text("state = 'queued'"))
    op.drop_index("ix_conversation_chat_id", table_name="conversation")
    op.drop_column("conversation", "enc_tags")
    op.drop_column("conversation", "scheduled")
    op.drop_column("conversation", "unrouted")
    op.drop_column("conversation", "resolution")
    op.drop_column("conversation", "resolved_at")
    op.drop_column("conversation", "pause_note")
    op.drop_column("conversation", "wake_on")
    op.drop_column("conversation", "pause_until")
    op.drop_column("conversation", "paused_at")
    op.drop_column("conversation", "paused_by")
    op.drop_column("conversation", "is_in_room")
    op.drop_column("conversation", "place")
    op.drop_column("conversation", "previous_id")
    op.drop_column("conversation", "queued_at")
    op.drop_column("conversation", "warned_at")
    op.drop_column("conversation", "answered_at")
    op.drop_column("conversation", "unanswered_since")
    op.drop_column("contact", "consent_source")
    op.drop_column("contact", "consent_at")
    op.drop_index(op.f("ix_reaction_message_id"), table_name="reaction")
    op.drop_table("reaction")
    op.drop_index("ix_routing_decision_conversation_id", table_name="routing_decision")
    op.drop_table("routing_decision")
    op.drop_index("ix_place_room_id", table_name="place")
    op.drop_table("place")
    op.drop_table("case_member")
    op.drop_table("staff_skill")
    op.drop_index(op.f("ix_availability_log_staff_id"), table_name="availability_log")
    op.drop_table("availability_log")
