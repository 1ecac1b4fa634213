"""The inbox: what came in, once, in lanes. The head row of a lane is locked while it is handled, in the transaction
that settles it; later rows of the lane wait."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.dead_letters import sealed_item_put_aside
from messenger.app.items import Unreadable
from messenger.app.records import InboxRow, NewItem
from messenger.storage.chats import CHAT_OF_LANE
from messenger.storage.codec import UNREADABLE, dump, load_item
from messenger.storage.conversation_rows import CONVERSATION_OF_CHAT
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import fetch, first
from messenger.storage.lanes import Round, walk
from messenger.storage.leases import IS_HELD, NO_LEASE, Lease
from messenger.storage.models.queues import dead_letter, inbox
from messenger.storage.statements import Statement
from messenger.storage.together import Write, write

log = logging.getLogger(__name__)

# A row that waits for its key keeps its lane for a while (until `next_at`), then the lane goes on without it.
_KEEPS_LANE = "state IN ('new', 'waiting_key') AND (state = 'new' OR next_at > now())"
# Of so many due heads the oldest goes first: with few lanes that is the order of arrival. More than there are workers.
_LOOK_AT = 16
_CLAIM = Statement(
    f"""{walk("inbox", _KEEPS_LANE)}
SELECT claimed.*, in_chat.*, going_on.* FROM (
SELECT head.*, now() AS claimed_at, oldest.is_alone AND NOT EXISTS (
  SELECT FROM inbox AS next WHERE next.lane = head.lane AND next.id > head.id AND next.state IN ('new', 'waiting_key')
) AS is_last
FROM (
  SELECT id, count(*) OVER () = 1 AS is_alone FROM (
    SELECT due.id FROM walk CROSS JOIN LATERAL (
      SELECT id FROM inbox WHERE inbox.id = walk.id AND state = 'new' AND next_at <= now()
    ) AS due LIMIT {_LOOK_AT}
  ) AS several ORDER BY id
) AS oldest CROSS JOIN LATERAL (
  SELECT id, source, source_id, lane, attempts, paced, kind, enc_body FROM inbox
  WHERE inbox.id = oldest.id AND state = 'new' AND next_at <= now() AND (CAST(:epoch AS bigint) = 0 OR {IS_HELD})
  FOR UPDATE SKIP LOCKED
) AS head LIMIT 1
) AS claimed LEFT JOIN LATERAL ({CHAT_OF_LANE}) AS in_chat ON true
LEFT JOIN LATERAL ({CONVERSATION_OF_CHAT}) AS going_on ON true"""  # noqa: S608 - fixed texts of ours
)
_SETTLE = (
    inbox.update().where(inbox.c.id == sa.bindparam("row")).values(state=sa.bindparam("ended"), next_at=sa.func.now())
)
# What is handled needs its words no more: only that it came, so that it comes once.
_DONE = Write(
    name="settled",
    text="""
UPDATE inbox SET state = 'done', enc_body = '', enc_raw = NULL, next_at = now() WHERE id = :row RETURNING id""",
)
_ABSORB = sa.text("""
UPDATE inbox SET state = 'done', enc_body = '', enc_raw = NULL, next_at = now() WHERE id IN (
  SELECT id FROM inbox WHERE lane = :lane AND state = 'new' AND next_at <= now() FOR UPDATE SKIP LOCKED
)""")
# The type of each column of a new row, and what stands there if nothing is said.
_NEW: dict[str, tuple[str, Any]] = {
    "source": ("text", None),
    "source_id": ("text", None),
    "lane": ("text", None),
    "kind": ("text", None),
    "enc_body": ("bytea", None),
    "state": ("text", "new"),
    "room_id": ("text", None),
    "session_id": ("text", None),
    "enc_raw": ("bytea", None),
    "patience": ("interval", timedelta(0)),
}
_COLUMNS = ", ".join(list(_NEW)[:-1])
_ADD = Write(
    name="added",
    text=f"""
INSERT INTO inbox ({_COLUMNS}, next_at)
SELECT {_COLUMNS}, now() + patience
FROM unnest({", ".join(f"CAST(:{name} AS {type}[])" for name, (type, _) in _NEW.items())})
  WITH ORDINALITY AS new({", ".join(_NEW)}, place)
