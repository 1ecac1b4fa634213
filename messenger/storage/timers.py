"""Timers: what shall happen at a time, in the database, so that it happens once and also after a restart. A due timer
becomes an inbox row in the transaction that removes it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.effects.inside import SetTimer
from messenger.app.items import KeyStillMissing, TimerDue
from messenger.app.records import NewItem
from messenger.observability.failpoints import fp
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import at_once, fetch, transaction
from messenger.storage.inbox import add_rows, sealed_row
from messenger.storage.models.queues import timer
from messenger.storage.statements import Statement

KEY_TIMER = "KeyStillMissing"
_IS_DUE = timer.c.due_at <= sa.func.coalesce(sa.bindparam("at", type_=timer.c.due_at.type), sa.func.now())
_ARE_ANY_DUE = Statement(sa.select(sa.exists().where(_IS_DUE)))
_DUE = (
    sa.select(timer)
    .where(_IS_DUE)
    .order_by(timer.c.due_at)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)


class SqlTimers:
    """Sets the timers of conversations, inside the unit of work that wants them."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def set(self, timers: Sequence[SetTimer]) -> None:
        if timers:
            rows = [_row(each) for each in timers]
            await self._connection.execute(insert(timer).values(rows).on_conflict_do_nothing())


async def fire_due(engine: AsyncEngine, keys: DataKeys, *, most: int = 100, at: datetime | None = None) -> int:
    """Returns how many timers fired. `at`: as if it were that time."""
    async with at_once(engine) as connection:  # nearly always there are none
        ((is_due,),) = await fetch(connection, _ARE_ANY_DUE, {"at": at})
    if not is_due:
        return 0
    async with transaction(engine) as connection:
        due = (await connection.execute(_DUE, {"most": most, "at": at})).all()
        if due:
            await add_rows(connection, [await sealed_row(keys, _item(row)) for row in due])
            fp("timer_heard")
            await connection.execute(timer.delete().where(timer.c.id.in_([row.id for row in due])))
            fp("timer_removed")
    return len(due)


def _row(wanted: SetTimer) -> dict[str, Any]:
    return {
        "kind": wanted.kind,
        "subject": str(wanted.subject or wanted.conversation),
        "account": "",
        "conversation_id": wanted.conversation,
        "due_at": wanted.at,
    }


def _item(row: Any) -> NewItem:
    """In a lane of its subject: what is due for one conversation follows each other."""
    item: KeyStillMissing | TimerDue
    if row.kind == KEY_TIMER:
        item = KeyStillMissing(account=row.account, source_id=row.subject)
    else:
        subject = None if row.subject == str(row.conversation_id) else UUID(row.subject)
        item = TimerDue(kind=row.kind, conversation=row.conversation_id, due=row.due_at, subject=subject)
    return NewItem(
        source="timer",
        # With the id: a timer that is set again for the same moment is another one, and must be heard too.
        source_id=f"{row.kind}|{row.subject}|{row.due_at.isoformat()}|{row.id}",
        lane=f"timer:{row.conversation_id or row.subject}",
        item=item,
    )
