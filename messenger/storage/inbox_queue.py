"""The inbox as its worker sees it: rows that failed are tried again, then put aside where a person finds them."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.dead_letters import item_put_aside
from messenger.app.records import InboxRow
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction
from messenger.storage.inbox import add_rows, sealed_row
from messenger.storage.models.queues import dead_letter, inbox


class SqlInboxQueue:
    def __init__(self, engine: AsyncEngine, keys: DataKeys) -> None:
        self._engine, self._keys = engine, keys

    async def give_back(self, row: InboxRow, error: str, *, tries: int) -> None:
        """Failures count apart from attempts: a row that has waited long for something has not failed yet."""
        failed = inbox.c.failures + 1
        # Another worker may have taken the row up and given it back in between: that was its failure, counted once.
        unchanged = (inbox.c.id == row.id, inbox.c.state == "new", inbox.c.attempts == row.attempts)
        again = inbox.update().where(*unchanged)
        values = again.values(
            attempts=inbox.c.attempts + 1,
            failures=failed,
            next_at=sa.func.now() + sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.func.power(2.0, inbox.c.failures)),
            state=sa.case((failed >= tries, "dead"), else_="new"),
        )
        async with transaction(self._engine) as connection:
            state = await connection.scalar(values.returning(inbox.c.state))
            if state == "dead":
                await connection.execute(dead_letter.insert().values(queue="inbox", row_id=row.id, reason=error))
                await add_rows(connection, [await sealed_row(self._keys, item_put_aside(row))])
