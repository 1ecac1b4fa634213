"""Desk stores for tests of the crypto engine, without a lease: one on PostgreSQL, one in memory under the same
rules."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.desk_ports import CryptoRow, CryptoRows, CryptoTable
from messenger.storage.crypto_rows import MEGOLM_FLAGS, SqlCryptoRows
from messenger.storage.encryption import Key, new_secret

RowName = tuple[str, tuple[tuple[str, str], ...]]


class SqlDeskStore:
    """One transaction a unit. `fail_next` breaks the next commits, as a lost database would; `may_commit` holds them
    up."""

    def __init__(self, engine: AsyncEngine, account: str, *, key: Key | None = None) -> None:
        self.account, self.engine, self.key = account, engine, key or Key(1, new_secret())
        self.fail_next, self.units, self.writes = 0, 0, 0
        self.may_commit, self.waits_to_commit = asyncio.Event(), asyncio.Event()
        self.may_commit.set()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[CryptoRows]:
        self.units += 1
        async with self.engine.begin() as connection:
            rows = _Counting(SqlCryptoRows(connection, account=self.account, key=self.key))
            yield rows
            self.writes += rows.writes > 0
            if rows.writes:
                self.waits_to_commit.set()
                await self.may_commit.wait()
                self.waits_to_commit.clear()
            if rows.writes and self.fail_next:
                self.fail_next -= 1
                raise ConnectionError("the database is gone")

    look = unit

    async def save_ratchets(self, rows: Sequence[CryptoRow]) -> None:
        async with self.unit() as unit:
            await unit.write(rows)


class _Counting:
    def __init__(self, rows: CryptoRows) -> None:
        self._rows, self.writes = rows, 0

    async def read(
        self, table: CryptoTable, where: Sequence[Mapping[str, Any]] | None = None, *, limit: int | None = None
    ) -> Sequence[CryptoRow]:
        return await self._rows.read(table, where, limit=limit)

    async def write(self, rows: Sequence[CryptoRow]) -> None:
        self.writes += 1
        await self._rows.write(rows)


class MemoryDeskStore:
    """Rows in a dict: for tests that need no database. A unit that fails leaves nothing behind."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.rows: dict[RowName, CryptoRow] = {}

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[CryptoRows]:
        unit = MemoryRows(copy.copy(self.rows))
        yield unit
        self.rows = unit.rows

    look = unit

    async def save_ratchets(self, rows: Sequence[CryptoRow]) -> None:
        async with self.unit() as unit:
            await unit.write(rows)


class MemoryRows:
    def __init__(self, rows: dict[RowName, CryptoRow]) -> None:
        self.rows = rows

    async def read(
        self, table: CryptoTable, where: Sequence[Mapping[str, Any]] | None = None, *, limit: int | None = None
    ) -> Sequence[CryptoRow]:
        wanted = None if where is None else _by_columns(where)
        return [row for row in self._of(table) if wanted is None or _fits(row, wanted)][:limit]

    async def write(self, rows: Sequence[CryptoRow]) -> None:
        for row in sorted(rows, key=lambda row: not row.removed):
            if row.removed:
                self.rows.pop(_name(row), None)
            elif _may_replace(self.rows.get(_name(row)), row):
                self.rows[_name(row)] = row

    def _of(self, table: str) -> Iterator[CryptoRow]:
        return (row for row in self.rows.values() if row.table == table)


def _name(row: CryptoRow) -> RowName:
    return row.table, tuple(sorted(row.key.items()))


def _by_columns(where: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], set[tuple[Any, ...]]]:
    groups: dict[tuple[str, ...], set[tuple[Any, ...]]] = {}
    for mapping in where:
        groups.setdefault(tuple(mapping), set()).add(tuple(mapping.values()))
    return groups


def _fits(row: CryptoRow, wanted: Mapping[tuple[str, ...], set[tuple[Any, ...]]]) -> bool:
    columns = {**row.key, **row.clear}
    return any(tuple(columns[name] for name in names) in values for names, values in wanted.items())


def _may_replace(old: CryptoRow | None, new: CryptoRow) -> bool:
    if old is None or new.table != "mx_megolm":
        return True
    if old.clear["ed25519"] != new.clear["ed25519"]:
        return False
    flags_differ = any(old.clear[flag] != new.clear[flag] for flag in MEGOLM_FLAGS)
    first, known = new.clear["first_index"], old.clear["first_index"]
    return bool(first < known or (first == known and flags_differ))
