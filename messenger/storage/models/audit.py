"""The audit log. Triggers (see the migration) refuse UPDATE, DELETE and TRUNCATE for every role, the owner's too."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text

from messenger.storage.models.base import Moment, metadata

# Ids and codes only. `enc_words` is a sealed reason, where a person had to give one. `mac` chains the row to the one
# before it under the audit key `key_no`.
audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # allowed, refused
    Column("reason", Text, nullable=False),
    Column("details", Text, nullable=False),  # a JSON object of codes, in canonical form
    Column("enc_words", LargeBinary),
    Column("key_no", Integer, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Index("ix_audit_object", "object", "seq"),
    Index("ix_audit_actor", "actor", "seq"),
)

# One row: where the chain ends. Whoever appends holds it until their transaction ends.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("key_no", Integer, nullable=False),
    CheckConstraint("id = 1", name="ck_audit_head_one_row"),
)
