"""Skill groups, staff and their seats."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Seat, Status
from messenger.domain import group_settings
from messenger.domain.conversation import State
from messenger.domain.ids import AgentId, GroupId
from messenger.domain.people import Agent, Role, SkillGroup
from messenger.domain.routing.availability import Availability
from messenger.storage.data_keys import DataKeys
from messenger.storage.encryption import KeyDestroyed
from messenger.storage.models.conversations import conversation
from messenger.storage.models.people import availability_log, direct_room, group_member, skill_group, staff

AVAILABLE = Availability.AVAILABLE.value
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
    def __init__(self, connection: AsyncConnection, keys: DataKeys) -> None:
        self._connection, self._keys = connection, keys

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
        query = sa.select(staff).join(direct_room).where(direct_room.c.room_id == room)
        row = (await self._connection.execute(query)).first()
        return as_agent(row) if row else None

    async def direct_room_of(self, agent: AgentId) -> str | None:
        room: str | None = await self._connection.scalar(sa.select(staff.c.direct_room).where(staff.c.id == agent))
        return room

    async def set_direct_room(self, agent: AgentId, room: str) -> None:
        await self._connection.execute(staff.update().where(staff.c.id == agent).values(direct_room=room))
        new = insert(direct_room).values(room_id=room, staff_id=agent)
        theirs = new.on_conflict_do_update(index_elements=["room_id"], set_={"staff_id": new.excluded.staff_id})
        await self._connection.execute(theirs)

    async def leads(self, group: GroupId) -> Sequence[Agent]:
        query = (
            sa.select(staff)
            .join_from(staff, group_member, group_member.c.staff_id == staff.c.id)
            .where(group_member.c.group_id == group, group_member.c.role == Role.LEAD.value)
            .order_by(staff.c.name, staff.c.address)
        )
        return [as_agent(row) for row in await self._connection.execute(query)]

    async def members(self, group: GroupId) -> Sequence[Agent]:
        query = (
            sa.select(staff)
            .join_from(staff, group_member, group_member.c.staff_id == staff.c.id)
            .where(group_member.c.group_id == group)
            .order_by(staff.c.name, staff.c.address)
        )
        return [as_agent(row) for row in await self._connection.execute(query)]

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

    async def status(self, agent: AgentId) -> Status:
        query = sa.select(staff.c.availability, staff.c.availability_since, staff.c.enc_availability_reason)
        row = (await self._connection.execute(query.where(staff.c.id == agent))).one()
        sealed = row.enc_availability_reason
        reason = await self._opened_reason(agent, sealed) if sealed else ""
        return Status(availability=Availability(row.availability), since=row.availability_since, reason=reason)

    async def _opened_reason(self, agent: AgentId, sealed: bytes) -> str:
        try:
            return (await self._keys.open(sealed, where=_reason_place(agent))).decode()
        except KeyDestroyed:
            return ""

    async def set_status(
        self, agent: AgentId, availability: Availability, reason: str, *, at: datetime, source: str
    ) -> None:
        sealed = None
        if reason:
            key = await self._keys.of_staff(agent)
            sealed = key.seal(reason.encode(), where=_reason_place(agent))
        change = staff.update().where(staff.c.id == agent)
        await self._connection.execute(
            change.values(availability=availability.value, availability_since=at, enc_availability_reason=sealed)
        )
        entry = {"staff_id": agent, "availability": availability.value, "source": source, "since": at}
        await self._connection.execute(availability_log.insert().values(entry))

    async def count_owned(self, agent: AgentId) -> int:
        query = sa.select(sa.func.count()).where(
            conversation.c.owner_id == agent, conversation.c.state.in_([State.OPEN.value, State.PAUSED.value])
        )
        return await self._connection.scalar(query) or 0


def _reason_place(agent: AgentId) -> str:
    return f"staff|enc_availability_reason|{agent}"
