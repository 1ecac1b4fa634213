"""The key database: one key for each person, and which root keys have wrapped them. It has a schema and a life of its
own: whoever holds an old copy of the main database, but no copy of this one from before an erasure, opens nothing of
the person who was erased."""

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from messenger.storage.models.base import Moment, metadata

key_metadata = MetaData(naming_convention=metadata.naming_convention)

# `current` wraps what is new. `leaving`: a rotation is on its way, it still opens. `retired`: nothing names it any
# more.
root_key = Table(
    "root_key",
    key_metadata,
    Column("kid", BigInteger, primary_key=True),
    Column("state", Text, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Column("retired_at", Moment),
    Index("ix_root_key_one_current", "state", unique=True, postgresql_where=text("state = 'current'")),
)

# `subject` is a contact, somebody of the staff, or a day of the queues. A destroyed key leaves its row behind, so that
# "destroyed" can be told from "missing"; a person who comes back gets a new one.
subject_key = Table(
    "subject_key",
    key_metadata,
    Column("kid", Integer, Identity(always=False), primary_key=True),
    Column("subject", Uuid, nullable=False),
    Column("wrapped", LargeBinary),  # null: destroyed
    Column("root_kid", BigInteger, nullable=False),  # what wrapped it; the record says so too
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Column(
        "used_at", Moment, nullable=False, server_default=func.now()
    ),  # when it was last asked for to wrap something
    Column("destroyed_at", Moment),
    Index("ix_subject_key_subject", "subject", unique=True, postgresql_where=text("destroyed_at IS NULL")),
    Index("ix_subject_key_destroyed_at", "destroyed_at", postgresql_where=text("destroyed_at IS NOT NULL")),
)
