"""Groups and people as lists show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.domain import group_settings
from messenger.observability.time import utc_now
from messenger.storage.administration import NotPossible
from messenger.storage.models.access import staff_role
from messenger.storage.models.people import group_member, skill_group, staff
from messenger.storage.routing import SqlRouting

_AGENTS = sa.text("""
SELECT staff.*, ARRAY(
    SELECT skill_group.name FROM group_member JOIN skill_group ON skill_group.id = group_member.group_id
    WHERE group_member.staff_id = staff.id ORDER BY 1) AS groups,
  ARRAY(SELECT skill || ':' || level FROM staff_skill
    WHERE staff_id = staff.id AND (valid_to IS NULL OR valid_to > now()) ORDER BY 1) AS skills
FROM staff ORDER BY staff.name""")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    name: str
    is_default: bool
    languages: tuple[str, ...]
    keywords: tuple[str, ...]
    accounts: tuple[str, ...]
    hours: str
    menu_label: str
    room_id: str | None
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDetails:
    """`settings` holds every setting in its stored form; `changed` names those that have been set."""

    name: str
    is_default: bool
    languages: tuple[str, ...]
    keywords: tuple[str, ...]
    room_id: str | None
    settings: Mapping[str, Any]
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """`load` and `capacity` in units; `skills` as `name:level`."""

    address: str
    name: str
    language: str
    groups: tuple[str, ...]
    availability: str
    load: float
    capacity: float
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """Without the reason, which is for the person and their team."""

    address: str
    availability: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesRow:
    """`groups` as `name:role`."""

    address: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    address: str
    name: str
    role: str


async def groups(engine: AsyncEngine) -> Sequence[GroupRow]:
    count = sa.select(sa.func.count()).where(group_member.c.group_id == skill_group.c.id).scalar_subquery()
    query = sa.select(skill_group, count.label("members")).order_by(skill_group.c.made_at, skill_group.c.name)
    async with engine.begin() as connection:
        return [
            GroupRow(
                name=row.name,
                is_default=row.is_default,
                languages=tuple(row.languages),
                keywords=tuple(row.keywords),
                accounts=settings["accounts"],
                hours=settings["hours"],
                menu_label=settings["menu_label"],
                room_id=row.room_id,
                members=row.members,
            )
            for row in await connection.execute(query)
            for settings in [group_settings.load(row.settings)]
        ]


async def group_details(engine: AsyncEngine, name: str) -> GroupDetails | None:
    query = sa.select(skill_group).where(sa.func.lower(skill_group.c.name) == name.lower())
    async with engine.begin() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        return None
    settings = group_settings.load(row.settings)
    return GroupDetails(
        name=row.name,
        is_default=row.is_default,
        languages=tuple(row.languages),
        keywords=tuple(row.keywords),
        room_id=row.room_id,
        settings=group_settings.store(settings),
        changed=tuple(key for key in settings if key in row.settings),
    )


async def agents(engine: AsyncEngine) -> Sequence[AgentRow]:
    async with engine.begin() as connection:
        return [
            AgentRow(
                address=row.address,
                name=row.name,
                language=row.language,
                groups=tuple(row.groups),
                availability=row.availability,
                load=round(loads.get(row.id, 0.0), 2),
                capacity=float(row.capacity_units),
                skills=tuple(row.skills),
            )
            for loads in [await SqlRouting(connection).loads(now=utc_now())]
            for row in await connection.execute(_AGENTS)
        ]


async def status(engine: AsyncEngine, address: str) -> StatusRow:
    """Raises NotPossible."""
    query = sa.select(staff.c.address, staff.c.availability, staff.c.availability_since.label("since"))
    async with engine.begin() as connection:
        row = (await connection.execute(query.where(staff.c.address == address))).first()
    if row is None:
        raise NotPossible(f"{address} is not known: stellwerk agent list")
    return StatusRow(**row._mapping)


async def roles(engine: AsyncEngine, address: str) -> RolesRow:
    """Raises NotPossible."""
    async with engine.begin() as connection:
        who = await connection.scalar(sa.select(staff.c.id).where(staff.c.address == address))
        if who is None:
            raise NotPossible(f"{address} is not known: stellwerk agent list")
        own = await connection.scalars(sa.select(staff_role.c.role).where(staff_role.c.staff_id == who))
        seats = await connection.execute(
            sa.select(skill_group.c.name, group_member.c.role)
            .join_from(group_member, skill_group, skill_group.c.id == group_member.c.group_id)
            .where(group_member.c.staff_id == who)
        )
        return RolesRow(
            address=address, roles=tuple(sorted(own)), groups=tuple(sorted(f"{row.name}:{row.role}" for row in seats))
        )


async def members(engine: AsyncEngine, group: str) -> Sequence[MemberRow]:
    query = (
        sa.select(staff.c.address, staff.c.name, group_member.c.role)
        .join_from(staff, group_member, group_member.c.staff_id == staff.c.id)
        .join(skill_group, skill_group.c.id == group_member.c.group_id)
        .where(sa.func.lower(skill_group.c.name) == group.lower())
        .order_by(staff.c.name)
    )
    async with engine.begin() as connection:
        return [MemberRow(address=row.address, name=row.name, role=row.role) for row in await connection.execute(query)]
