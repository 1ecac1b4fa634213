"""Contacts, their chats, conversations with their log, messages and the map of remote ids. Bodies and names of
customers are sealed (`enc_` columns)."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from messenger.storage.models.base import Moment, metadata

contact = Table(
    "contact",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("enc_name", LargeBinary),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
)

channel_identity = Table(
    "channel_identity",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("contact_id", ForeignKey("contact.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False, server_default=text("''")),
    Column("value", Text, nullable=False),
    UniqueConstraint("kind", "scope", "value"),
)

chat = Table(
    "chat",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account", Text, nullable=False),
    Column("remote", Text, nullable=False),
    Column("contact_id", ForeignKey("contact.id"), nullable=False),
    Column("identity_id", ForeignKey("channel_identity.id"), nullable=False),
    Column("language", Text, nullable=False, server_default=text("''")),
    Column("conversation_id", Uuid),  # the open one
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    UniqueConstraint("account", "remote"),
)

conversation = Table(
    "conversation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", Text, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("contact_id", ForeignKey("contact.id"), nullable=False),
    Column("chat_id", ForeignKey("chat.id"), nullable=False),
    Column("language", Text, nullable=False),
    Column("group_id", ForeignKey("skill_group.id"), index=True),
    Column("owner_id", ForeignKey("staff.id"), index=True),
    Column("opened_at", Moment, nullable=False),
    Column("claimed_at", Moment),
    Column("waiting_since", Moment),
    Column("card_room", Text),
    Column("card_event", Text),
    Column("card_edit_at", Moment),  # the next edit of the card not before
)

event_log = Table(
    "event_log",
    metadata,
    Column("pos", BigInteger, Identity(), primary_key=True),
    Column("conversation_id", ForeignKey("conversation.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema_v", SmallInteger, nullable=False, server_default=text("1")),
    Column("actor", Text, nullable=False),
    Column("ids", JSONB, nullable=False),  # ids and codes, never text
    Column("at", Moment, nullable=False),
    UniqueConstraint("conversation_id", "version"),
)

message = Table(
    "message",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("conversation_id", ForeignKey("conversation.id"), nullable=False),
    Column("author_id", ForeignKey("staff.id")),  # null: the customer
    Column("type", Text, nullable=False),
    Column("fate", Text),
    Column("flags", Integer, nullable=False, server_default=text("0")),
    Column("at", Moment, nullable=False),
    Column("enc_body", LargeBinary, nullable=False),
    Index("ix_message_conversation_id_at", "conversation_id", "at"),
)

# Every id by which a side names something of ours; edits, reactions, replies and receipts follow it.
remote_message = Table(
    "remote_message",
    metadata,
    Column("account", Text, primary_key=True),
    Column("remote_id", Text, primary_key=True),
    Column("part", SmallInteger, primary_key=True, server_default=text("0")),
    Column("kind", Text, nullable=False),
    Column("room", Text, nullable=False),
    Column("conversation_id", Uuid),
    Column("message_id", Uuid),
    Index("ix_remote_message_message_id", "message_id", postgresql_where=text("message_id IS NOT NULL")),
)

# What a person was told once in a conversation.
told = Table(
    "told",
    metadata,
    Column("conversation_id", ForeignKey("conversation.id"), primary_key=True),
    Column("staff_id", ForeignKey("staff.id"), primary_key=True),
    Column("text", Text, primary_key=True),
)
