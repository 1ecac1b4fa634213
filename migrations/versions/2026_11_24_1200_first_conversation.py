"""The first conversation: queues, conversations, people, rooms, keys and the crypto store

Revision: 0001   After: -
Phase: expand
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contact",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("enc_name", sa.LargeBinary(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
    )
    op.create_table(
        "cursor",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_cursor")),
    )
    op.create_table(
        "data_key",
        sa.Column("kid", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_data_key")),
        sa.UniqueConstraint("scope", name=op.f("uq_data_key_scope")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("enc_raw", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("enc_body", sa.LargeBinary(), nullable=False),
        sa.Column("enc_raw", sa.LargeBinary(), nullable=True),
        sa.Column("room_id", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'new'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("source", "source_id", name=op.f("uq_inbox_source_source_id")),
        postgresql_with={"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.01, "autovacuum_vacuum_cost_delay": 0},
    )
    op.create_index("ix_inbox_open", "inbox", ["id"], unique=False, postgresql_where=sa.text("state = 'new'"))
    op.create_index(
        "ix_inbox_open_lane",
        "inbox",
        ["lane", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('new', 'waiting_key')"),
    )
    op.create_index(
        "ix_inbox_unreadable",
        "inbox",
        ["room_id", "session_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting_key', 'quarantine')"),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Uuid(), nullable=False),
        sa.Column("root_kid", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_installation_one_row"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "lease",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("resource", name=op.f("pk_lease")),
    )
    op.create_table(
        "megolm_seen",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "room_id", "sender_key", "session_id", "idx", name=op.f("pk_megolm_seen")),
    )
    op.create_table(
        "mx_account",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_mx_account")),
    )
    op.create_table(
        "mx_device",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "user_id", "device_id", name=op.f("pk_mx_device")),
    )
    op.create_table(
        "mx_identity",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("changed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "user_id", name=op.f("pk_mx_identity")),
    )
    op.create_table(
        "mx_megolm",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("first_index", sa.BigInteger(), nullable=False),
        sa.Column("ed25519", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("shared_history", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("backed_up", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("imported", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "room_id", "session_id", "sender_key", name=op.f("pk_mx_megolm")),
    )
    op.create_index(
        "ix_mx_megolm_not_backed_up", "mx_megolm", ["account"], unique=False, postgresql_where=sa.text("NOT backed_up")
    )
    op.create_index("ix_mx_megolm_sender_key", "mx_megolm", ["account", "sender_key"], unique=False)
    op.create_table(
        "mx_megolm_out",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "room_id", name=op.f("pk_mx_megolm_out")),
    )
    op.create_table(
        "mx_megolm_shared",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "room_id", name=op.f("pk_mx_megolm_shared")),
    )
    op.create_table(
        "mx_member",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("membership", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "room_id", "user_id", name=op.f("pk_mx_member")),
    )
    op.create_index("ix_mx_member_user_id", "mx_member", ["user_id"], unique=False)
    op.create_table(
        "mx_olm",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "sender_key", "session_id", name=op.f("pk_mx_olm")),
    )
    op.create_table(
        "mx_room",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=True),
        sa.Column("rotation_ms", sa.BigInteger(), nullable=True),
        sa.Column("rotation_messages", sa.Integer(), nullable=True),
        sa.Column("history_visibility", sa.Text(), server_default=sa.text("'shared'"), nullable=False),
        sa.Column("membership", sa.Text(), server_default=sa.text("'join'"), nullable=False),
        sa.Column("members_known", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("account", "room_id", name=op.f("pk_mx_room")),
    )
    op.create_table(
        "mx_tracked",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("stale", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "user_id", name=op.f("pk_mx_tracked")),
    )
    op.create_table(
        "mx_withheld",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account", "room_id", "session_id", "user_id", name=op.f("pk_mx_withheld")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=True),
        sa.Column("txn", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("merge_key", sa.Text(), nullable=True),
        sa.Column("enc_body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'new'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("first_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_token", sa.Uuid(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("txn", name=op.f("uq_outbox_txn")),
        postgresql_with={"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.01, "autovacuum_vacuum_cost_delay": 0},
    )
    op.create_index(
        "ix_outbox_merge_key",
        "outbox",
        ["merge_key"],
        unique=True,
        postgresql_where=sa.text("state = 'new' AND merge_key IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_open",
        "outbox",
        ["next_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('new', 'claimed', 'unknown')"),
    )
    op.create_index(
        "ix_outbox_open_lane",
        "outbox",
        ["lane", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('new', 'claimed', 'unknown')"),
    )
    op.create_table(
        "remote_message",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("part", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("account", "remote_id", "part", name=op.f("pk_remote_message")),
    )
    op.create_index(
        "ix_remote_message_message_id",
        "remote_message",
        ["message_id"],
        unique=False,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_table(
        "skill_group",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("languages", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("keywords", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skill_group")),
        sa.UniqueConstraint("name", name=op.f("uq_skill_group_name")),
        sa.UniqueConstraint("room_id", name=op.f("uq_skill_group_room_id")),
    )
    op.create_index(
        "ix_skill_group_one_default", "skill_group", ["is_default"], unique=True, postgresql_where=sa.text("is_default")
    )
    op.create_table(
        "staff",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("address", name=op.f("uq_staff_address")),
    )
    op.create_table(
        "timer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timer")),
        sa.UniqueConstraint("kind", "subject", "due_at", name=op.f("uq_timer_kind_subject_due_at")),
    )
    op.create_index(op.f("ix_timer_due_at"), "timer", ["due_at"], unique=False)
    op.create_table(
        "channel_identity",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_channel_identity_contact_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_identity")),
        sa.UniqueConstraint("kind", "scope", "value", name=op.f("uq_channel_identity_kind_scope_value")),
    )
    op.create_index(op.f("ix_channel_identity_contact_id"), "channel_identity", ["contact_id"], unique=False)
    op.create_table(
        "desk",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("enc_login", sa.LargeBinary(), nullable=False),
        sa.Column("enc_identity", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["data_key.kid"], name=op.f("fk_desk_key_id")),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_desk")),
    )
    op.create_table(
        "group_member",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["skill_group.id"], name=op.f("fk_group_member_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_group_member_staff_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "staff_id", name=op.f("pk_group_member")),
    )
    op.create_index("ix_group_member_staff_id", "group_member", ["staff_id"], unique=False)
    op.create_table(
        "chat",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("identity_id", sa.Uuid(), nullable=False),
        sa.Column("language", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_chat_contact_id")),
        sa.ForeignKeyConstraint(["identity_id"], ["channel_identity.id"], name=op.f("fk_chat_identity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat")),
        sa.UniqueConstraint("account", "remote", name=op.f("uq_chat_account_remote")),
    )
    op.create_table(
        "conversation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("chat_id", sa.Uuid(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("card_room", sa.Text(), nullable=True),
        sa.Column("card_event", sa.Text(), nullable=True),
        sa.Column("card_edit_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("fk_conversation_chat_id")),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_conversation_contact_id")),
        sa.ForeignKeyConstraint(["group_id"], ["skill_group.id"], name=op.f("fk_conversation_group_id")),
        sa.ForeignKeyConstraint(["owner_id"], ["staff.id"], name=op.f("fk_conversation_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation")),
        sa.UniqueConstraint("number", name=op.f("uq_conversation_number")),
    )
    op.create_index(op.f("ix_conversation_group_id"), "conversation", ["group_id"], unique=False)
    op.create_index(op.f("ix_conversation_owner_id"), "conversation", ["owner_id"], unique=False)
    op.create_table(
        "event_log",
        sa.Column("pos", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("schema_v", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("ids", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"], name=op.f("fk_event_log_conversation_id")),
        sa.PrimaryKeyConstraint("pos", name=op.f("pk_event_log")),
        sa.UniqueConstraint("conversation_id", "version", name=op.f("uq_event_log_conversation_id_version")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("fate", sa.Text(), nullable=True),
        sa.Column("flags", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("enc_body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["staff.id"], name=op.f("fk_message_author_id")),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"], name=op.f("fk_message_conversation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index("ix_message_conversation_id_at", "message", ["conversation_id", "at"], unique=False)
    op.create_table(
        "told",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversation.id"], name=op.f("fk_told_conversation_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_told_staff_id")),
        sa.PrimaryKeyConstraint("conversation_id", "staff_id", "text", name=op.f("pk_told")),
    )


def downgrade() -> None:
    op.drop_table("told")
    op.drop_index("ix_message_conversation_id_at", table_name="message")
    op.drop_table("message")
    op.drop_table("event_log")
    op.drop_index(op.f("ix_conversation_owner_id"), table_name="conversation")
    op.drop_index(op.f("ix_conversation_group_id"), table_name="conversation")
    op.drop_table("conversation")
    op.drop_table("chat")
    op.drop_index("ix_group_member_staff_id", table_name="group_member")
    op.drop_table("group_member")
    op.drop_table("desk")
    op.drop_index(op.f("ix_channel_identity_contact_id"), table_name="channel_identity")
    op.drop_table("channel_identity")
    op.drop_index(op.f("ix_timer_due_at"), table_name="timer")
    op.drop_table("timer")
    op.drop_table("staff")
    op.drop_index("ix_skill_group_one_default", table_name="skill_group", postgresql_where=sa.text("is_default"))
    op.drop_table("skill_group")
    op.drop_index(
        "ix_remote_message_message_id", table_name="remote_message", postgresql_where=sa.text("message_id IS NOT NULL")
    )
    op.drop_table("remote_message")
    op.drop_index(
        "ix_outbox_open_lane", table_name="outbox", postgresql_where=sa.text("state IN ('new', 'claimed', 'unknown')")
    )
    op.drop_index(
        "ix_outbox_open", table_name="outbox", postgresql_where=sa.text("state IN ('new', 'claimed', 'unknown')")
    )
    op.drop_index(
        "ix_outbox_merge_key", table_name="outbox", postgresql_where=sa.text("state = 'new' AND merge_key IS NOT NULL")
    )
    op.drop_table("outbox")
    op.drop_table("mx_withheld")
    op.drop_table("mx_tracked")
    op.drop_table("mx_room")
    op.drop_table("mx_olm")
    op.drop_index("ix_mx_member_user_id", table_name="mx_member")
    op.drop_table("mx_member")
    op.drop_table("mx_megolm_shared")
    op.drop_table("mx_megolm_out")
    op.drop_index("ix_mx_megolm_sender_key", table_name="mx_megolm")
    op.drop_index("ix_mx_megolm_not_backed_up", table_name="mx_megolm", postgresql_where=sa.text("NOT backed_up"))
    op.drop_table("mx_megolm")
    op.drop_table("mx_identity")
    op.drop_table("mx_device")
    op.drop_table("mx_account")
    op.drop_table("megolm_seen")
    op.drop_table("lease")
    op.drop_table("installation")
    op.drop_index(
        "ix_inbox_unreadable", table_name="inbox", postgresql_where=sa.text("state IN ('waiting_key', 'quarantine')")
    )
    op.drop_index("ix_inbox_open_lane", table_name="inbox", postgresql_where=sa.text("state IN ('new', 'waiting_key')"))
    op.drop_index("ix_inbox_open", table_name="inbox", postgresql_where=sa.text("state = 'new'"))
    op.drop_table("inbox")
    op.drop_table("dead_letter")
    op.drop_table("data_key")
    op.drop_table("cursor")
    op.drop_table("contact")
