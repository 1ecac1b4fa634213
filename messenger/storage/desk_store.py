"""A desk's side of the database: the crypto store's rows and everything that one sync batch writes, in fenced
transactions."""

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.desk_ports import (
    Arrival,
    Audience,
    Ciphertext,
    CryptoRow,
    CryptoTable,
    MegolmSession,
    Parked,
    RoomState,
)
from messenger.app.items import Unreadable
from messenger.app.records import NewItem
from messenger.channels.errors import LeaseLost
from messenger.observability.failpoints import fp
from messenger.storage import rooms
from messenger.storage.codec import load_item
from messenger.storage.crypto_rows import SqlCryptoRows
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import at_once, fetch, transaction
from messenger.storage.encryption import Key
from messenger.storage.inbox import add_rows_together, inbox_place, sealed_row
from messenger.storage.leases import HELD, Lease, fence
from messenger.storage.models.queues import cursor, dead_letter, inbox, timer
from messenger.storage.statements import Statement
from messenger.storage.successions import note_replaced
from messenger.storage.timers import KEY_TIMER
from messenger.storage.together import Together, Write, write

# So long does a lane stand still for a missing key; then it goes on behind a visible gap.
KEY_PATIENCE = timedelta(seconds=10)


def _raw_place(source: str, source_id: str) -> str:
    return f"inbox|enc_raw|{source}|{source_id}"


def letter_place(account: str, source_id: str) -> str:
    return f"dead_letter|enc_raw|{account}|{source_id}"


_wanted = (
    sa.func.unnest(sa.bindparam("rooms", type_=ARRAY(sa.Text)), sa.bindparam("sessions", type_=ARRAY(sa.Text)))
    .table_valued("room_id", "session_id")
    .render_derived()
)
_PARKED = (
    sa.select(
        inbox.c.id,
        inbox.c.source,
        inbox.c.source_id,
        inbox.c.room_id,
        inbox.c.state,
        inbox.c.enc_raw,
        (inbox.c.next_at <= sa.func.now()).label("is_late"),
    )
    .where(
        inbox.c.state.in_(("waiting_key", "quarantine")),
        inbox.c.enc_raw.is_not(None),
        inbox.c.source == sa.bindparam("of"),
        sa.tuple_(inbox.c.room_id, inbox.c.session_id).in_(sa.select(_wanted.c.room_id, _wanted.c.session_id)),
    )
    .order_by(inbox.c.id)
)
# Locked, as `SqlInbox.waiting` locks it: who tells people that it waits, and who knows why, come one by one.
_WAITING = (
    sa.select(inbox.c.kind, inbox.c.enc_body)
    .where(inbox.c.id == sa.bindparam("row"), inbox.c.state == "waiting_key")
    .with_for_update()
)
# Neither its timer runs, nor does what the timer has put into the inbox still wait.
_IS_TOLD = sa.select(
    ~sa.exists().where(timer.c.kind == KEY_TIMER, timer.c.subject == sa.bindparam("subject"))
    & ~sa.exists().where(inbox.c.lane == sa.func.concat("timer:", sa.bindparam("subject")), inbox.c.state == "new")
)


# Fenced: without the lease it writes no row.
_SET_CURSOR = Write(
    name="acknowledged",
    text=f"""
WITH {HELD}
INSERT INTO cursor (source, token, epoch) SELECT CAST(:source AS text), CAST(:token AS text), :epoch FROM held
ON CONFLICT (source) DO UPDATE SET token = excluded.token, epoch = excluded.epoch
RETURNING epoch""",  # noqa: S608 - fixed texts of ours
    told=("epoch",),
)
# Says under which id each ciphertext was taken first.
_SEEN = Statement("""
INSERT INTO megolm_seen AS seen (account, room_id, sender_key, session_id, idx, event_id)
SELECT CAST(:account AS text), new.* FROM unnest(CAST(:rooms AS text[]), CAST(:senders AS text[]),
  CAST(:sessions AS text[]), CAST(:indices AS bigint[]), CAST(:events AS text[])) AS new
ON CONFLICT (account, room_id, sender_key, session_id, idx) DO UPDATE SET event_id = seen.event_id
RETURNING room_id, sender_key, session_id, idx, event_id""")


_LAST = sa.text("""
SELECT asked.*, (SELECT max(idx) FROM megolm_seen AS seen WHERE seen.account = :account AND seen.room_id = asked.room_id
  AND seen.sender_key = asked.sender_key AND seen.session_id = asked.session_id) AS idx
FROM unnest(CAST(:rooms AS text[]), CAST(:senders AS text[]), CAST(:sessions AS text[]))
  AS asked (room_id, sender_key, session_id)""")


