"""What a run reads in Stellwerk's database: where the cards are, what still waits, what happened."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.database import at_once, connect

_CARDS = """
SELECT chat.remote, conversation.card_event FROM conversation JOIN chat ON chat.id = conversation.chat_id
WHERE chat.remote = ANY(CAST(:chats AS text[])) AND card_event IS NOT NULL"""
_OWNED = """
SELECT count(*) FROM conversation JOIN chat ON chat.id = conversation.chat_id
WHERE chat.remote = ANY(CAST(:chats AS text[])) AND owner_id IS NOT NULL"""
_WAITING = """
SELECT (SELECT count(*) FROM inbox WHERE state IN ('new', 'waiting_key') AND next_at <= now())
  + (SELECT count(*) FROM outbox WHERE state = 'claimed' OR (state = 'new' AND next_at <= now()))"""
_PAUSED = "SELECT count(*) FROM conversation WHERE state = 'paused'"
_DUE_AT = """
SELECT max(pause_until) FROM conversation JOIN chat ON chat.id = conversation.chat_id
WHERE chat.remote = ANY(CAST(:chats AS text[])) AND state = 'paused'"""
_WOKEN = "SELECT count(*), max(at) FROM event_log WHERE type = 'ConversationResumed' AND at >= :since"
_DEAD = "SELECT count(*) FROM dead_letter"
_SIZE = "SELECT pg_database_size(current_database())"


class Ledger:
    def __init__(self, url: str) -> None:
        self.engine: AsyncEngine = connect(url, pool_size=2, application="benchmark")

    async def cards(self, chats: Sequence[str]) -> Mapping[str, str]:
        return {row.remote: row.card_event for row in await self._rows(_CARDS, chats=list(chats))}

    async def owned(self, chats: Sequence[str]) -> int:
        return int((await self._rows(_OWNED, chats=list(chats)))[0][0])

    async def is_quiet(self) -> bool:
        return not (await self._rows(_WAITING))[0][0]

    async def paused(self) -> int:
        return int((await self._rows(_PAUSED))[0][0])

    async def due_at(self, chats: Sequence[str]) -> datetime:
        due: datetime = (await self._rows(_DUE_AT, chats=list(chats)))[0][0]
        return due

    async def woken(self, since: datetime) -> tuple[int, datetime | None]:
        row = (await self._rows(_WOKEN, since=since))[0]
        return row[0], row[1]

    async def dead_letters(self) -> int:
        return int((await self._rows(_DEAD))[0][0])

    async def megabytes(self) -> int:
        return round((await self._rows(_SIZE))[0][0] / 2**20)

    async def close(self) -> None:
        await self.engine.dispose()

    async def _rows(self, query: str, **values: Any) -> Sequence[Any]:
        async with at_once(self.engine) as connection:
            return (await connection.execute(sa.text(query), values)).all()
