"""Tables of the crypto store. `account` is the bot's user id. What could decrypt a message or tell who trusts whom
stands in `sealed`; the other columns are what SQL must see: keys of look-ups, counters, flags."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text

from messenger.storage.models.base import metadata


def _crypto_table(name: str, keys: tuple[str, ...], *columns: Column[object]) -> Table:
    primary = [Column(key, Text, primary_key=True) for key in ("account", *keys)]
    return Table(name, metadata, *primary, *columns, Column("sealed", LargeBinary))


def _flag(name: str) -> Column[object]:
    return Column(name, Boolean, nullable=False, server_default="false")


mx_account = _crypto_table("mx_account", (), Column("device_id", Text, nullable=False))

mx_olm = _crypto_table(
    "mx_olm",
    ("sender_key", "session_id"),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
)

# The session id stands before the sender key: newer clients leave the sender key out of their events.
mx_megolm = _crypto_table(
    "mx_megolm",
    ("room_id", "session_id", "sender_key"),
    Column("first_index", BigInteger, nullable=False),
    Column("ed25519", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    _flag("shared_history"),
    _flag("backed_up"),
    _flag("imported"),
)
Index("ix_mx_megolm_not_backed_up", mx_megolm.c.account, postgresql_where=~mx_megolm.c.backed_up)
Index("ix_mx_megolm_sender_key", mx_megolm.c.account, mx_megolm.c.sender_key)

mx_megolm_out = _crypto_table(
    "mx_megolm_out",
    ("room_id",),
    Column("session_id", Text, nullable=False),
    Column("messages", Integer, nullable=False),
)

# Who has the key of the outbound session: long, and changed far less often than the ratchet itself.
mx_megolm_shared = _crypto_table("mx_megolm_shared", ("room_id",), Column("session_id", Text, nullable=False))

mx_device = _crypto_table("mx_device", ("user_id", "device_id"), _flag("deleted"))

mx_identity = _crypto_table("mx_identity", ("user_id",), _flag("changed"))

mx_tracked = _crypto_table("mx_tracked", ("user_id",), _flag("stale"))

mx_withheld = _crypto_table("mx_withheld", ("room_id", "session_id", "user_id"), Column("code", Text, nullable=False))

CRYPTO_TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        mx_account,
        mx_olm,
        mx_megolm,
        mx_megolm_out,
        mx_megolm_shared,
        mx_device,
        mx_identity,
        mx_tracked,
        mx_withheld,
    )
}
