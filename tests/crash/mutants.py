"""Seeded defects: the real program with one guarantee taken out. `python -m tests.crash.mutants NAME --config … serve`.

Each mutant undoes exactly one rule of the design; the crash tests must notice every one of them. They live here only."""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from messenger.app.deliver import Deliverer, Outcome
from messenger.app.effects import Effect
from messenger.app.ports import Arrival
from messenger.cli import main
from messenger.matrix import sync
from messenger.matrix.crypto.outgoing import Outgoing
from messenger.matrix.crypto.state import CryptoState
from messenger.observability.failpoints import fp
from messenger.storage import desk_store, inbox, leases, outbox, outbox_queue
from messenger.storage.desk_store import SqlDeskStore, SqlDeskUnit


def token_first() -> None:
    """The sync token is committed before the rows it stands for (what the library underneath does by itself)."""
    proper = sync.SyncLoop._commit

    async def commit(self: sync.SyncLoop, batch: Any, since: str | None) -> None:
        async with self._store.unit() as unit:
            await unit.set_cursor(batch.next_batch)
        await proper(self, batch, since)

    sync.SyncLoop._commit = commit  # type: ignore[method-assign]


def random_txn() -> None:
    """Every try of a send has a transaction id of its own."""
    proper = Deliverer.deliver

    async def deliver(self: Deliverer, effect: Effect, txn: str) -> Outcome:
        return await proper(self, effect, "m" + uuid4().hex)

    Deliverer.deliver = deliver  # type: ignore[method-assign]


def no_head_of_line() -> None:
    """A later row of a lane does not wait for an earlier one."""
    _without(inbox, "_CLAIM", inbox._is_blocked)
    outbox._CLAIM = _unblocked(outbox)


def no_gap_fill() -> None:
    """A limited timeline is taken for the whole one."""

    async def fill(self: sync.SyncLoop, batch: Any, since: str | None) -> Any:
        return batch

    sync.SyncLoop._fill_gaps = fill  # type: ignore[method-assign]


def drop_waiting_key() -> None:
    """What cannot be decrypted yet is dropped."""
    proper = SqlDeskUnit.take

    async def take(self: SqlDeskUnit, arrivals: Sequence[Arrival]) -> int:
        return await proper(self, [arrival for arrival in arrivals if arrival.raw is None])

    SqlDeskUnit.take = take  # type: ignore[method-assign]


def ratchet_after_put() -> None:
    """The advanced ratchet of a room is saved only some time after the text went out."""
    _never_saves("mx_megolm_out")


def _never_saves(table: str) -> None:
    proper = SqlDeskUnit.write

    async def write(self: SqlDeskUnit, rows: Sequence[Any]) -> None:
        await proper(self, [row for row in rows if row.table != table])

    SqlDeskUnit.write = write  # type: ignore[method-assign]
