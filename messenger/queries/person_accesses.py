"""The rows of the audit log about a person: who read or decided what, and who came into a room where their
conversations stand. What is written there is no row each: whoever is in the room can read it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

# Whoever was taken out of a group before the first card of this person stood in its room has read nothing of them.
_ACCESSES = sa.text("""
WITH stood AS (
  SELECT 'group:' || place.group_id AS object, min(place.made_at) AS since FROM place
  WHERE conversation_id = ANY(CAST(:conversations AS uuid[])) AND NOT is_room GROUP BY place.group_id
  UNION ALL
  SELECT 'group:' || group_id, min(opened_at) FROM conversation
  WHERE id = ANY(CAST(:conversations AS uuid[])) AND group_id IS NOT NULL GROUP BY group_id
),
rooms AS (SELECT object, min(since) AS since FROM stood GROUP BY object),
came AS (
  SELECT came.seq FROM audit AS came JOIN rooms ON rooms.object = came.object
  WHERE came.action = 'group.join' AND NOT EXISTS (
    SELECT FROM audit AS went
    WHERE went.object = came.actor AND went.action = 'config.seat' AND went.seq > came.seq AND went.at < rooms.since
      AND CAST(went.details AS jsonb) ->> 'role' = 'none'
      AND 'group:' || (CAST(went.details AS jsonb) ->> 'group') = came.object
  )
)
SELECT audit.at, audit.actor, audit.action, audit.object, audit.purpose, audit.outcome, audit.reason,
  coalesce(skill_group.name, '') AS group_name
FROM audit LEFT JOIN skill_group ON audit.object = 'group:' || skill_group.id
WHERE audit.object = ANY(CAST(:objects AS text[])) OR audit.seq IN (SELECT seq FROM came)
ORDER BY audit.seq""")


async def access_rows(connection: AsyncConnection, person: UUID, conversations: Sequence[UUID]) -> Sequence[Any]:
    """The oldest first."""
    objects = [f"contact:{person}", *(f"conversation:{id}" for id in conversations)]
    return (await connection.execute(_ACCESSES, {"conversations": list(conversations), "objects": objects})).all()
