"""Groups and people as lists show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.domain import group_settings
from messenger.storage.models.people import group_member, skill_group, staff


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
    address: str
    name: str
    language: str
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
    names = sa.func.array_remove(sa.func.array_agg(skill_group.c.name), None).label("groups")
    query = (
        sa.select(staff.c.address, staff.c.name, staff.c.language, names)
        .outerjoin_from(staff, group_member, group_member.c.staff_id == staff.c.id)
        .outerjoin(skill_group, skill_group.c.id == group_member.c.group_id)
        .group_by(staff.c.id)
        .order_by(staff.c.name)
    )
    async with engine.begin() as connection:
        return [
            AgentRow(address=row.address, name=row.name, language=row.language, groups=tuple(sorted(row.groups)))
            for row in await connection.execute(query)
        ]


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