class SqlDeskUnit:
    """One transaction of the desk."""

    def __init__(self, connection: AsyncConnection, keys: DataKeys, *, account: str, key: Key, lease: Lease) -> None:
        self._connection, self._keys, self._account, self._lease = connection, keys, account, lease
        self._crypto = SqlCryptoRows(connection, account=account, key=key)
        self.has_news = False

    async def read(
        self, table: CryptoTable, where: Sequence[Mapping[str, Any]] | None = None, *, limit: int | None = None
    ) -> Sequence[CryptoRow]:
        return await self._crypto.read(table, where, limit=limit)

    async def write(self, rows: Sequence[CryptoRow]) -> None:
        await self._crypto.write(rows)

    async def rooms(self, ids: Sequence[str]) -> Mapping[str, RoomState]:
        return await rooms.load(self._connection, self._account, ids)

    async def save_rooms(self, states: Sequence[RoomState]) -> None:
        await rooms.save(self._connection, self._account, states)

    async def note_replaced(self, replaced: Mapping[str, str]) -> None:
        await note_replaced(self._connection, self._account, replaced)

    async def save_members(self, room: str, members: Mapping[str, str], *, complete: bool) -> None:
        await rooms.save_members(self._connection, self._account, room, members, complete=complete)

    async def take(self, arrivals: Sequence[Arrival]) -> frozenset[str]:
        replayed = await self._replayed([arrival for arrival in arrivals if arrival.ciphertext])
        fresh = [arrival for arrival in arrivals if arrival.source_id not in replayed]
        await add_rows_together(self._connection, [await self._row(arrival) for arrival in fresh])
        await self._watch([arrival for arrival in fresh if arrival.waits])
        if fresh:
            self.has_news = True
            fp("inbox_inserted")
        return replayed

    async def note_seen(self, ciphertexts: Mapping[str, Ciphertext]) -> frozenset[str]:
        return await self._seen_before(list(ciphertexts.items()))

    async def last_numbers(self, sessions: Collection[MegolmSession]) -> Mapping[MegolmSession, int]:
        if not sessions:
            return {}
        columns = zip(("rooms", "senders", "sessions"), map(list, zip(*sorted(sessions), strict=True)), strict=True)
        found = await self._connection.execute(_LAST, {"account": self._account, **dict(columns)})
        return {(row.room_id, row.sender_key, row.session_id): row.idx for row in found if row.idx is not None}

    async def uninvited_staff(self, room: str, users: Collection[str]) -> frozenset[str]:
        inside = await rooms.members(self._connection, self._account, room)
        return await rooms.known_staff(self._connection, set(users) - inside) - await self.entitled(room)

    async def entitled(self, room: str) -> frozenset[str]:
        return await rooms.entitled(self._connection, self._account, room)

    async def parked(self, sessions: Sequence[tuple[str, str]]) -> Sequence[Parked]:
        if not sessions:
            return []
        rooms, ids = zip(*sessions, strict=True)
        rows = (await self._connection.execute(_PARKED, {"of": self._account, "rooms": rooms, "sessions": ids})).all()
        return [
            Parked(
                id=row.id,
                room_id=row.room_id,
                state=row.state,
                is_late=row.is_late,
                raw=json.loads(await self._keys.open(row.enc_raw, where=_raw_place(row.source, row.source_id))),
            )
            for row in rows
        ]

    async def unpark(self, row: Parked, arrival: Arrival) -> None:
        if await self._replayed([arrival] if arrival.ciphertext else []):
            await self._connection.execute(
                inbox.update()
                .where(inbox.c.id == row.id)
                .values(state="quarantine", enc_raw=None, next_at=sa.func.now())
            )
            return
        values = await self._row(arrival)
        self.has_news = True
        await self._connection.execute(
            inbox.update()
            .where(inbox.c.id == row.id)
            .values(kind=values["kind"], enc_body=values["enc_body"], enc_raw=None, state="new", next_at=sa.func.now())
        )

    async def say_why(self, row: Parked, arrival: Arrival) -> None:
        old = (await self._connection.execute(_WAITING, {"row": row.id})).first()
        if old is None or not await self._has_no_reason(old, arrival.source_id):
            return
        body = (await self._row(arrival))["enc_body"]
        await self._connection.execute(inbox.update().where(inbox.c.id == row.id).values(enc_body=body))
        if await self._connection.scalar(_IS_TOLD, {"subject": arrival.source_id}):
            self.has_news = True
            await self._watch([arrival], patience=timedelta(0))

    async def _has_no_reason(self, row: Any, source_id: str) -> bool:
        item = load_item(row.kind, await self._keys.open(row.enc_body, where=inbox_place(self._account, source_id)))
        return isinstance(item, Unreadable) and item.reason == "waiting_key"

    async def bury(self, source_id: str, reason: str, raw: Mapping[str, Any]) -> None:
        key = await self._keys.of_queue()
        sealed = key.seal(json.dumps(raw).encode(), where=letter_place(self._account, source_id))
        queue = f"sync:{self._account}"
        letter = dead_letter.insert().values(queue=queue, row_id=0, reason=reason, enc_raw=sealed, source_id=source_id)
        await self._connection.execute(letter)

    async def set_cursor(self, token: str) -> None:
        values = {"source": self._account, "token": token}
        lease = {"resource": self._lease.resource, "epoch": self._lease.epoch}
        await write(self._connection, _SET_CURSOR, values | lease, hear=self._must_hold)

    def _must_hold(self, told: Mapping[str, Any]) -> None:
        if told["epoch"] is None:
            raise LeaseLost(self._lease.resource)
        fp("token_written")

    async def _row(self, arrival: Arrival) -> dict[str, Any]:
        new = NewItem(source=self._account, source_id=arrival.source_id, lane=arrival.lane, item=arrival.item)
        row = await sealed_row(self._keys, new) | {"patience": arrival.patience}
        if arrival.session is None:
            return row
        key = await self._keys.of_queue()
        raw = key.seal(json.dumps(arrival.raw).encode(), where=_raw_place(self._account, arrival.source_id))
        room, session = arrival.session
        kept = row | {"room_id": room, "session_id": session, "enc_raw": raw}
        return kept | {"state": "waiting_key", "patience": KEY_PATIENCE} if arrival.waits else kept

    async def _watch(self, waiting: Sequence[Arrival], *, patience: timedelta = KEY_PATIENCE) -> None:
        """After a while of patience, the people at the place are told that something waits."""
        rows = [
            {
                "kind": KEY_TIMER,
                "subject": arrival.source_id,
                "account": self._account,
                "due_at": sa.func.now() + patience,
            }
            for arrival in waiting
        ]
        if rows:
            await self._connection.execute(insert(timer).values(rows).on_conflict_do_nothing())

    async def _replayed(self, arrivals: Sequence[Arrival]) -> frozenset[str]:
        return await self._seen_before(
            [(arrival.source_id, arrival.ciphertext) for arrival in arrivals if arrival.ciphertext is not None]
        )

    async def _seen_before(self, taken_now: Sequence[tuple[str, Ciphertext]]) -> frozenset[str]:
        """Event ids whose ciphertext was taken before under another id. Remembers the others."""
        first: dict[Ciphertext, str] = {}
        replayed = set()
        for source_id, ciphertext in taken_now:
            if first.setdefault(ciphertext, source_id) != source_id:
                replayed.add(source_id)
        if not first:
            return frozenset(replayed)
        ciphertexts, events = zip(*sorted(first.items()), strict=True)
        columns = zip(("rooms", "senders", "sessions", "indices"), zip(*ciphertexts, strict=True), strict=True)
        seen = {"account": self._account, "events": events, **dict(columns)}
        found = await fetch(self._connection, _SEEN, seen)
        taken = {(row.room_id, row.sender_key, row.session_id, row.idx): row.event_id for row in found}
        return frozenset(replayed | {event for ciphertext, event in first.items() if taken[ciphertext] != event})


