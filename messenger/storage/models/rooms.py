"""What we know of Matrix rooms, from their state events: never from a full-state sync."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text, func, text

from messenger.storage.models.base import Moment, metadata

# `encrypted` is a pin: it is set at the first sight of m.room.encryption and never taken back.
mx_room = Table(
    "mx_room",
    metadata,
    Column("account", Text, primary_key=True),
    Column("room_id", Text, primary_key=True),
    Column("encrypted", Boolean, nullable=False, server_default=text("false")),
    Column("algorithm", Text),
    Column("rotation_ms", BigInteger),
    Column("rotation_messages", Integer),
    Column("history_visibility", Text, nullable=False, server_default=text("'shared'")),
    Column("membership", Text, nullable=False, server_default=text("'join'")),
    Column("members_known", Boolean, nullable=False, server_default=text("false")),
)

mx_member = Table(
    "mx_member",
    metadata,
    Column("account", Text, primary_key=True),
    Column("room_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("membership", Text, nullable=False),
    Index("ix_mx_member_user_id", "user_id"),
)

# A room of somebody's that was replaced (m.room.tombstone). `state`: `pending` (nothing leaves for a customer in it),
# `followed`, or `refused` (it stays in use). `code`: what keeps us from following. `group_id` and `chat_id`: whose it
# was; what is said there late still belongs to them.
room_succession = Table(
    "room_succession",
    metadata,
    Column("account", Text, primary_key=True),
    Column("room_id", Text, primary_key=True),
    Column("successor", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("code", Text, nullable=False, server_default=text("''")),
    Column("group_id", ForeignKey("skill_group.id", ondelete="CASCADE"), index=True),
    Column("chat_id", ForeignKey("chat.id", ondelete="CASCADE"), index=True),
    Column("at", Moment, nullable=False, server_default=func.now()),
)
