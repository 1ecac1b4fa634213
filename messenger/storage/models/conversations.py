"""Contacts, their chats, conversations with their log, messages and the map of remote ids. Bodies and names of
customers are sealed (`enc_` columns)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from messenger.storage.models.base import Moment, metadata

contact = Table(
    "contact",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("enc_name", LargeBinary),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Column("consent_at", Moment),  # since when this person agrees to be written to first; null: not
    Column("consent_source", Text),  # how it was given: a code, never a text
    # The person's rights. Reasons are codes. An erased one is an empty row: conversations keep their numbers.
    Column("restricted_at", Moment),
    Column("restricted_reason", Text),
    Column("held_at", Moment),
    Column("held_reason", Text),
    Column("erased_at", Moment),
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
    Column("unanswered_since", Moment),  # until 0006; `on_their_way` holds it for each answer
    Column("answered_at", Moment),
    Column("warned_at", Moment),
    Column("queued_at", Moment),
    Column("previous_id", Uuid),
    Column("place", Integer, nullable=False, server_default=text("1")),
    Column("is_in_room", Boolean, nullable=False, server_default=text("false")),
    Column("paused_by", Uuid),
    Column("paused_at", Moment),
    Column("pause_until", Moment),
    Column("wake_on", ARRAY(Text)),
    Column("pause_note", Uuid),
    Column("resolved_at", Moment),
    Column("resolution", Text),
    Column("unrouted", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("scheduled", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("on_their_way", JSONB, nullable=False, server_default=text("'[]'")),
    Column("is_unverified", Boolean, nullable=False, server_default=text("false")),
    Column("enc_tags", LargeBinary),
    Column("card_room", Text),
    Column("card_event", Text),
    Column("card_edit_at", Moment),  # the next edit of the card not before
    Column("remarks_at", Moment),  # the next remarks of the desk not before
    Column("blocked", Text),  # restricted or erased: nobody works on it
    Index("ix_conversation_queue", "group_id", "queued_at", postgresql_where=text("state = 'queued'")),
    Index("ix_conversation_board", "group_id", "state", postgresql_where=text("state IN ('queued', 'open', 'paused')")),
    Index("ix_conversation_own", "owner_id", postgresql_where=text("state IN ('open', 'paused')")),
    Index("ix_conversation_resolved", "group_id", "resolved_at", postgresql_where=text("state = 'resolved'")),
    Index("ix_conversation_chat_id", "chat_id"),
)

# Every place a conversation has had: its card, in a group's room or as the first message of a room of its own.
place = Table(
    "place",
    metadata,
    Column("conversation_id", ForeignKey("conversation.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("group_id", ForeignKey("skill_group.id"), nullable=False),
    Column("room_id", Text, nullable=False),
    Column("card", Text, nullable=False),  # the event; empty while its room is being filled
    Column("is_room", Boolean, nullable=False, server_default=text("false")),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Index("ix_place_room_id", "room_id", "made_at"),
)

# Who may read a conversation that has a room of its own.
case_member = Table(
    "case_member",
    metadata,
    Column("conversation_id", ForeignKey("conversation.id"), primary_key=True),
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True),
)

# A reaction of somebody on one side; the desk shows one of its own on the other, as long as there is any.
reaction = Table(
    "reaction",
    metadata,
    Column("account", Text, primary_key=True),
    Column("event", Text, primary_key=True),  # the reaction's own id on its side
    Column("message_id", ForeignKey("message.id"), nullable=False, index=True),
    Column("sender", Text, nullable=False),
    Column("key", Text, nullable=False),
)

# Why the router gave a conversation to somebody, or kept it: ids, codes and numbers.
routing_decision = Table(
    "routing_decision",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("conversation_id", ForeignKey("conversation.id"), nullable=False),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("explanation", JSONB, nullable=False),
    Index("ix_routing_decision_conversation_id", "conversation_id", "id"),
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
    Column("seq", BigInteger, Identity(), nullable=False, unique=True),  # the order in which we received them
    Column("edited_at", Moment),
    Index("ix_message_conversation_id_at", "conversation_id", "at"),
    Index("ix_message_conversation_id_seq", "conversation_id", "seq"),
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
