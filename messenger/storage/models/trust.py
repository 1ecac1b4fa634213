"""Verifications, and doubts about people's keys with what was decided. Public keys and ids only."""

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text, func, text

from messenger.storage.models.base import Moment, metadata

# `state`: `begun`, `compare` (people look), `done` (the other side has proved its keys), `ended` with the code why.
verification = Table(
    "verification",
    metadata,
    Column("account", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("room_id", Text),
    Column("emoji", Text, nullable=False, server_default=text("''")),
    Column("decimals", Text, nullable=False, server_default=text("''")),
    Column("state", Text, nullable=False),
    Column("code", Text, nullable=False, server_default=text("''")),
    Column("master", Text, nullable=False, server_default=text("''")),
    Column("began_at", Moment, nullable=False, server_default=func.now()),
    Column("ended_at", Moment),
    Index("ix_verification_user_id", "user_id"),
)

# `key` is what the doubt is about: a device's Ed25519 key, a master key, or nothing for a person in a room.
# `state`: `open`, `trusted`, `removed`, or `cleared` when its cause went away by itself.
trust_alert = Table(
    "trust_alert",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("device_id", Text, nullable=False, server_default=text("''")),
    Column("cause", Text, nullable=False),
    Column("key", Text, nullable=False, server_default=text("''")),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("raised_at", Moment, nullable=False, server_default=func.now()),
    Column("decided_at", Moment),
    Column("decided_by", Text, nullable=False, server_default=text("''")),
    Index("ix_trust_alert_room_id", "room_id", "user_id"),
    Index("uq_trust_alert_open", "account", "room_id", "user_id", "device_id", "cause", "key", unique=True,
          postgresql_where=text("state = 'open'")),
)  # fmt: skip

# The master key that people were told of last.
announced_identity = Table(
    "announced_identity",
    metadata,
    Column("account", Text, primary_key=True),
    Column("master", Text, nullable=False),
    Column("since", Moment, nullable=False, server_default=func.now()),
)