ORDER BY place
ON CONFLICT DO NOTHING
RETURNING id""",  # noqa: S608 - fixed texts of ours
)
_ADD_AND_COUNT = Statement(_ADD.text)
_FINAL = {"quarantine": "quarantine", "undecryptable": "undecryptable"}


def inbox_place(source: str, source_id: str) -> str:
    return f"inbox|enc_body|{source}|{source_id}"


class SqlInbox:
    """`on_claim` hears, when a row was claimed, what time it was in the database, in whose chat it was said, and what
    goes on there: the columns of `CHAT_OF_LANE` and `CONVERSATION_OF_CHAT`. `lease`: without it nothing is claimed any
    more (epoch 0: whoever claims serves no desk)."""

    def __init__(
        self,
        connection: AsyncConnection,
        keys: DataKeys,
        round: Round,
        *,
        lease: Lease = NO_LEASE,
        on_claim: Callable[[datetime, Any], None] | None = None,
    ) -> None:
        self._connection, self._keys, self._round, self._on_claim = connection, keys, round, on_claim
        self._fence = {"resource": lease.resource, "epoch": lease.epoch}

    async def claim(self) -> InboxRow | None:
        """A row that does not open is put aside, so that it stops nobody else."""
        while (row := await self._head()) is not None:
            try:
                return await self._opened(row)
            except UNREADABLE as error:
                await self._bury(row, type(error).__name__)
        return None

    async def _head(self) -> Any:
        row = await first(self._connection, _CLAIM, {"after": self._round.after, **self._fence})
        if row is not None:
            self._round.served([row.lane])
            if self._on_claim is not None:
                self._on_claim(row.claimed_at, row)
        return row

    async def _opened(self, row: Any) -> InboxRow:
        body = await self._keys.open(row.enc_body, where=inbox_place(row.source, row.source_id))
        return InboxRow(
            id=row.id,
            source=row.source,
            source_id=row.source_id,
            lane=row.lane,
            attempts=row.attempts,
            item=load_item(row.kind, body),
            is_last=row.is_last,
            paced=row.paced,
        )

    async def _bury(self, row: Any, reason: str) -> None:
        log.error("inbox row does not open", extra={"row_id": row.id, "kind": row.kind, "error": reason})
        await self._connection.execute(_SETTLE, {"row": row.id, "ended": "dead"})
        await self._connection.execute(dead_letter.insert().values(queue="inbox", row_id=row.id, reason=reason))
        await self.add([sealed_item_put_aside(row.id, row.attempts, source=row.source, lane=row.lane, kind=row.kind)])

    async def settle(self, row: InboxRow) -> None:
        ended = _FINAL.get(row.item.reason, "done") if isinstance(row.item, Unreadable) else "done"
        if ended == "done":
            await write(self._connection, _DONE, {"row": row.id})
        else:
            await self._connection.execute(_SETTLE, {"row": row.id, "ended": ended})

    async def defer(self, row: InboxRow, pause: timedelta, *, paced: str = "") -> None:
        again = inbox.update().where(inbox.c.id == row.id)
        values = {"next_at": sa.func.now() + pause, "attempts": inbox.c.attempts + 1, "paced": paced or row.paced}
        await self._connection.execute(again.values(**values))

    async def add(self, items: Sequence[NewItem]) -> int:
        return await add_rows(self._connection, [await sealed_row(self._keys, item) for item in items])

    async def absorb(self, lane: str) -> None:
        await self._connection.execute(_ABSORB, {"lane": lane})

    async def waiting(self, source: str, source_id: str) -> Unreadable | None:
        is_it = (inbox.c.source == source, inbox.c.source_id == source_id, inbox.c.state == "waiting_key")
        query = sa.select(inbox.c.kind, inbox.c.enc_body).where(*is_it).with_for_update()
        row = (await self._connection.execute(query)).first()
        if row is None:
            return None
        item = load_item(row.kind, await self._keys.open(row.enc_body, where=inbox_place(source, source_id)))
        return item if isinstance(item, Unreadable) else None


async def sealed_row(keys: DataKeys, item: NewItem) -> dict[str, Any]:
    """May be given another `state`, a `patience` before it is due, and the `room_id`, `session_id` and `enc_raw` of an
    event that waits for its key."""
    key = await keys.of_queue()
    return {
        "source": item.source,
        "source_id": item.source_id,
        "lane": item.lane,
        "kind": type(item.item).__name__,
        "enc_body": key.seal(dump(item.item), where=inbox_place(item.source, item.source_id)),
    }


async def add_rows(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> int:
    """Inserts in the order given, so that ids rise in it. Returns how many were new."""
    return len(await fetch(connection, _ADD_AND_COUNT, _columns(rows))) if rows else 0


async def add_rows_together(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """As `add_rows`, in one statement with what else is written."""
    if rows:
        await write(connection, _ADD, _columns(rows))


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row.get(name, default) for row in rows] for name, (_, default) in _NEW.items()}
