"""The inbox as its worker sees it: rows that failed are tried again, then put aside where a person finds them."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.ports import InboxRow
from messenger.storage.database import transaction
from messenger.storage.models.queues import dead_letter, inbox


class SqlInboxQueue:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def give_back(self, row: InboxRow, error: str, *, tries: int) -> None:
        async with transaction(self._engine) as connection:
            again = inbox.update().where(inbox.c.id == row.id, inbox.c.state == "new")
            if row.attempts + 1 < tries:
                wait = sa.func.make_interval(0, 0, 0, 0, 0, 0, 2.0**row.attempts)
                await connection.execute(again.values(attempts=inbox.c.attempts + 1, next_at=sa.func.now() + wait))
                return
            await connection.execute(again.values(state="dead"))
            await connection.execute(dead_letter.insert().values(queue="inbox", row_id=row.id, reason=error))
