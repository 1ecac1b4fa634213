"""What a backup and its restore leave behind."""

from sqlalchemy import BigInteger, Column, Table, Text, Uuid, func

from messenger.storage.models.base import Moment, metadata

# The data of this table is in no backup: where a desk's row is missing, the database was restored, by whatever means,
# and the desk's device must not be used again.
living_desk = Table("living_desk", metadata, Column("account", Text, primary_key=True))

# Our own events that the homeserver had when a desk was recovered: what the database has forgotten was sent.
sent_before = Table(
    "sent_before",
    metadata,
    Column("account", Text, primary_key=True),
    Column("txn", Text, primary_key=True),
    Column("room_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
)

backup_set = Table(
    "backup_set",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),  # main, keys, continuous
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Column("bytes", BigInteger, nullable=False),
)
