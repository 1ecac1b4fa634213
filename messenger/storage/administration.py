"""Groups and people, changed by an administrator: plain rows, and an outbox row where the desk must do something."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.app.effects.groups import ProvideGroupRoom, SeatMember, UnseatMember
from messenger.app.effects.places import UnseatFromCase
from messenger.channels.messages import Handle
from messenger.domain import group_settings
from messenger.domain.access import GRANTABLE, HouseRole, conflict
from messenger.domain.ids import AgentId
from messenger.domain.people import Role
from messenger.domain.routing.availability import Availability
from messenger.observability.time import utc_now
from messenger.storage.administration_changes import Change, NotPossible
from messenger.storage.contacts import ContactRows
from messenger.storage.data_keys import DataKeys
from messenger.storage.models.access import broken_glass, staff_role
from messenger.storage.models.conversations import case_member, conversation
from messenger.storage.models.people import group_member, skill_group, staff, staff_skill
from messenger.storage.people import SqlPeople

MOST_CODE = 120


class Administration:
    """`actor`: who changes it, for the audit log; each change is one row of it."""

    def __init__(
        self, engine: AsyncEngine, keys: DataKeys, *, namespace: UUID, desk: str, actor: str = "system"
    ) -> None:
        self._engine, self._keys, self._namespace, self._desk = engine, keys, namespace, desk
        self._actor = actor

    async def add_group(
        self,
        name: str,
        *,
        is_default: bool,
        languages: Sequence[str],
        keywords: Sequence[str],
        settings: Mapping[str, Any],
    ) -> None:
        """The first group becomes the default one, for a default always exists. Raises NotPossible for a group that is
        there, WrongSetting for settings that cannot be."""
        stored = group_settings.store(settings)
        async with self._change() as change:
            same = sa.select(skill_group.c.name).where(sa.func.lower(skill_group.c.name) == name.lower()).limit(1)
            if (known := await change.connection.scalar(same)) is not None:
                raise NotPossible(f"there is a group {known} already: stellwerk group list")
            default = sa.select(skill_group.c.id).where(skill_group.c.is_default).limit(1)
            none_yet = await change.connection.scalar(default) is None
            if is_default and not none_yet:
                await change.connection.execute(skill_group.update().values(is_default=False))
            id = uuid4()
            new = (
                insert(skill_group)
                .values(
                    id=id,
                    name=name,
                    is_default=is_default or none_yet,
                    languages=list(languages),
                    keywords=list(keywords),
                    settings=stored,
                )
                .on_conflict_do_nothing()
            )
            if not (await change.connection.execute(new)).rowcount:
                raise NotPossible(f"there is a group {name} already: stellwerk group list")
            await change.put(f"group:{id}", ProvideGroupRoom(group=id))
            await change.note("config.group", f"group:{id}", change="added")

    async def add_rule(
        self, name: str, *, languages: Sequence[str], keywords: Sequence[str], accounts: Sequence[str] = ()
    ) -> None:
        async with self._change() as change:
            group = await change.group(name)
            known = group_settings.load(group.settings)["accounts"]
            stored = group_settings.store({"accounts": (*known, *accounts)}) if accounts else {}
            await change.connection.execute(
                skill_group.update()
                .where(skill_group.c.id == group.id)
                .values(
                    languages=sorted({*group.languages, *languages}),
                    keywords=sorted({*group.keywords, *keywords}),
                    settings=skill_group.c.settings.concat(sa.cast(stored, JSONB)),
                )
            )
            await change.note("config.group", f"group:{group.id}", change="rule")

    async def change_settings(self, name: str, settings: Mapping[str, Any]) -> None:
        """Changes these settings and leaves the others, also those of a newer version, as they are. The row's lock
        lets two administrators change different ones at once."""
        stored = group_settings.store(settings)
        async with self._change() as change:
            group = await change.group(name)
            merged = skill_group.c.settings.concat(sa.cast(stored, JSONB))
            await change.connection.execute(
                skill_group.update().where(skill_group.c.id == group.id).values(settings=merged)
            )
            await change.route([group.id])
            await change.note("config.group", f"group:{group.id}", change="settings", keys=_codes(stored))

    async def add_agent(self, address: str, name: str, language: str) -> None:
        async with self._change() as change:
            new = insert(staff).values(id=uuid4(), address=address, name=name, language=language)
            who = await change.connection.scalar(
                new.on_conflict_do_update(
                    index_elements=[staff.c.address], set_={"name": name, "language": language}
                ).returning(staff.c.id)
            )
            await change.note("config.person", f"agent:{who}", change="added")

    async def add_member(self, group_name: str, address: str, role: str) -> bool:
        """Were they known before? Unknown people are made known by their address and get the group's language;
        `add_agent` gives them a name and their own."""
        async with self._change() as change:
            group = await change.group(group_name)
            language = group_settings.load(group.settings)["language"]
            person = insert(staff).values(
                id=uuid4(), address=address, name=address[1:].partition(":")[0], language=language
            )
            is_new = bool((await change.connection.execute(person.on_conflict_do_nothing())).rowcount)
            who = await change.locked(address)
            await _must_not_conflict(change.connection, address, who, seats=[Role(role)])
            seat = insert(group_member).values(group_id=group.id, staff_id=who, role=Role(role).value)
            await change.connection.execute(
                seat.on_conflict_do_update(
                    index_elements=list(group_member.primary_key), set_={"role": Role(role).value}
                )
            )
            await change.put(f"seat:{uuid4()}", SeatMember(group=group.id, agent=who))
            if not Role(role).can_answer:
                await change.give_back(who)
            await change.route_for(who)
            # With the keys of what was said in the group's room so far.
            joins = AuditEntry(
                actor=f"agent:{who}",
                action="group.join",
                object=f"group:{group.id}",
                purpose="member",
                details={"role": Role(role).value},
            )
            await change.note("config.seat", f"agent:{who}", joins, group=str(group.id), role=role)
        return not is_new

    async def remove_member(self, group_name: str, address: str) -> None:
        async with self._change() as change:
            group = await change.group(group_name)
            who = (
                await change.connection.execute(sa.select(staff.c.id).where(staff.c.address == address))
            ).scalar_one_or_none()
            gone = group_member.delete().where(group_member.c.group_id == group.id, group_member.c.staff_id == who)
            if who is None or not (await change.connection.execute(gone)).rowcount:
                raise NotPossible(f"{address} is not in {group_name}: stellwerk group member list {group_name}")
            left = await _leave_cases(change.connection, group.id, who)
            await change.put(f"seat:{uuid4()}", UnseatMember(group=group.id, agent=who), *left)
            await change.give_back(who)
            await change.note("config.seat", f"agent:{who}", group=str(group.id), role="none")

    async def set_skill(self, address: str, skill: str, level: int, *, valid_to: datetime | None = None) -> None:
        """Level 0 takes the skill away. Raises NotPossible."""
        async with self._change() as change:
            who = await change.person(address)
            mine = staff_skill.c.staff_id == who, staff_skill.c.skill == skill
            await change.connection.execute(staff_skill.delete().where(*mine))
            if level:
                row = {"staff_id": who, "skill": skill, "level": level, "valid_to": valid_to}
                await change.connection.execute(staff_skill.insert().values(row))
            await change.route_for(who)
            await change.note("config.person", f"agent:{who}", change="skill", level=str(level))

    async def set_capacity(self, address: str, units: float) -> None:
        """Raises NotPossible."""
        async with self._change() as change:
            who = await change.person(address)
            await change.connection.execute(staff.update().where(staff.c.id == who).values(capacity_units=units))
            await change.route_for(who)
            await change.note("config.person", f"agent:{who}", change="capacity", units=f"{units:g}")

    async def set_status(self, address: str, availability: Availability, reason: str) -> None:
        """Raises NotPossible."""
        async with self._change() as change:
            who = await change.person(address)
            people = SqlPeople(change.connection, self._keys)
            await people.set_status(AgentId(who), availability, reason, at=utc_now(), source="admin")
            await change.route_for(who)
            await change.note("config.person", f"agent:{who}", change="status", status=availability.value)

    async def grant_role(self, address: str, role: HouseRole) -> None:
        """Raises NotPossible for somebody unknown, where content and configuration would meet in one person, and for a
        role that nothing is behind yet."""
        if role not in GRANTABLE:
            raise NotPossible(
                f"{role.value} is not given to anybody yet: "
                + ("no case can be shared with partners" if role is HouseRole.PARTNER else "there are no tokens")
                + f" in this version, so that it would open nothing. What there is: {', '.join(GRANTABLE)}"
            )
        async with self._change() as change:
            who = await change.locked(address)
            await _must_not_conflict(change.connection, address, who, roles=[role])
            new = insert(staff_role).values(staff_id=who, role=role.value)
            await change.connection.execute(new.on_conflict_do_nothing())
            await change.note("config.role", f"agent:{who}", role=role.value, change="granted")

    async def take_role(self, address: str, role: HouseRole) -> None:
        async with self._change() as change:
            who = await change.locked(address)
            gone = staff_role.delete().where(staff_role.c.staff_id == who, staff_role.c.role == role.value)
            if not (await change.connection.execute(gone)).rowcount:
                raise NotPossible(f"{address} is not {role.value}: stellwerk agent role {address}")
            await change.note("config.role", f"agent:{who}", role=role.value, change="taken")

    async def disable(self, address: str) -> None:
        """All seats and all roles go, and every open glass with them: from then on this person may do nothing."""
        async with self._change() as change:
            who = await change.locked(address)
            groups = sa.select(skill_group.c.name).join(group_member).where(group_member.c.staff_id == who)
            names = list(await change.connection.scalars(groups))
        for name in names:
            await self.remove_member(name, address)
        async with self._change() as change:
            await change.connection.execute(staff_role.delete().where(staff_role.c.staff_id == who))
            await change.connection.execute(broken_glass.delete().where(broken_glass.c.staff_id == who))
            await change.put(f"seat:{uuid4()}", *await _leave_cases(change.connection, None, who))
            await change.give_back(who)
            await change.note("config.person", f"agent:{who}", change="disabled")

    async def set_consent(self, address: str, source: str, *, is_given: bool) -> None:
        """Also for somebody who has never written. `source` is a code. A consent that was given stands as long as it is
        not withdrawn, from the first time on."""
        async with self._change() as change:
            contacts = ContactRows(change.connection, self._keys, self._namespace)
            known = await contacts.know(Handle(kind="mxid", value=address))
            await contacts.set_consent(
                known.id, at=(known.consent_at or utc_now()) if is_given else None, source=source
            )
            what = "given" if is_given else "withdrawn"
            await change.note("contact.consent", f"contact:{known.id}", change=what, source=source)

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[Change]:
        async with self._engine.begin() as connection:
            yield Change(connection, self._keys, namespace=self._namespace, desk=self._desk, actor=self._actor)


async def _must_not_conflict(
    connection: AsyncConnection,
    address: str,
    who: UUID,
    *,
    seats: Sequence[Role] = (),
    roles: Sequence[HouseRole] = (),
) -> None:
    """The person's row is locked: two grants at once see each other."""
    has = await connection.scalars(sa.select(staff_role.c.role).where(staff_role.c.staff_id == who))
    sits = await connection.scalars(sa.select(group_member.c.role).where(group_member.c.staff_id == who))
    if conflict([*seats, *map(Role, sits)], [*roles, *map(HouseRole, has)]):
        raise NotPossible(
            f"{address} would both read conversations and change the configuration. Give one of the two to "
            f"somebody else: stellwerk agent role {address} shows what they have"
        )


async def _leave_cases(connection: AsyncConnection, group: UUID | None, who: UUID) -> Sequence[UnseatFromCase]:
    """Out of the own rooms of this group's conversations, also for somebody who keeps a seat elsewhere: they can be
    invited again. Out of all (`group` None) for somebody who has none left."""
    has_none = ~sa.exists().where(group_member.c.staff_id == who)
    of_group = sa.select(conversation.c.id).where(conversation.c.group_id == group)
    left = case_member.c.conversation_id.in_(of_group) | has_none
    gone = case_member.delete().where(case_member.c.staff_id == who, left).returning(case_member.c.conversation_id)
    return [UnseatFromCase(conversation=id, agent=who) for id in await connection.scalars(gone)]


def _codes(settings: Mapping[str, Any]) -> str:
    """Which settings were changed; their values may hold words."""
    return "/".join(sorted(settings))[:MOST_CODE]
