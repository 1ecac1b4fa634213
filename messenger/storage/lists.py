"""Lists of conversations: plain reads that lock nothing, but for the one that takes the next conversation."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Listed, Place
from messenger.domain.ids import AgentId, ConversationId, GroupId

# The states are written out: with parameters the generic plans do not recognise the partial indexes.
_COLUMNS = """c.id, c.number, g.name AS group_name, c.language, c.state, c.queued_at, c.claimed_at, c.waiting_since,
  c.answered_at, c.pause_until, c.wake_on, coalesce(c.card_room, g.room_id) AS room, c.card_event, c.is_in_room"""
_GROUPS = "unnest(CAST(:groups AS uuid[])) AS wanted(id)"
_WAITING = sa.text(f"""
SELECT {_COLUMNS} FROM {_GROUPS} CROSS JOIN LATERAL (
  SELECT * FROM conversation WHERE state = 'queued' AND blocked IS NULL AND group_id = wanted.id
  ORDER BY queued_at LIMIT :most
) AS c JOIN skill_group AS g ON g.id = c.group_id
ORDER BY c.queued_at, c.id LIMIT :most""")  # noqa: S608 - fixed texts of ours
_HOW_MANY_WAIT = sa.text(
    "SELECT count(*) FROM conversation "
    "WHERE state = 'queued' AND blocked IS NULL AND group_id = ANY(CAST(:groups AS uuid[]))"
)
_OWN = sa.text(f"""
SELECT {_COLUMNS} FROM conversation AS c JOIN skill_group AS g ON g.id = c.group_id
WHERE c.owner_id = CAST(:owner AS uuid) AND c.state IN ('open', 'paused') AND c.blocked IS NULL
ORDER BY c.state, c.waiting_since NULLS LAST, c.pause_until, c.number""")  # noqa: S608 - fixed texts of ours
# Whoever asks at the same moment gets another one.
_NEXT = sa.text("""
SELECT id FROM conversation
WHERE state = 'queued' AND blocked IS NULL AND group_id = ANY(CAST(:groups AS uuid[]))
ORDER BY queued_at, id LIMIT 1 FOR UPDATE SKIP LOCKED""")


class SqlLists:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def waiting(self, groups: Sequence[GroupId], most: int) -> tuple[Sequence[Listed], int]:
        rows, total = await self.first_waiting(groups, most), None
        if len(rows) == most:
            total = await self._connection.scalar(_HOW_MANY_WAIT, {"groups": list(groups)})
        return rows, total or len(rows)

    async def first_waiting(self, groups: Sequence[GroupId], most: int) -> Sequence[Listed]:
        rows = await self._connection.execute(_WAITING, {"groups": list(groups), "most": most})
        return [_listed(row) for row in rows]

    async def of_owner(self, owner: AgentId) -> Sequence[Listed]:
        return [_listed(row) for row in await self._connection.execute(_OWN, {"owner": owner})]

    async def longest_waiting(self, groups: Sequence[GroupId]) -> ConversationId | None:
        found = await self._connection.scalar(_NEXT, {"groups": list(groups)})
        return ConversationId(found) if found else None


def _listed(row: Any) -> Listed:
    return Listed(
        id=ConversationId(row.id),
        number=row.number,
        group=row.group_name,
        language=row.language,
        is_paused=row.state == "paused",
        queued_at=row.queued_at,
        claimed_at=row.claimed_at,
        waiting_since=row.waiting_since,
        answered_at=row.answered_at,
        paused_until=row.pause_until,
        wake_on=tuple(row.wake_on or ()),
        place=_place(row),
    )


def _place(row: Any) -> Place | None:
    """Where to click: the thread, the conversation's own room, or, while the card is being made, the group's room."""
    if row.room is None:
        return None
    return Place(room=row.room, thread=row.card_event)
