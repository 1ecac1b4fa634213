"""The crypto store's rows in PostgreSQL: sealed on the way in, opened on the way out, whatever table they belong to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Table, and_, any_, delete, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ColumnElement

from messenger.app.desk_ports import CryptoRow, CryptoTable
from messenger.channels.errors import LeaseLost
from messenger.storage.database import fetch
from messenger.storage.encryption import Key
from messenger.storage.leases import HELD, Lease
from messenger.storage.models.crypto import CRYPTO_TABLES, mx_megolm_out
from messenger.storage.statements import Statement

MEGOLM_FLAGS = ("shared_history", "backed_up", "imported")
_SAVE_RATCHETS = Statement(f"""
WITH {HELD}
INSERT INTO mx_megolm_out (account, room_id, session_id, messages, sealed)
SELECT CAST(:account AS text), new.* FROM held, unnest(CAST(:room_ids AS text[]), CAST(:session_ids AS text[]),
  CAST(:messagess AS int[]), CAST(:sealeds AS bytea[])) AS new
ON CONFLICT (account, room_id) DO UPDATE
  SET session_id = excluded.session_id, messages = excluded.messages, sealed = excluded.sealed
RETURNING room_id""")  # noqa: S608 - fixed texts of ours


class SqlCryptoRows:
    """Rows of one account on one open transaction. Implements `CryptoRows`."""

    def __init__(self, connection: AsyncConnection, *, account: str, key: Key) -> None:
        self._connection, self._account, self._key = connection, account, key

    async def read(
        self, table: CryptoTable, where: Sequence[Mapping[str, Any]] | None = None, *, limit: int | None = None
    ) -> Sequence[CryptoRow]:
        if where is not None and not where:
            return []
        columns = CRYPTO_TABLES[table]
        query = select(columns).where(columns.c.account == self._account)
        if where is not None:
            query = query.where(_any_of(columns, where))
        found = await self._connection.execute(query.limit(limit))
        return [self._opened(table, row) for row in found]

    async def write(self, rows: Sequence[CryptoRow]) -> None:
        for table, group in _by_table(rows).items():
            await self._remove(table, [row.key for row in group if row.removed])
            await self._upsert(table, [row for row in group if not row.removed])

    async def save_ratchets(self, rows: Sequence[CryptoRow], lease: Lease) -> None:
        """As `write` for rows of `mx_megolm_out`, in one fenced statement. Raises LeaseLost."""
        sealed = [self._sealed(mx_megolm_out, row) for row in rows]
        columns = {
            f"{name}s": [row[name] for row in sealed] for name in ("room_id", "session_id", "messages", "sealed")
        }
        values = {"account": self._account, "resource": lease.resource, "epoch": lease.epoch, **columns}
        if len(await fetch(self._connection, _SAVE_RATCHETS, values)) != len(rows):
            raise LeaseLost(lease.resource)

    async def _remove(self, table: Table, keys: Sequence[Mapping[str, str]]) -> None:
        if keys:
            condition = table.c.account == self._account
            await self._connection.execute(delete(table).where(condition, _any_of(table, keys)))

    async def _upsert(self, table: Table, rows: Sequence[CryptoRow]) -> None:
        if rows:
            await self._connection.execute(_upsert_statement(table), [self._sealed(table, row) for row in rows])

    def _sealed(self, table: Table, row: CryptoRow) -> dict[str, Any]:
        secret = None if row.secret is None else self._key.seal(row.secret, where=self._place(table, row.key))
        return {"account": self._account, **row.key, **row.clear, "sealed": secret}

    def _opened(self, name: CryptoTable, row: Row[Any]) -> CryptoRow:
        table, values = CRYPTO_TABLES[name], row._asdict()
        key = {column: values.pop(column) for column in _key_columns(table)}
        sealed = values.pop("sealed")
        values.pop("account")
        secret = None if sealed is None else self._key.open(sealed, where=self._place(table, key))
        return CryptoRow(table=name, key=key, clear=values, secret=secret)

    def _place(self, table: Table, key: Mapping[str, str]) -> str:
        return "|".join((table.name, self._account, *(key[column] for column in _key_columns(table))))


def _key_columns(table: Table) -> list[str]:
    return [column.name for column in table.primary_key if column.name != "account"]


def _by_table(rows: Iterable[CryptoRow]) -> dict[Table, list[CryptoRow]]:
    groups: dict[Table, list[CryptoRow]] = defaultdict(list)
    for row in rows:
        groups[CRYPTO_TABLES[row.table]].append(row)
    return groups


def _any_of(table: Table, where: Sequence[Mapping[str, Any]]) -> ColumnElement[bool]:
    """Mappings with the same columns become one condition."""
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for mapping in where:
        names = tuple(sorted(mapping))
        groups[names].append(tuple(mapping[name] for name in names))
    return or_(*(_one_of(table, names, values) for names, values in groups.items()))


def _one_of(table: Table, names: tuple[str, ...], values: list[tuple[Any, ...]]) -> ColumnElement[bool]:
    if not names:
        return table.c.account.is_not(None)
    columns = [table.c[name] for name in names]
    if len(values) == 1:
        return and_(*(column == value for column, value in zip(columns, values[0], strict=True)))
    # One array a column: the statement's text and its number of parameters do not depend on how many are wanted.
    arrays = [
        literal(list(array), ARRAY(column.type))
        for column, array in zip(columns, zip(*values, strict=True), strict=True)
    ]
    if len(columns) == 1:
        return columns[0] == any_(arrays[0])
    wanted = func.unnest(*arrays).table_valued(*names).render_derived()
    return tuple_(*columns).in_(select(*(wanted.c[name] for name in names)))


def _upsert_statement(table: Table) -> Insert:
    statement = insert(table)
    changed = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    condition = _better_session(statement, table) if table.name == "mx_megolm" else None
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed, where=condition)


def _better_session(statement: Insert, table: Table) -> ColumnElement[bool]:
    """A room key that is known from a lower index is never overwritten by a later copy, and never by another sender's:
    any member of a room could otherwise make its past unreadable."""
    old, new = table.c, statement.excluded
    flags_differ = or_(*(old[flag] != new[flag] for flag in MEGOLM_FLAGS))
    better = or_(new.first_index < old.first_index, and_(new.first_index == old.first_index, flags_differ))
    return and_(old.ed25519 == new.ed25519, better)
