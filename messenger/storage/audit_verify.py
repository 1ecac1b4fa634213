"""Walks the audit chain from its beginning and names the first row that is not as it was written.

What can be told: a changed, inserted or moved row (its mac does not fit), a missing one (a number is left out), a cut
tail (the chain's end, or a signed checkpoint, knows a later row), a chain that somebody has made anew with the key (a
checkpoint knows another mac). Rows that are younger than the newest checkpoint can be cut off unseen by somebody who
may change the table's triggers; a checkpoint is written every few minutes, and the running desk watches the end."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.storage.audit import chain_scope
from messenger.storage.audit_chain import BEGINNING, COLUMNS, chain_secret, link
from messenger.storage.audit_checkpoints import Line
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction

PAGE = 10_000
_ROWS = f"SELECT {', '.join(COLUMNS)}, mac FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2"  # noqa: S608 - constants
_KEY_NO, _SEQ = COLUMNS.index("key_no"), COLUMNS.index("seq")

Fault = Literal["changed", "missing", "cut_off", "key", "not_the_witnessed", "end_does_not_fit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`first_bad`: the number of the first bad row, None if the chain is whole. `bad_lines`: lines of the checkpoint
    file that cannot be trusted, as `number:fault`. `witnessed`: up to which row a checkpoint vouches."""

    rows: int
    first_bad: int | None
    fault: Fault | None
    checkpoints: int
    witnessed: int
    bad_lines: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return self.first_bad is None and not self.bad_lines


async def verify(engine: AsyncEngine, keys: DataKeys, lines: Sequence[Line], *, page: int = PAGE) -> Verdict:
    """The whole chain in one snapshot, against these checkpoints. `page`: so many rows are in memory at once."""
    good: dict[int, set[bytes]] = {}  # two that say different things of one row tell of a row that is gone
    for line in lines:
        if line.checkpoint and not line.fault:
            good.setdefault(line.checkpoint.seq, set()).add(line.checkpoint.mac)
    async with transaction(engine) as connection:
        await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        walk = _Walk(keys, good)
        bad, fault = await walk.go(connection, page)
    return Verdict(
        rows=walk.seq if bad is None else bad - 1,
        first_bad=bad,
        fault=fault,
        checkpoints=len(lines),
        witnessed=max((seq for seq in good if bad is None or seq < bad), default=0),
        bad_lines=tuple(f"{line.number}:{line.fault}" for line in lines if line.fault),
    )


class _Walk:
    def __init__(self, keys: DataKeys, witnessed: Mapping[int, Set[bytes]]) -> None:
        self._keys, self._witnessed = keys, witnessed
        self._secrets: dict[int, bytes] = {}
        self.seq, self.mac, self._key_no = 0, BEGINNING, 1

    async def go(self, connection: AsyncConnection, size: int) -> tuple[int | None, Fault | None]:
        head = (await connection.exec_driver_sql("SELECT seq, mac, key_no FROM audit_head")).first()
        newest_key = head.key_no if head else 1
        trusted = 0  # the last row that a checkpoint has confirmed
        async for page in _pages(connection, size):
            await self._know_secrets({row[_KEY_NO] for row in page}, newest_key)
            for row in page:
                fault = self._step(tuple(row), newest_key)
                if fault is not None:
                    return self.seq + 1, fault
                if (witness := self._witnessed.get(self.seq)) is not None:
                    if witness != {self.mac}:
                        return trusted + 1, "not_the_witnessed"
                    trusted = self.seq
        return self._end(head, trusted)

    def _step(self, row: tuple[Any, ...], newest_key: int) -> Fault | None:
        *values, written = row
        seq, key_no = row[_SEQ], row[_KEY_NO]
        if seq != self.seq + 1:
            return "missing"
        if not self._key_no <= key_no <= newest_key:
            return "key"
        mac = link(self._secrets[key_no], self.mac, values)
        if mac != written:
            return "changed"
        self.seq, self.mac, self._key_no = seq, mac, key_no
        return None

    def _end(self, head: Any, trusted: int) -> tuple[int | None, Fault | None]:
        """A row was there if the chain's end or a checkpoint says so."""
        known = max([head.seq if head else 0, *self._witnessed], default=0)
        if known > self.seq:
            return self.seq + 1, "cut_off"
        if head is None or head.seq != self.seq or bytes(head.mac) != self.mac:
            return max(trusted, self.seq), "end_does_not_fit"
        return None, None

    async def _know_secrets(self, numbers: set[int], newest_key: int) -> None:
        for number in numbers - self._secrets.keys():
            if 1 <= number <= newest_key:
                self._secrets[number] = chain_secret(await self._keys.of(chain_scope(number)))


async def _pages(connection: AsyncConnection, size: int) -> AsyncIterator[Sequence[Any]]:
    """As the driver gives them: a hundred thousand are read in a second."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    seq = 0
    while page := await driver.fetch(_ROWS, seq, size):
        yield page
        seq = page[-1]["seq"]
