"""Takes away what nothing needs any more: words of finished work, rows that only guarded against repeats, keys that
nothing hangs on. In small batches, resumable at any point: what is left over is found by the next run.

inbox         a row loses its body when it is handled (`inbox.settle`); it goes `KEPT_ROWS` later
outbox        a row keeps its body for `KEPT_BODIES` after it ended, for a homeserver that loses what it was given; it
              goes after `KEPT_ROWS`
flood         goes `KEPT_ROWS` after it was decided about
megolm_seen   a ciphertext is remembered as long as its room key is there: without it nothing can be replayed
sent_before   what was found sent when the desk was recovered goes after `KEPT_ROWS`
queue keys    one a day; destroyed when nothing waits under it, so that old copies of the queues open no more
subject keys  one that wraps nothing (a crash came between it and what it was made for) goes after `ORPHAN_AFTER`
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.observability.time import utc_now
from messenger.storage.data_keys import QUEUE, DataKeys, day_subject
from messenger.storage.database import transaction
from messenger.storage.models.keys import data_key
from messenger.storage.subject_keys import ORPHAN_AFTER

BATCH = 1_000
# Transaction ids and source ids must outlive every repeat that can come, and a row may have waited long for its end.
KEPT_ROWS = timedelta(days=30)
# What a homeserver restored from a backup lacks is sent again from here.
KEPT_BODIES = timedelta(days=2)
KEPT_QUEUE_KEYS = timedelta(days=7)

_STATEMENTS = {
    "bodies": """
        UPDATE outbox SET enc_body = '' WHERE id IN (SELECT id FROM outbox
          WHERE state IN ('sent', 'failed', 'cancelled') AND enc_body <> ''
            AND next_at < now() - CAST(:kept_bodies AS interval) LIMIT :most)""",
    "outbox": """
        DELETE FROM outbox WHERE id IN (SELECT id FROM outbox
          WHERE state IN ('sent', 'failed', 'cancelled')
            AND next_at < now() - CAST(:kept_rows AS interval) LIMIT :most)""",
    "inbox": """
        DELETE FROM inbox WHERE id IN (SELECT id FROM inbox
          WHERE state IN ('done', 'quarantine', 'undecryptable')
            AND next_at < now() - CAST(:kept_rows AS interval) LIMIT :most)""",
    "floods": """
        DELETE FROM flood WHERE id IN (SELECT id FROM flood
          WHERE decided_at < now() - CAST(:kept_rows AS interval) LIMIT :most)""",
    "seen": """
        DELETE FROM megolm_seen WHERE ctid = ANY(ARRAY(SELECT seen.ctid FROM megolm_seen AS seen
          WHERE NOT EXISTS (SELECT FROM mx_megolm AS held WHERE held.account = seen.account
            AND held.room_id = seen.room_id AND held.session_id = seen.session_id) LIMIT :most))""",
    "sent_before": """
        DELETE FROM sent_before WHERE ctid = ANY(ARRAY(SELECT ctid FROM sent_before
          WHERE made_at < now() - CAST(:kept_rows AS interval) LIMIT :most))""",
}
# The number of the key stands in bytes 2 to 5 of each record.
_USED_KIDS = sa.text("""
SELECT substring(enc_body FROM 2 FOR 4) AS kid FROM inbox WHERE enc_body <> ''
UNION SELECT substring(enc_raw FROM 2 FOR 4) FROM inbox WHERE enc_raw IS NOT NULL
UNION SELECT substring(enc_body FROM 2 FOR 4) FROM outbox WHERE enc_body <> ''
UNION SELECT substring(enc_raw FROM 2 FOR 4) FROM dead_letter WHERE enc_raw IS NOT NULL""")
_ORPHANS = sa.text(f"""
SELECT kid, subject FROM subject_key WHERE kid > :after AND destroyed_at IS NULL
  AND used_at < now() - interval '{ORPHAN_AFTER}' ORDER BY kid LIMIT :most""")  # noqa: S608 - fixed texts of ours
_DROP_ORPHANS = sa.text(f"""
DELETE FROM subject_key WHERE kid = ANY(:kids) AND used_at < now() - interval '{ORPHAN_AFTER}'""")  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How much went, by what it was."""

    bodies: int
    outbox: int
    inbox: int
    floods: int
    seen: int
    sent_before: int
    queue_keys: int
    orphans: int


async def sweep(engine: AsyncEngine, keys: DataKeys) -> Swept:
    rows = {name: await _in_batches(engine, statement) for name, statement in _STATEMENTS.items()}
    days, orphans = await _destroy_queue_keys(engine, keys), await _drop_orphans(engine, keys)
    if days or orphans:
        await keys.subjects.shred()
    return Swept(**rows, queue_keys=days, orphans=orphans)


async def _in_batches(engine: AsyncEngine, statement: str) -> int:
    values = {"most": BATCH, "kept_bodies": KEPT_BODIES, "kept_rows": KEPT_ROWS}
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    gone = 0
    while True:
        async with transaction(engine) as connection:
            count = (await connection.execute(sa.text(statement), used)).rowcount
        gone += count
        if count < BATCH:
            return gone


async def _destroy_queue_keys(engine: AsyncEngine, keys: DataKeys) -> int:
    """Of days that are past and under which nothing waits. A dead letter keeps its day's key until somebody decides."""
    last = utc_now().date() - KEPT_QUEUE_KEYS
    async with transaction(engine) as connection:
        query = sa.select(data_key.c.kid, data_key.c.scope).where(data_key.c.scope.like(f"{QUEUE}____-__-__"))
        days = [(row.kid, date.fromisoformat(row.scope.removeprefix(QUEUE))) for row in await connection.execute(query)]
        used = {int.from_bytes(kid) for kid in await connection.scalars(_USED_KIDS)}
    over = [(kid, day) for kid, day in days if day < last and kid not in used]
    for kid, day in over:
        await keys.subjects.destroy(day_subject(day))
        async with transaction(engine) as connection:
            await connection.execute(data_key.delete().where(data_key.c.kid == kid))
    return len(over)


async def _drop_orphans(engine: AsyncEngine, keys: DataKeys) -> int:
    gone, after = 0, 0
    while True:
        async with transaction(keys.subjects.engine) as connection:
            rows = (await connection.execute(_ORPHANS, {"after": after, "most": BATCH})).all()
        if not rows:
            return gone
        after = rows[-1].kid
        needed = await _needed(engine, [row.subject for row in rows])
        async with transaction(keys.subjects.engine) as connection:
            kids = [row.kid for row in rows if row.subject not in needed]
            gone += (await connection.execute(_DROP_ORPHANS, {"kids": kids})).rowcount


async def _needed(engine: AsyncEngine, subjects: Collection[object]) -> set[object]:
    async with transaction(engine) as connection:
        query = sa.select(data_key.c.subject).distinct().where(data_key.c.subject.in_(subjects))
        return set(await connection.scalars(query))
