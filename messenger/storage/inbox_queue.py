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
            # Another worker may have taken the row up and given it back in between: that was its failure, counted once.
            unchanged = (inbox.c.id == row.id, inbox.c.state == "new", inbox.c.attempts == row.attempts)
            again = inbox.update().where(*unchanged)
            if row.attempts + 1 < tries:
                wait = sa.func.make_interval(0, 0, 0, 0, 0, 0, 2.0**row.attempts)
                await connection.execute(again.values(attempts=inbox.c.attempts + 1, next_at=sa.func.now() + wait))
                return
            if (await connection.execute(again.values(state="dead"))).rowcount:
                await connection.execute(dead_letter.insert().values(queue="inbox", row_id=row.id, reason=error))
