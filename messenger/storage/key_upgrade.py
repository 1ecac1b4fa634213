"""Brings the data keys of an older installation under the keys of their persons, in small batches, while everything
else goes on. Whoever breaks off goes on at the next call: what is done is committed, and every key names what wraps
it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.observability.failpoints import fp
from messenger.storage.data_keys import DataKeys, place
from messenger.storage.database import transaction
from messenger.storage.models.conversations import conversation
from messenger.storage.models.keys import data_key

BATCH = 200
# A scope of one of these kinds, still under the root key. A conversation whose row is not there never had a word.
_OF_PERSONS = sa.text("subject IS NULL AND scope ~ '^(conversation|contact|staff):'")
_LEGACY = (
    sa.select(data_key.c.kid, data_key.c.scope, data_key.c.wrapped, conversation.c.contact_id)
    .outerjoin_from(data_key, conversation, data_key.c.scope == sa.func.concat("conversation:", conversation.c.id))
    .where(_OF_PERSONS, data_key.c.kid > sa.bindparam("after"))
    .order_by(data_key.c.kid)
    .limit(BATCH)
)


async def upgrade_keys(engine: AsyncEngine, keys: DataKeys) -> int:
    """Returns how many keys it has brought under their persons' keys."""
    done, after = 0, 0
    while True:
        async with transaction(engine) as connection:
            rows = (await connection.execute(_LEGACY, {"after": after})).all()
        if not rows:
            break
        await _rewrap(engine, keys, rows)
        fp("rewrap_batch")
        done, after = done + len(rows), rows[-1].kid
    if done:
        keys.forget_all()
    return done


async def _rewrap(engine: AsyncEngine, keys: DataKeys, rows: Sequence[Any]) -> None:
    wrapped = []
    for row in rows:
        subject = _subject(row)
        if subject is not None:
            secret = keys.subjects.roots.open(row.wrapped, where=place(row.scope))
            by_subject = await keys.subjects.of(subject)
            wrapped.append((row, subject, by_subject.seal(secret, where=place(row.scope))))
    async with transaction(engine) as connection:
        for row, subject, again in wrapped:
            await _replace(connection, row, subject, again)


async def _replace(connection: AsyncConnection, row: Any, subject: UUID, again: bytes) -> None:
    """Only if nobody was faster."""
    same = data_key.update().where(data_key.c.kid == row.kid, data_key.c.wrapped == row.wrapped)
    await connection.execute(same.values(subject=subject, wrapped=again))


def _subject(row: Any) -> UUID | None:
    kind, _, id = row.scope.partition(":")
    return row.contact_id if kind == "conversation" else UUID(id)


async def erase_keys(engine: AsyncEngine, keys: DataKeys, subject: UUID) -> bool:
    """Destroys a person's key. Keys of theirs that an older version has left under the root key come under it first,
    or they would stay readable. False: there was none."""
    await upgrade_keys(engine, keys)
    return await keys.subjects.destroy(subject)
