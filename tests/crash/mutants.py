"""Seeded defects: the real program with one guarantee taken out. `python -m tests.crash.mutants NAME --config … serve`.

Each mutant undoes one rule of the design; the crash tests must notice every one of them. `none` is the healthy program
with the same extra crash points, so that each scenario can be shown to harm only the mutant."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from messenger.app.effects.places import PostCard
from messenger.app.effects.thread import RelayToThread
from messenger.app.records import OutboxRow
from messenger.bootstrap import housekeeping
from messenger.channels.errors import Temporary
from messenger.cli import main
from messenger.matrix import gaps, sync
from messenger.matrix.crypto.sharing import RoomKeys, RoomPlan
from messenger.matrix.crypto.todevice import ToDevice
from messenger.matrix.http import CLIENT
from messenger.observability.failpoints import fp
from messenger.storage import inbox, outbox, timers
from messenger.storage.desk_store import SqlDeskStore, SqlDeskUnit
from messenger.storage.lanes import walk
from messenger.storage.statements import Statement
from messenger.workers.outbox import OutboxWorker
from tests.crash.defects import DEFECTS


def none() -> None:
    """The healthy program."""


def token_first() -> None:
    """The sync token is committed before the rows it stands for: what the library underneath does by itself."""
    proper = sync.SyncLoop._commit

    async def commit(self: sync.SyncLoop, batch: Any, since: str | None) -> None:
        async with self._store.unit() as unit:
            await unit.set_cursor(batch.next_batch)
        await proper(self, batch, since)

    sync.SyncLoop._commit = commit  # type: ignore[method-assign]


def ack_before_commit() -> None:
    """The next /sync leaves, and so acknowledges a batch, before the batch is committed."""
    proper, proper_ask = sync.SyncLoop._commit, sync.SyncLoop._ask

    async def ask(self: sync.SyncLoop, since: str | None, timeout_ms: int) -> Any:
        """Synapse repeats an answer to the very same question for two minutes. Here each process asks differently, as
        if its start had taken longer than that."""
        return await proper_ask(self, since, timeout_ms + os.getpid() % 10_000)

    async def commit(self: sync.SyncLoop, batch: Any, since: str | None) -> None:
        await self._http.call("GET", f"{CLIENT}/sync", query=sync._query(1, 0, batch.next_batch))
        if batch.to_device:
            fp("acknowledged")
        await proper(self, batch, since)

    sync.SyncLoop._commit, sync.SyncLoop._ask = commit, ask  # type: ignore[method-assign]


def token_before_flush() -> None:
    """Rows and token are committed before the room keys that came with them."""

    async def commit(self: sync.SyncLoop, batch: Any, since: str | None) -> None:
        crypto = sync._crypto(batch)
        await self._engine.prepare(crypto)
        async with self._engine.exclusive(), self._store.unit() as unit:
            learned = await self._engine.receive(unit, crypto)
            await self._take(unit, batch, since)
            await self._unpark(unit, list(learned))
            await unit.set_cursor(batch.next_batch)
        if batch.to_device:
            fp("keys_not_saved")
        async with self._engine.exclusive(), self._store.unit() as unit:
            await self._engine.flush(unit)
        self._on_batch()

    sync.SyncLoop._commit = commit  # type: ignore[method-assign]


def random_txn() -> None:
    """Every try of a send has a transaction id of its own."""
    proper = OutboxWorker._deliver

    async def deliver(self: OutboxWorker, row: OutboxRow) -> Any:
        return await proper(self, replace(row, txn="m" + uuid4().hex))

    OutboxWorker._deliver = deliver  # type: ignore[method-assign]


def no_head_of_line() -> None:
    """Every row is the head of its lane."""
    inbox._CLAIM = _without_lanes(inbox._CLAIM, "inbox", inbox._KEEPS_LANE)
    outbox._CLAIM = _without_lanes(outbox._CLAIM, "outbox", f"state IN {outbox._OPEN}")
    carry = outbox._CARRY.text.replace(f"state IN {outbox._OPEN}", "false")
    assert carry != outbox._CARRY.text, "claims are put together in another way now"
    outbox._CARRY = sa.text(carry)


def _without_lanes(claim: Statement, table: str, keeps_lane: str) -> Statement:
    new = f"SELECT lane, id FROM {table} WHERE state = 'new' AND CAST(:after AS text) IS NOT NULL ORDER BY id"
    changed = claim.of.text.replace(walk(table, keeps_lane), f"WITH walk AS ({new})")
    assert changed != claim.of.text, "claims are put together in another way now"
    return Statement(changed)


def no_gap_fill() -> None:
    """A limited timeline is taken for the whole one."""

    async def fill(self: gaps.Gaps, batch: Any, since: str | None) -> Any:
        return batch

    gaps.Gaps.fill = fill  # type: ignore[method-assign]


def drop_waiting_key() -> None:
    """What cannot be decrypted yet is dropped."""
    proper = SqlDeskUnit.take

    async def take(self: SqlDeskUnit, arrivals: Sequence[Any]) -> int:
        return await proper(self, [arrival for arrival in arrivals if arrival.raw is None])

    SqlDeskUnit.take = take  # type: ignore[method-assign]


def skip_megolm_seen() -> None:
    """A ciphertext that comes again under another event id is taken again."""

    async def replayed(self: SqlDeskUnit, arrivals: Sequence[Any]) -> set[str]:
        return set()

    SqlDeskUnit._replayed = replayed  # type: ignore[method-assign]


def ratchet_after_put() -> None:
    """The database is one message behind the wire: the ratchet that is saved is that of the message before."""
    proper_write, proper_save, last = SqlDeskUnit.write, SqlDeskStore.save_ratchets, dict[str, Any]()

    def late(rows: Sequence[Any]) -> list[Any]:
        saved = []
        for row in rows:
            if row.table == "mx_megolm_out" and not row.removed:
                room = str(row.key["room_id"])
                saved.append(last.get(room, row))
                last[room] = row
            else:
                saved.append(row)
        return saved

    async def write(self: SqlDeskUnit, rows: Sequence[Any]) -> None:
        await proper_write(self, late(rows))

    async def save(self: SqlDeskStore, rows: Sequence[Any]) -> None:
        await proper_save(self, late(rows))

    SqlDeskUnit.write = write  # type: ignore[method-assign]
    SqlDeskStore.save_ratchets = save  # type: ignore[method-assign]


def share_before_put() -> None:
    """The list of who has the room key is saved before anybody got it."""
    proper = RoomKeys._seal

    def seal(self: RoomKeys, plan: RoomPlan) -> None:
        proper(self, plan)
        session = self._session(plan)
        session.shared |= {device.id for device in plan.missing}
        self._state.save_outbound(session, lists=True)

    RoomKeys._seal = seal  # type: ignore[method-assign]


def timer_removed_first() -> None:
    """A timer is gone before what it says is in the inbox."""

    async def fire(engine: Any, keys: Any, *, most: int = 100, at: Any = None) -> int:
        async with engine.begin() as connection:
            due = (await connection.execute(timers._DUE, {"most": most, "at": at})).all()
            await connection.execute(timers.timer.delete().where(timers.timer.c.id.in_([row.id for row in due])))
        if any(row.kind != timers.KEY_TIMER for row in due):
            fp("timer_heard")
        async with engine.begin() as connection:
            await inbox.add_rows(connection, [await inbox.sealed_row(keys, timers._item(row)) for row in due])
        return len(due)

    assert hasattr(housekeeping, "fire_due"), "timers are fired elsewhere now"
    housekeeping.fire_due = fire


def hold_ignored() -> None:
    """An answer is claimed whether its window is over or not."""
    text, limits = (
        outbox._CLAIM.of.text,
        ("next_at <= now()", "next_at <= coalesce(CAST(:latest AS timestamptz), 'infinity')"),
    )
    for limit in limits:
        assert limit in text, "claims are put together in another way now"
        text = text.replace(limit, f"({limit} OR message_id IS NOT NULL)")
    outbox._CLAIM = Statement(text)


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        none, token_first, token_before_flush, random_txn, no_head_of_line, no_gap_fill, drop_waiting_key,
        skip_megolm_seen, ratchet_after_put, share_before_put, timer_removed_first, hold_ignored, ack_before_commit,
        *DEFECTS,
    )
}  # fmt: skip


def _observe() -> None:
    """Crash points of more certain aim. `relayed`: a customer's message has been posted, and nobody has noted it yet
    (`card_posted`: a card).
    `keys_ready`: a room key is about to go to somebody. With STELLWERK_STUMBLE the first relay meets an error that
    passes."""
    _observe_keys()
    proper, may_stumble = OutboxWorker._deliver, ["STELLWERK_STUMBLE" in os.environ]

    async def deliver(self: OutboxWorker, row: OutboxRow) -> Any:
        is_relay = isinstance(row.effect, RelayToThread)
        if is_relay and may_stumble[0]:
            may_stumble[0] = False
            raise Temporary("unreachable")
        outcome = await proper(self, row)
        if is_relay or isinstance(row.effect, PostCard):
            fp("relayed" if is_relay else "card_posted")
        return outcome

    OutboxWorker._deliver = deliver  # type: ignore[method-assign]


def _observe_keys() -> None:
    proper = ToDevice.put_all

    async def put_all(self: ToDevice, event_type: str, parts: Sequence[Any], *, about: str) -> Any:
        if parts and event_type == "m.room.encrypted":
            fp("keys_ready")
        return await proper(self, event_type, parts, about=about)

    ToDevice.put_all = put_all  # type: ignore[method-assign]


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    _observe()
    main()
