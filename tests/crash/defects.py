"""Seeded defects that a test of one part sees at once: see seeded_tests.py for which one. What only a killed process
shows stands in mutants.py."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.desk_ports import Audience
from messenger.app.records import OutboxRow
from messenger.matrix import watch
from messenger.matrix.crypto import decryption
from messenger.matrix.crypto.inbound import Receiver
from messenger.matrix.crypto.records import InboundSession
from messenger.storage import crypto_rows, desk_store, endings, inbox, leases, outbox, outbox_queue
from messenger.storage.models.queues import outbox as outbox_table
from messenger.storage.statements import Statement
from messenger.workers.outbox import OutboxWorker


def no_claim_token() -> None:
    """Whoever ends a row may have lost the claim of it long ago."""
    _change_ends(" AND claim_token = new.token", "")

    def mine(row: OutboxRow) -> sa.Update:
        return outbox_table.update().where(outbox_table.c.id == row.id, outbox_table.c.state == "claimed")

    outbox.mine = mine


def no_fence() -> None:
    """Nobody looks whether the lease is still ours."""

    async def fence(connection: AsyncConnection, held: leases.Lease) -> None:
        return

    desk_store.fence = outbox_queue.fence = fence
    always = "held AS MATERIALIZED (SELECT 1)"
    outbox._CLAIM = _changed(outbox._CLAIM, leases.HELD, always)
    inbox._CLAIM = _changed(inbox._CLAIM, leases.IS_HELD, "true")
    _change_ends(leases.HELD, always)
    crypto_rows._SAVE_RATCHETS = _changed(crypto_rows._SAVE_RATCHETS, leases.HELD, always)


def send_in_transaction() -> None:
    """What is claimed is committed only when it has been sent."""
    open_ones: list[AsyncConnection] = []

    proper_claim, proper_write = outbox.claim, outbox_queue.SqlOutboxQueue._write

    async def claim(connection: AsyncConnection, *values: Any, **more: Any) -> list[Any]:
        own = await connection.engine.connect()
        open_ones.append(own)
        return await proper_claim(own, *values, **more)

    async def write(self: outbox_queue.SqlOutboxQueue, endings: Sequence[Any]) -> Any:
        while open_ones:
            connection = open_ones.pop()
            await connection.commit()
            await connection.close()
        return await proper_write(self, endings)

    outbox.claim = claim
    outbox_queue.SqlOutboxQueue._write = write  # type: ignore[method-assign]


def no_oid_lookup() -> None:
    """A repeat from another device is sent without a look whether the first one got through."""
    OutboxWorker._is_doubtful = lambda self, row: False  # type: ignore[method-assign]


def key_overwrite_latest() -> None:
    """The newest copy of a room key wins."""

    def keep(self: Receiver, old: InboundSession, new: InboundSession) -> bool:
        self._state.save_inbound(new)
        return True

    Receiver._merge = keep  # type: ignore[method-assign]
    crypto_rows._better_session = lambda statement, table: sa.true()


def no_sender_binding() -> None:
    """Whoever sends an event is believed to own the session under which it was encrypted."""
    decryption._contradiction = lambda state, session, sender: None


def _change_ends(old: str, new: str) -> None:
    endings._SETTLE = {leaves: _changed(statement, old, new) for leaves, statement in endings._SETTLE.items()}


def _changed(statement: Statement, old: str, new: str) -> Statement:
    text = statement.of.text
    assert old in text, "statements are put together in another way now"
    return Statement(text.replace(old, new))


def messages_not_counted() -> None:
    """Nobody looks whether a sender's numbers follow each other."""

    def gaps(self: watch.Numbers, seen: Sequence[Any], last_known: Any) -> list[watch.Gap]:
        return []

    watch.Numbers.gaps = gaps  # type: ignore[method-assign]


def strangers_are_welcome() -> None:
    """Whoever is in a room gets its keys."""
    proper = desk_store.SqlDeskStore.audience

    async def audience(self: desk_store.SqlDeskStore, room_id: str) -> Audience:
        known = await proper(self, room_id)
        return replace(known, entitled=known.members)

    desk_store.SqlDeskStore.audience = audience  # type: ignore[method-assign]


DEFECTS = (
    no_claim_token,
    no_fence,
    send_in_transaction,
    no_oid_lookup,
    key_overwrite_latest,
    no_sender_binding,
    messages_not_counted,
    strangers_are_welcome,
)
