"""A new root key, while everything goes on. Only keys are wrapped anew, never what is sealed under them: subject keys
in the key database, and the few data keys that belong to no person.

From `begin` on, whatever is new is wrapped by the new key: the transaction that makes a key reads, locked, which root
key is current. Until `finish` the old one opens what has not been reached yet, so every process holds both. Each batch
is a transaction; whoever breaks off begins again, and what is done already is passed over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.observability.failpoints import fp
from messenger.storage.data_keys import place as data_key_place
from messenger.storage.database import transaction
from messenger.storage.encryption import Key
from messenger.storage.models.keys import installation
from messenger.storage.models.subject_keys import root_key
from messenger.storage.root_keys import RootKeys
from messenger.storage.subject_keys import place as subject_key_place

# A batch locks its rows for some tens of milliseconds.
BATCH = 2_000

_SUBJECTS = sa.text("""
SELECT kid, subject, wrapped FROM subject_key
WHERE kid > :after AND root_kid <> :new AND wrapped IS NOT NULL ORDER BY kid LIMIT :most""")
# Only what still is as it was read: a key that was destroyed meanwhile stays destroyed.
_REPLACE_SUBJECTS = sa.text("""
UPDATE subject_key SET wrapped = again.wrapped, root_kid = :new
FROM unnest(CAST(:kids AS int[]), CAST(:olds AS bytea[]), CAST(:news AS bytea[])) AS again(kid, old, wrapped)
WHERE subject_key.kid = again.kid AND subject_key.wrapped = again.old""")
_LEFT_SUBJECTS = sa.text("SELECT count(*) FROM subject_key WHERE root_kid <> :new AND wrapped IS NOT NULL")
# The number of the wrapping key stands in bytes 2 to 5.
_DATA_KEYS = sa.text("""
SELECT kid, scope, wrapped FROM data_key
WHERE subject IS NULL AND kid > :after AND substring(wrapped FROM 2 FOR 4) <> :new ORDER BY kid LIMIT :most""")
_REPLACE_DATA_KEYS = sa.text("""
UPDATE data_key SET wrapped = again.wrapped
FROM unnest(CAST(:kids AS int[]), CAST(:olds AS bytea[]), CAST(:news AS bytea[])) AS again(kid, old, wrapped)
WHERE data_key.kid = again.kid AND data_key.wrapped = again.old""")
_LEFT_DATA_KEYS = sa.text("""
SELECT count(*) FROM data_key WHERE subject IS NULL AND substring(wrapped FROM 2 FOR 4) <> :new""")


class RotationUnfinished(Exception):
    """Something is still wrapped by the old root key. Nothing is lost; the rotation can be run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    main: AsyncEngine
    keys: AsyncEngine


async def begin(databases: Databases, new: Key) -> None:
    """The new key is the current one from these commits on. Waits for those who are just making a key."""
    async with transaction(databases.keys) as connection:
        others = root_key.update().where(root_key.c.state == "current", root_key.c.kid != new.kid)
        await connection.execute(others.values(state="leaving"))
        row = insert(root_key).values(kid=new.kid, state="current").on_conflict_do_nothing()
        await connection.execute(row)
    fp("rotation_begun")
    async with transaction(databases.main) as connection:
        await connection.execute(installation.update().values(root_kid=new.kid))


async def rewrap(
    databases: Databases, roots: RootKeys, new: Key, *, tell: Callable[[int], None] = lambda done: None
) -> int:
    """All that is not under the new key yet. Returns how many keys that was; `tell` hears it batch by batch."""
    done = 0
    for engine, read, replace, placed, mark in (
        (databases.keys, _SUBJECTS, _REPLACE_SUBJECTS, _subject_place, {"new": new.kid}),
        (databases.main, _DATA_KEYS, _REPLACE_DATA_KEYS, _data_place, {"new": new.kid.to_bytes(4)}),
    ):
        after = 0
        while True:
            async with transaction(engine) as connection:
                rows = (await connection.execute(read, {"after": after, "most": BATCH, **mark})).all()
                if rows:
                    changed = _changed(rows, roots, new, placed)
                    values = changed | (mark if replace is _REPLACE_SUBJECTS else {})
                    await connection.execute(replace, values)
            if not rows:
                break
            fp("rewrap_batch")
            done, after = done + len(rows), rows[-1].kid
            tell(done)
    return done


async def finish(databases: Databases, new: Key) -> None:
    """The old key opens nothing any more, so it is retired. Raises RotationUnfinished."""
    if left := await count_left(databases, new.kid):
        raise RotationUnfinished(f"{left} keys are still under the old root key: stellwerk keys rotate")
    async with transaction(databases.keys) as connection:
        leaving = root_key.update().where(root_key.c.state == "leaving")
        await connection.execute(leaving.values(state="retired", retired_at=sa.func.now()))
    fp("rotation_ended")


async def count_left(databases: Databases, kid: int) -> int:
    """Keys that another root key than this one wraps."""
    async with transaction(databases.keys) as connection:
        subjects = await connection.scalar(_LEFT_SUBJECTS, {"new": kid}) or 0
    async with transaction(databases.main) as connection:
        return subjects + (await connection.scalar(_LEFT_DATA_KEYS, {"new": kid.to_bytes(4)}) or 0)


def _changed(rows: Any, roots: RootKeys, new: Key, placed: Callable[[Any], str]) -> dict[str, list[Any]]:
    return {
        "kids": [row.kid for row in rows],
        "olds": [row.wrapped for row in rows],
        "news": [new.seal(roots.open(row.wrapped, where=placed(row)), where=placed(row)) for row in rows],
    }


def _subject_place(row: Any) -> str:
    return subject_key_place(row.subject)


def _data_place(row: Any) -> str:
    return data_key_place(row.scope)
