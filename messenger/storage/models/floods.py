"""Limits: buckets that are not full, and floods, whose messages wait in the inbox until somebody decides."""

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, Table, Text, Uuid, func, text

from messenger.storage.models.base import Moment, metadata

# A copy of what the serving process knows, worth a minute at most: it needs no log, and no backup.
rate_bucket = Table(
    "rate_bucket",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Uuid, primary_key=True),
    Column("full_at", Moment, nullable=False),
    prefixes=["UNLOGGED"],
)

flood = Table(
    "flood",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("scope", Text, nullable=False),
    Column("key", Uuid, nullable=False),
    Column("about", Text, nullable=False, server_default=text("''")),  # the server that it comes from
    Column("group_id", ForeignKey("skill_group.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("chat_id", Uuid),
    Column("conversation_id", Uuid),
    Column("since", Moment, nullable=False, server_default=func.now()),
    Column("event", Text),  # its card in the group's room
    Column("shown", Integer, nullable=False, server_default=text("0")),  # the number that stands on the card
    Column("edit_at", Moment),  # the next edit of the card not before
    Column("messages", Integer, nullable=False, server_default=text("0")),  # how many were decided about
    Column("people", Integer, nullable=False, server_default=text("0")),
    Column("verdict", Text),  # admitted or dropped
    Column("decided_by", Text),
    Column("decided_at", Moment),
    Index("ix_flood_open", "scope", "key", unique=True, postgresql_where=text("verdict IS NULL")),
)
