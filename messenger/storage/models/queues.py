"""The durable queues: inbox, outbox, timers; cursors and leases; what was given up."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from messenger.storage.models.base import Moment, metadata

# Finished rows leave dead tuples behind fast; these settings keep the claims quick.
_QUEUE_STORAGE: dict[str, float] = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_cost_delay": 0,
}

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("enc_body", LargeBinary, nullable=False),
    Column("enc_raw", LargeBinary),  # the event as it came, while it waits for its key
    Column("room_id", Text),
    Column("session_id", Text),
    Column("state", Text, nullable=False, server_default=text("'new'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # of the attempts; waiting is none
    Column("next_at", Moment, nullable=False, server_default=func.now()),  # when it ended, if it has
    Column("received_at", Moment, nullable=False, server_default=func.now()),
    Column("paced", Text, nullable=False, server_default=text("''")),  # which limits it has behind it
    Column("flood_id", BigInteger),  # by which flood it is held, or was
    UniqueConstraint("source", "source_id"),
    Index("ix_inbox_held", "flood_id", "lane", postgresql_where=text("state = 'held'")),
    Index("ix_inbox_open", "id", postgresql_where=text("state = 'new'")),
    Index("ix_inbox_open_lane", "lane", "id", postgresql_where=text("state IN ('new', 'waiting_key')")),
    Index(
        "ix_inbox_unreadable", "room_id", "session_id", postgresql_where=text("state IN ('waiting_key', 'quarantine')")
    ),
    postgresql_with=_QUEUE_STORAGE,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("conversation_id", Uuid),
    Column("message_id", Uuid),  # of an answer: until it leaves, it can be changed or taken back
    Column("lane", Text, nullable=False),
    Column("desk", Text, nullable=False),
    Column("device_id", Text),
    Column("txn", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("merge_key", Text),  # set for effects of which the latest wins
    Column("enc_body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'new'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # of the attempts; a killed one is none
    Column("next_at", Moment, nullable=False, server_default=func.now()),  # when it ended, if it has
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Column("first_try_at", Moment),
    Column("failing_since", Moment),  # nobody is asked to do something, and still it does not get through
    Column("claimed_until", Moment),
    Column("claim_token", Uuid),
    Column("code", Text),
    Index("ix_outbox_open", "next_at", "id", postgresql_where=text("state IN ('new', 'claimed', 'unknown')")),
    Index("ix_outbox_open_lane", "lane", "id", postgresql_where=text("state IN ('new', 'claimed', 'unknown')")),
    Index("ix_outbox_message_id", "message_id", postgresql_where=text("state = 'new' AND message_id IS NOT NULL")),
    Index(
        "ix_outbox_merge_key",
        "merge_key",
        unique=True,
        postgresql_where=text("state = 'new' AND merge_key IS NOT NULL"),
    ),
    postgresql_with=_QUEUE_STORAGE,
)

timer = Table(
    "timer",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("conversation_id", Uuid),
    Column("due_at", Moment, nullable=False, index=True),
    UniqueConstraint("kind", "subject", "due_at"),
)

cursor = Table(
    "cursor",
    metadata,
    Column("source", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

# A ciphertext is taken once, under whatever event id it comes again.
megolm_seen = Table(
    "megolm_seen",
    metadata,
    Column("account", Text, primary_key=True),
    Column("room_id", Text, primary_key=True),
    Column("sender_key", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("event_id", Text, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until", Moment, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("row_id", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("enc_raw", LargeBinary),
    Column("source_id", Text),  # of an event that was put aside whole
    Column("decision", Text, nullable=False, server_default=text("'skip_and_mark'")),  # or block_lane
    Column("verdict", Text),  # a person's: retry or drop
    Column("decided_by", Text),
    Column("decided_at", Moment),
    Index("ix_dead_letter_undecided", "id", postgresql_where=text("verdict IS NULL")),
)

desk = Table(
    "desk",
    metadata,
    Column("account", Text, primary_key=True),  # the bot's user id
    Column("device_id", Text, nullable=False),
    Column("enc_login", LargeBinary, nullable=False),
    Column("enc_identity", LargeBinary),
    Column("key_id", ForeignKey("data_key.kid"), nullable=False),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Column("mark", BigInteger, nullable=False, server_default=text("0")),  # also kept at the homeserver; only grows
)