class SqlDeskStore:
    """Opens the desk's units. Every one is fenced: a process that lost the lease writes nothing.
    `is_reading`: for a look beside the running desk, without a lease and without the right to write."""

    def __init__(
        self, engine: AsyncEngine, keys: DataKeys, *, account: str, key: Key, lease: Lease, is_reading: bool = False
    ) -> None:
        self._engine, self._keys, self.account, self._key, self._lease = engine, keys, account, key, lease
        self._is_reading = is_reading

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlDeskUnit]:
        async with transaction(self._engine) as connection:
            if self._is_reading:
                await connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            else:
                await fence(connection, self._lease)
            yield self._unit(connection)

    @asynccontextmanager
    async def look(self) -> AsyncIterator[SqlCryptoRows]:
        async with at_once(self._engine) as connection:
            yield SqlCryptoRows(connection, account=self.account, key=self._key)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[SqlDeskUnit]:
        async with transaction(self._engine) as connection:
            together = Together(connection)
            yield self._unit(together)
            await together.flush()

    def _unit(self, connection: AsyncConnection) -> SqlDeskUnit:
        return SqlDeskUnit(connection, self._keys, account=self.account, key=self._key, lease=self._lease)

    async def save_ratchets(self, rows: Sequence[CryptoRow]) -> None:
        async with at_once(self._engine) as connection:
            await SqlCryptoRows(connection, account=self.account, key=self._key).save_ratchets(rows, self._lease)

    async def cursor(self) -> str | None:
        async with at_once(self._engine) as connection:
            token: str | None = await connection.scalar(
                sa.select(cursor.c.token).where(cursor.c.source == self.account)
            )
        return token

    async def room(self, room_id: str) -> RoomState | None:
        async with at_once(self._engine) as connection:
            return (await rooms.load(connection, self.account, [room_id])).get(room_id)

    async def audience(self, room_id: str) -> Audience:
        async with at_once(self._engine) as connection:
            removed = await rooms.decided(connection, self.account, room_id, "removed", ("identity_changed",))
            tolerated = await rooms.decided(connection, self.account, room_id, "trusted", ("unexpected_member",))
            members = await rooms.members(connection, self.account, room_id)
            return Audience(
                members=members,
                entitled=await rooms.entitled(connection, self.account, room_id) - removed | {self.account},
                tolerated=tolerated | await rooms.known_staff(connection, members),
            )

    async def waiting_sessions(self) -> Sequence[tuple[str, str]]:
        query = (
            sa.select(inbox.c.room_id, inbox.c.session_id)
            .distinct()
            .where(inbox.c.state == "waiting_key", inbox.c.source == self.account)
        )
        async with at_once(self._engine) as connection:
            return [(row.room_id, row.session_id) for row in await connection.execute(query)]
