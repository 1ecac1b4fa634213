"""The demonstration's clock. Nobody can wait a week for a pause to end, and nobody can move the clock of a homeserver:
so everything that the desk has recorded becomes older instead, and the present stays where it is."""

import asyncio
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.demo.actor import StoryBroke
from messenger.storage.models import whole_schema
from messenger.storage.models.audit import audit, audit_head
from messenger.storage.models.queues import inbox, lease, outbox

PATIENCE_S, LOOKS_PER_S = 60.0, 10
# A lease says who works now; that is no record of the past, and an older one would be lost. The audit log is chained:
# nobody changes what it says of the past, not even we.
_AS_THEY_ARE = frozenset({lease.name, audit.name, audit_head.name})
# ISO 8601, as a value of an event: `"until": "2026-12-03T08:00:00Z"`.
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d"
_EVENT_TIMES = sa.text(
    """
    UPDATE event_log SET ids = (
      SELECT jsonb_object_agg(key, CASE
        WHEN jsonb_typeof(value) = 'string' AND value #>> '{}' ~ :moment
        THEN to_jsonb(CAST(value #>> '{}' AS timestamptz) - :by) ELSE value END)
      FROM jsonb_each(ids))
    WHERE EXISTS (SELECT 1 FROM jsonb_each_text(ids) AS entry WHERE entry.value ~ :moment)
    """
).bindparams(sa.bindparam("by", type_=sa.Interval()), sa.bindparam("moment", _MOMENT))


async def go_on(engine: AsyncEngine, by: timedelta) -> None:
    """Everything recorded becomes that much older: what was to happen by then is due. Waits first until nothing is on
    its way, because what leaves now must not meet a past that changes under it. Raises StoryBroke."""
    await _until_quiet(engine)
    async with engine.begin() as connection:
        await make_older(connection, by)


async def make_older(connection: AsyncConnection, by: timedelta) -> None:
    """As `go_on`, at once, for who knows that nothing is on its way."""
    for table in whole_schema().sorted_tables:
        moments = [column.name for column in table.columns if isinstance(column.type, sa.DateTime)]
        if moments and table.name not in _AS_THEY_ARE:
            await connection.execute(table.update().values({name: table.c[name] - by for name in moments}))
    await connection.execute(_EVENT_TIMES, {"by": by})


async def _until_quiet(engine: AsyncEngine) -> None:
    on_its_way = sa.select(
        sa.or_(
            sa.exists().where(inbox.c.state == "new"),
            sa.exists().where(outbox.c.state.in_(("new", "claimed", "unknown"))),
        )
    )
    for _ in range(round(PATIENCE_S * LOOKS_PER_S)):
        async with engine.connect() as connection:
            if not await connection.scalar(on_its_way):
                return
        await asyncio.sleep(1 / LOOKS_PER_S)
    raise StoryBroke(f"after {PATIENCE_S:.0f} s something is still on its way")
