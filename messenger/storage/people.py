"""Skill groups, staff and their seats."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.ports import Seat
from messenger.domain import group_settings
from messenger.domain.ids import AgentId, GroupId
from messenger.domain.people import Agent, Role, SkillGroup
from messenger.storage.models.people import group_member, skill_group, staff

AVAILABLE = "available"
_SEAT = (
    sa.select(staff.c.id, staff.c.address, staff.c.name, staff.c.language, group_member.c.role)
    .join_from(staff, group_member, group_member.c.staff_id == staff.c.id)
    .where(group_member.c.group_id == sa.bindparam("in_group"), staff.c.address == sa.bindparam("of_address"))
)


def as_group(row: Any, *, id: Any = None, name: str | None = None) -> SkillGroup:
    return SkillGroup(
        id=GroupId(id or row.id),
        name=name or row.name,
        is_default=row.is_default,
        languages=tuple(row.languages),
        keywords=tuple(row.keywords),
        **group_settings.load(row.settings),
    )


def as_agent(row: Any) -> Agent:
    return Agent(id=AgentId(row.id), address=row.address, name=row.name, language=row.language)


class SqlPeople:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def groups(self) -> Sequence[SkillGroup]:
        rows = await self._connection.execute(
            sa.select(skill_group).order_by(skill_group.c.made_at, skill_group.c.name)
        )
        return [as_group(row) for row in rows]

    async def group(self, id: GroupId) -> SkillGroup:
        return as_group((await self._connection.execute(sa.select(skill_group).where(skill_group.c.id == id))).one())

    async def agent(self, id: AgentId) -> Agent:
        return as_agent((await self._connection.execute(sa.select(staff).where(staff.c.id == id))).one())

    async def seat(self, group: GroupId, address: str) -> Seat | None:
        row = (await self._connection.execute(_SEAT, {"in_group": group, "of_address": address})).first()
        return Seat(agent=as_agent(row), role=Role(row.role)) if row else None

    async def group_of_room(self, room: str) -> SkillGroup | None:
        row = (await self._connection.execute(sa.select(skill_group).where(skill_group.c.room_id == room))).first()
        return as_group(row) if row else None

    async def room_of_group(self, id: GroupId) -> str | None:
        room: str | None = await self._connection.scalar(sa.select(skill_group.c.room_id).where(skill_group.c.id == id))
        return room

    async def is_staff(self, addresses: Sequence[str]) -> bool:
        if not addresses:
            return False
        query = sa.select(sa.literal(1)).where(staff.c.address.in_(addresses)).limit(1)
        return (await self._connection.execute(query)).first() is not None

    async def colleague(self, name: str) -> Agent | None:
        folded = name.strip().removeprefix("@").casefold()
        if not folded:
            return None
        local_part = sa.func.lower(sa.func.split_part(sa.func.substr(staff.c.address, 2), ":", 1))
        address = sa.func.lower(sa.func.substr(staff.c.address, 2))
        first_name = sa.func.lower(sa.func.split_part(staff.c.name, " ", 1))
        query = sa.select(staff).where(
            sa.or_(address == folded, local_part == folded, sa.func.lower(staff.c.name) == folded, first_name == folded)
        )
        found = (await self._connection.execute(query.limit(2))).all()
        return as_agent(found[0]) if len(found) == 1 else None

    async def seats_of(self, address: str) -> Sequence[tuple[SkillGroup, Seat]]:
        query = (
            sa.select(
                skill_group,
                staff.c.id.label("s_id"),
                staff.c.address,
                staff.c.name.label("s_name"),
                staff.c.language,
                group_member.c.role,
            )
            .join_from(staff, group_member, group_member.c.staff_id == staff.c.id)
            .join(skill_group, skill_group.c.id == group_member.c.group_id)
            .where(staff.c.address == address)
            .order_by(skill_group.c.name)
        )
        return [
            (
                as_group(row),
                Seat(
                    agent=Agent(id=AgentId(row.s_id), address=row.address, name=row.s_name, language=row.language),
                    role=Role(row.role),
                ),
            )
            for row in await self._connection.execute(query)
        ]

    async def person_of_direct_room(self, room: str) -> Agent | None:
        row = (await self._connection.execute(sa.select(staff).where(staff.c.direct_room == room))).first()
        return as_agent(row) if row else None

    async def direct_room_of(self, agent: AgentId) -> str | None:
        room: str | None = await self._connection.scalar(sa.select(staff.c.direct_room).where(staff.c.id == agent))
        return room

    async def set_direct_room(self, agent: AgentId, room: str) -> None:
        await self._connection.execute(staff.update().where(staff.c.id == agent).values(direct_room=room))

    async def can_somebody_answer(self, group: GroupId) -> bool:
        query = (
            sa.select(sa.literal(1))
            .join_from(staff, group_member, group_member.c.staff_id == staff.c.id)
            .where(
                group_member.c.group_id == group,
                group_member.c.role.in_([role.value for role in Role if role.can_answer]),
                staff.c.availability == AVAILABLE,
            )
            .limit(1)
        )
        return (await self._connection.execute(query)).first() is not None

    async def is_available(self, agent: AgentId) -> bool:
        found: str | None = await self._connection.scalar(sa.select(staff.c.availability).where(staff.c.id == agent))
        return found == AVAILABLE
