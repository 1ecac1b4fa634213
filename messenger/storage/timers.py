"""Timers: what shall happen at a time, in the database, so that it happens once and also after a restart. A due timer
becomes an inbox row in the transaction that removes it."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.items import KeyStillMissing
from messenger.app.ports import NewItem
from messenger.storage.data_keys import DataKeys
from messenger.storage.inbox import add_rows, sealed_row
from messenger.storage.models.queues import timer

_DUE = (
    sa.select(timer)
    .where(timer.c.due_at <= sa.func.now())
    .order_by(timer.c.due_at)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)


async def fire_due(engine: AsyncEngine, keys: DataKeys, *, most: int = 100) -> int:
    """Returns how many timers fired."""
    async with engine.begin() as connection:
        due = (await connection.execute(_DUE, {"most": most})).all()
        items = [
            NewItem(
                source="timer",
                source_id=f"{row.kind}|{row.subject}|{row.due_at.isoformat()}",
                lane=f"timer:{row.subject}",
                item=KeyStillMissing(account=row.account, source_id=row.subject),
            )
            for row in due
        ]
        await add_rows(connection, [await sealed_row(keys, item) for item in items])
        await connection.execute(timer.delete().where(timer.c.id.in_([row.id for row in due])))
    return len(due)
