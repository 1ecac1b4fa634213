"""The keys as an administrator sees them: how many there are, under which root key, and what is still to be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.models.keys import data_key
from messenger.storage.models.subject_keys import subject_key


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKeyRow:
    """`state`: `current`, `leaving` while a rotation is on its way, `retired`. `keys`: how many it wraps."""

    id: str
    state: str
    made_at: datetime
    retired_at: datetime | None
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCounts:
    """`older`: data keys of persons that an older version has left under the root key."""

    roots: Sequence[RootKeyRow]
    subjects: int
    destroyed: int
    data_keys: int
    older: int


_ROOTS = sa.text("""
SELECT root_key.kid, state, root_key.made_at, retired_at,
  (SELECT count(*) FROM subject_key WHERE root_kid = root_key.kid AND wrapped IS NOT NULL) AS keys
FROM root_key ORDER BY root_key.made_at""")
_UNDER_ROOT = sa.text("""
SELECT substring(wrapped FROM 2 FOR 4) AS kid, count(*) AS keys,
  count(*) FILTER (WHERE scope ~ '^(conversation|contact|staff):') AS older
FROM data_key WHERE subject IS NULL GROUP BY 1""")


async def key_counts(main: AsyncEngine, keys: AsyncEngine) -> KeyCounts:
    async with keys.connect() as connection:
        roots = (await connection.execute(_ROOTS)).all()
        alive = sa.func.count().filter(subject_key.c.destroyed_at.is_(None))
        gone = sa.func.count().filter(subject_key.c.destroyed_at.is_not(None))
        subjects, destroyed = (await connection.execute(sa.select(alive, gone).select_from(subject_key))).one()
    async with main.connect() as connection:
        under = {int.from_bytes(row.kid): row for row in await connection.execute(_UNDER_ROOT)}
        all_of = await connection.scalar(sa.select(sa.func.count()).select_from(data_key)) or 0
    return KeyCounts(
        roots=[
            RootKeyRow(
                id=f"{row.kid:08x}",
                state=row.state,
                made_at=row.made_at,
                retired_at=row.retired_at,
                keys=row.keys + (under[row.kid].keys if row.kid in under else 0),
            )
            for row in roots
        ],
        subjects=subjects,
        destroyed=destroyed,
        data_keys=all_of,
        older=sum(row.older for row in under.values()),
    )
