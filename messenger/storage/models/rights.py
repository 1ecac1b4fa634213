"""The rights of a person: what was asked for and approved, and erasures on their way. Ids, codes and counts; the ids of
events and files that are still to be removed go with the last step of their erasure."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from messenger.storage.models.base import Moment, metadata

# With four eyes somebody else than who asked approves, in time; it serves once.
rights_request = Table(
    "rights_request",
    metadata,
    Column("id", Text, primary_key=True),  # short, for people
    Column("kind", Text, nullable=False),  # export, erase
    Column("contact_id", ForeignKey("contact.id"), nullable=False, index=True),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("approved_by", Text),
    Column("approved_at", Moment),
    Column("used_at", Moment),
)

# `contact_id` has no foreign key: a restored database may not know the person yet. `conversation_id` is set where the
# words or files of one conversation have lived long enough.
erasure = Table(
    "erasure",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("scope", Text, nullable=False),  # person, messages, files
    Column("subject", Text),  # the person's pseudonym, as the ledger has it
    Column("contact_id", Uuid),
    Column("conversation_id", Uuid),
    Column("ordered_by", Text, nullable=False),
    Column("approved_by", Text),
    Column("step", Text, nullable=False),  # the next one
    Column("ledger_position", BigInteger),
    Column("begun_at", Moment, nullable=False),
    Column("next_at", Moment, nullable=False, server_default=func.now()),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("code", Text),  # why the last try did not end well
    Column("done_at", Moment),
    Column("certificate", JSONB),
    UniqueConstraint("subject"),
    Index("ix_erasure_open", "next_at", postgresql_where=text("done_at IS NULL")),
    Index(
        "ix_erasure_conversation",
        "conversation_id",
        "scope",
        unique=True,
        postgresql_where=text("conversation_id IS NOT NULL"),
    ),
)

# What is to be looked through (`thread`, `room`, `message`) or removed (`event`, `media`, `leave`, `person`).
erasure_target = Table(
    "erasure_target",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("erasure_id", ForeignKey("erasure.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("place", Text, nullable=False),  # group_room, case_room, customer_room
    Column("room_id", Text, nullable=False, server_default=text("''")),
    Column("subject", Text, nullable=False, server_default=text("''")),
    Column("state", Text, nullable=False, server_default=text("'open'")),  # then done, requested, impossible
    Column("code", Text),
    UniqueConstraint("erasure_id", "kind", "room_id", "subject"),
    Index("ix_erasure_target_open", "erasure_id", "kind", "id", postgresql_where=text("state = 'open'")),
)
