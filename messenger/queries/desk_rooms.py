"""Rooms that somebody has to put right: those of groups that the desk was thrown out of, and those that were
replaced by others where something is missing. Names of groups and codes."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.database import at_once
from messenger.storage.models.people import skill_group
from messenger.storage.models.rooms import mx_room, room_succession


async def groups_without_desk(engine: AsyncEngine) -> Sequence[str]:
    query = (
        sa.select(skill_group.c.name)
        .join_from(skill_group, mx_room, mx_room.c.room_id == skill_group.c.room_id)
        .where(mx_room.c.membership != "join")
        .order_by(skill_group.c.name)
    )
    async with at_once(engine) as connection:
        return list(await connection.scalars(query))


async def unfollowed_rooms(engine: AsyncEngine) -> Sequence[str]:
    """What is missing, for each room that was replaced and is waited with."""
    query = sa.select(room_succession.c.code).where(room_succession.c.state == "pending", room_succession.c.code != "")
    async with at_once(engine) as connection:
        return list(await connection.scalars(query.order_by(room_succession.c.at)))
