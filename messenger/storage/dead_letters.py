"""What a person decides about a row that was given up. Each decision is stored with the letter, and is an audit row."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.app.effects.customer import SendToCustomer
from messenger.app.outcome import ended
from messenger.storage.administration import NotPossible
from messenger.storage.audit import append
from messenger.storage.codec import load_effect
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction
from messenger.storage.inbox import add_rows, sealed_row
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.outbox import outbox_place

Verdict = Literal["retry", "drop"]

_GIVEN_UP = {"inbox": (inbox, ("dead",)), "outbox": (outbox, ("dead", "unknown"))}
_HAS_GONE = {"inbox": ("done",), "outbox": ("sent",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """`overtaken`: so many that came later in its lane have gone ahead."""

    queue: str
    overtaken: int


class DeadLetters:
    def __init__(self, engine: AsyncEngine, keys: DataKeys) -> None:
        self._engine, self._keys = engine, keys

    async def retry(self, id: int, *, by: str, at: datetime) -> Retried:
        """The row is due again, in its place: its number in the lane is the old one, and so is its transaction id,
        under which the homeserver answers with what it may have been given already. Raises NotPossible."""
        async with transaction(self._engine) as connection:
            letter, row = await _undecided(connection, id)
            table, _ = _GIVEN_UP[letter.queue]
            await connection.execute(table.update().where(table.c.id == row.id).values(**_anew(letter.queue)))
            overtaken = sa.select(sa.func.count()).where(
                table.c.lane == row.lane, table.c.id > row.id, table.c.state.in_(_HAS_GONE[letter.queue])
            )
            count = int(await connection.scalar(overtaken) or 0)
            await self._decide(connection, letter, "retry", by=by, at=at)
        return Retried(queue=letter.queue, overtaken=count)

    async def drop(self, id: int, reason: str, *, by: str, at: datetime) -> None:
        """Nothing will come of the row. What waits behind it goes on, and the author of an answer learns that it was
        not sent. Raises NotPossible."""
        async with transaction(self._engine) as connection:
            letter, row = await _undecided(connection, id, also_raw=True)
            if letter.queue == "outbox":
                await self._drop_effect(connection, row)
            elif letter.queue == "inbox":
                gone = inbox.update().where(inbox.c.id == row.id)
                await connection.execute(gone.values(state="done", enc_body=b"", enc_raw=None, next_at=sa.func.now()))
            await self._decide(connection, letter, "drop", by=by, at=at, words=reason)

    async def _drop_effect(self, connection: AsyncConnection, row: Any) -> None:
        gone = outbox.update().where(outbox.c.id == row.id)
        await connection.execute(gone.values(state="cancelled", code="dropped", merge_key=None, next_at=sa.func.now()))
        if row.state == "unknown":
            effect = load_effect(row.kind, await self._keys.open(row.enc_body, where=outbox_place(row.txn)))
            assert isinstance(effect, SendToCustomer), "nothing else keeps its lane"
            await add_rows(connection, [await sealed_row(self._keys, ended(effect, row.txn, "internal"))])

    async def _decide(
        self, connection: AsyncConnection, letter: Any, verdict: Verdict, *, by: str, at: datetime, words: str = ""
    ) -> None:
        values = {"verdict": verdict, "decided_by": by, "decided_at": at}
        if verdict == "drop":
            values["enc_raw"] = None
        await connection.execute(dead_letter.update().where(dead_letter.c.id == letter.id).values(**values))
        entry = AuditEntry(
            actor=by,
            action=f"deadletter.{verdict}",
            object=f"deadletter:{letter.id}",
            purpose="operation",
            details={"queue": letter.queue.partition(":")[0], "row": str(letter.row_id)},
            words=words,
        )
        await append(connection, self._keys, [entry], at=at)


async def _undecided(connection: AsyncConnection, id: int, *, also_raw: bool = False) -> tuple[Any, Any]:
    letter = (await connection.execute(sa.select(dead_letter).where(dead_letter.c.id == id).with_for_update())).first()
    if letter is None:
        raise NotPossible(f"there is no dead letter {id}: stellwerk deadletter list shows them")
    if letter.verdict is not None:
        raise NotPossible(f"about dead letter {id} is decided already: {letter.verdict}")
    if letter.queue not in _GIVEN_UP:
        if also_raw:
            return letter, None
        raise NotPossible(
            f"dead letter {id} is an event that could not be read when it came; it has no place to go back to. "
            "It stays for whoever looks for the fault, or: stellwerk deadletter drop"
        )
    table, states = _GIVEN_UP[letter.queue]
    given_up = sa.select(table).where(table.c.id == letter.row_id, table.c.state.in_(states)).with_for_update()
    row = (await connection.execute(given_up)).first()
    if row is None:
        raise NotPossible(f"the row of dead letter {id} is gone: what it was about was erased, or it has left since")
    return letter, row


def _anew(queue: str) -> Mapping[str, Any]:
    if queue == "inbox":
        return {"state": "new", "failures": 0, "next_at": sa.func.now()}
    # Attempts are kept: after a first one the row may have got through. A newer state must not be merged into it.
    return {
        "state": "new",
        "failures": 0,
        "failing_since": None,
        "next_at": sa.func.now(),
        "code": "retried",
        "merge_key": None,
        "claim_token": None,
        "claimed_until": None,
    }
