"""The installation and its data keys."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Integer, LargeBinary, Table, Text, Uuid, func

from messenger.storage.models.base import Moment, metadata

# One row. `namespace` makes all deterministic ids: random, so that other servers cannot link rooms by transaction ids.
installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("namespace", Uuid, nullable=False),
    Column("root_kid", BigInteger, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    CheckConstraint("id = 1", name="ck_installation_one_row"),
)

# `wrapped` is sealed under the key of `subject` in the key database, or under the root key where there is none; its
# record names the wrapping key.
data_key = Table(
    "data_key",
    metadata,
    Column("kid", Integer, Identity(always=False), primary_key=True),
    Column("scope", Text, nullable=False, unique=True),  # conversation:<uuid>, desk:<user id>, queue:<day>
    Column("subject", Uuid, index=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
)
