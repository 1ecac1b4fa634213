"""What an administrator can do and see, for the command line."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from messenger.app import sas_emoji, why
from messenger.app.audit import audit as note
from messenger.app.effects.trust import TrustPerson
from messenger.app.flood_ports import Verdict
from messenger.app.floods import decide_flood
from messenger.app.render import Clock
from messenger.app.trust import PURPOSE, decide_alerts, open_for
from messenger.bootstrap.acting import shell_actor
from messenger.bootstrap.database import Storage, open_storage
from messenger.config import Settings
from messenger.domain.access import Action, HouseRole
from messenger.domain.routing.availability import Availability
from messenger.i18n import texts
from messenger.observability.time import utc_now
from messenger.queries import audit, contacts, desk_rooms, people
from messenger.queries import conversations as cases
from messenger.queries import dead_letters as letters
from messenger.queries import floods as flood_rows
from messenger.queries import trust as trust_rows
from messenger.storage.administration import Administration
from messenger.storage.administration_changes import NotPossible
from messenger.storage.audit import renew_key
from messenger.storage.dead_letters import DeadLetters, Retried
from messenger.storage.unit_of_work import SqlUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """How a conversation came to where it is: in words, as codes with their fields, and the router's newest decision
    with its numbers."""

    ref: str
    text: str
    steps: Sequence[Mapping[str, str]]
    decision: Mapping[str, Any] | None
    decided_at: datetime | None


class Admin:
    """`actor`: as the audit log has whoever acts."""

    def __init__(self, storage: Storage, settings: Settings, *, actor: str) -> None:
        self._actor = actor
        self._engine, self._keys = storage.engine, storage.keys
        self._settings = settings
        self._units = SqlUnits(storage.engine, storage.keys, namespace=storage.namespace, desk=settings.desk().user_id)
        self._change = Administration(
            storage.engine,
            storage.keys,
            namespace=storage.namespace,
            desk=settings.desk().user_id,
            actor=self._actor,
        )

    async def groups(self) -> Sequence[people.GroupRow]:
        return await people.groups(self._engine)

    async def add_group(
        self,
        name: str,
        *,
        default: bool = False,
        languages: Sequence[str] = (),
        keywords: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        """`settings`: those of `domain.group_settings`, as values or in their stored form."""
        house = {"language": self._settings.i18n.default, "time_zone": self._settings.server.time_zone}
        await self._change.add_group(
            name, is_default=default, languages=languages, keywords=keywords, settings={**house, **settings}
        )

    async def group(self, name: str) -> people.GroupDetails | None:
        return await people.group_details(self._engine, name)

    async def change_group(self, name: str, **settings: Any) -> None:
        await self._change.change_settings(name, settings)

    async def add_rule(
        self,
        group: str,
        *,
        languages: Sequence[str] = (),
        keywords: Sequence[str] = (),
        accounts: Sequence[str] = (),
    ) -> None:
        await self._change.add_rule(group, languages=languages, keywords=keywords, accounts=accounts)

    async def members(self, group: str) -> Sequence[people.MemberRow]:
        return await people.members(self._engine, group)

    async def add_member(self, group: str, address: str, role: str = "agent") -> bool:
        """Was the person known before?"""
        return await self._change.add_member(group, address, role)

    async def remove_member(self, group: str, address: str) -> None:
        await self._change.remove_member(group, address)

    async def agents(self) -> Sequence[people.AgentRow]:
        return await people.agents(self._engine)

    async def add_agent(self, address: str, name: str, language: str = "en") -> None:
        await self._change.add_agent(address, name, language)

    async def roles(self, address: str) -> people.RolesRow:
        return await people.roles(self._engine, address)

    async def grant_role(self, address: str, role: HouseRole) -> None:
        await self._change.grant_role(address, role)

    async def take_role(self, address: str, role: HouseRole) -> None:
        await self._change.take_role(address, role)

    async def disable(self, address: str) -> None:
        await self._change.disable(address)

    async def set_skill(self, address: str, skill: str, level: int, *, valid_to: datetime | None = None) -> None:
        await self._change.set_skill(address, skill, level, valid_to=valid_to)

    async def set_capacity(self, address: str, units: float) -> None:
        await self._change.set_capacity(address, units)

    async def status(self, address: str) -> people.StatusRow:
        return await people.status(self._engine, address)

    async def set_status(self, address: str, availability: Availability, reason: str = "") -> None:
        await self._change.set_status(address, availability, reason)

    async def contact(self, address: str) -> contacts.ContactDetails | None:
        found = await contacts.contact_details(self._engine, address)
        if found is not None:
            await self._note_read("contact.see", f"contact:{found.id}", "contact.show")
        return found

    async def contacts(self, *, restricted: bool = False, limit: int = 50) -> Sequence[contacts.ContactRow]:
        await self._note_read("contact.see", "contacts", "contact.list")
        return await contacts.contacts(self._engine, restricted=restricted, limit=limit)

    async def set_consent(self, address: str, source: str, *, is_given: bool) -> None:
        await self._change.set_consent(address, source, is_given=is_given)

    async def conversations(
        self, *, state: str | None = None, group: str | None = None, limit: int = 50
    ) -> Sequence[cases.ConversationRow]:
        return await cases.conversations(self._engine, state=state, group=group, limit=limit)

    async def conversation(self, ref: str) -> cases.ConversationDetails | None:
        found = await cases.conversation_details(self._engine, ref)
        if found is not None:
            await self._note_read(Action.SEE.value, f"conversation:{found.id}", "conversation.show")
        return found

    async def why(self, ref: str) -> Why | None:
        """In the house's language."""
        async with self._units.look() as unit:
            id = await unit.conversations.of_number(ref)
            if id is None:
                return None
            case = await unit.conversations.case(id)
            lines = await why.why(unit, case.conversation)
            decision = await unit.routing.latest(id)
        await self._note_read(Action.SEE.value, f"conversation:{id}", "conversation.why")
        words = texts(self._settings.i18n.default)
        clock = Clock(tz=ZoneInfo(case.group.time_zone))
        return Why(
            ref=case.conversation.number,
            text=why.explained(words, why.told(lines), clock).plain,
            steps=[{"what": what, **fields} for what, fields in lines],
            decision=decision.explanation if decision else None,
            decided_at=decision.at if decision else None,
        )

    async def _note_read(self, action: str, object: str, verb: str) -> None:
        """Committed before anything is shown."""
        async with self._units() as unit:
            note(unit, actor=self._actor, action=action, object=object, purpose="administration", command=verb)

    async def trust(self, *, all: bool) -> tuple[Sequence[trust_rows.AlertRow], Sequence[trust_rows.VerificationRow]]:
        alerts = await trust_rows.alerts(self._engine, all=all)
        found = await trust_rows.verifications(self._engine, now=utc_now())
        english = texts("en")
        return alerts, [replace(each, emoji=sas_emoji.shown(english, each.emoji)) for each in found]

    async def decide_trust(self, address: str, *, trusted: bool) -> int:
        """In how many rooms something was decided. Raises NotPossible where there is nothing to remove."""
        async with self._units() as unit:
            alerts = open_for(await unit.trust.alerts_of(address), trusted=trusted)
            if not alerts and not trusted:
                raise NotPossible(f"nothing is doubted about {address}: stellwerk trust list")
            effects = await decide_alerts(unit, alerts, by=self._actor, trusted=trusted)
            if not alerts:
                note(unit, actor=self._actor, action="trust.vouch", object="person", purpose=PURPOSE)
            await unit.outbox.put(f"trust:{uuid4()}", effects or [TrustPerson(person=address)])
        return len(alerts)

    async def audit_rows(self, **which: Any) -> Sequence[audit.AuditRow]:
        """`which` as `queries.audit.rows` takes it."""
        return await audit.rows(self._engine, **which)

    async def dead_letters(self, *, decided: bool = False, limit: int = 50) -> Sequence[letters.DeadLetterRow]:
        return await letters.dead_letters(self._engine, decided=decided, limit=limit)

    async def dead_letter(self, id: int) -> letters.DeadLetterRow | None:
        return await letters.one_dead_letter(self._engine, id)

    async def undecided_dead_letters(self) -> int:
        return await letters.undecided_dead_letters(self._engine)

    async def retry_dead_letter(self, id: int) -> Retried:
        return await DeadLetters(self._engine, self._keys).retry(id, by=self._actor, at=utc_now())

    async def drop_dead_letter(self, id: int, reason: str) -> None:
        await DeadLetters(self._engine, self._keys).drop(id, reason, by=self._actor, at=utc_now())

    async def floods(self, *, decided: bool = False, limit: int = 50) -> Sequence[flood_rows.FloodRow]:
        return await flood_rows.floods(self._engine, decided=decided, limit=limit)

    async def open_floods(self) -> flood_rows.Held:
        return await flood_rows.open_floods(self._engine)

    async def decide_flood(self, id: int, verdict: Verdict, reason: str = "") -> int:
        """How many messages were held. Raises NotPossible."""
        async with self._units() as unit:
            found = await unit.floods.get(id)
            if found is None:
                raise NotPossible(f"there is no flood {id}: stellwerk flood list shows them")
            effects = await decide_flood(unit, found, verdict, by=self._actor, reason=reason)
            if effects is None:
                raise NotPossible(f"about flood {id} is decided already: stellwerk flood list --all says what")
            await unit.outbox.put(f"flood:{id}:{verdict}", effects)
        return found.messages

    async def groups_without_desk(self) -> Sequence[str]:
        """Groups whose room the desk is not in."""
        return await desk_rooms.groups_without_desk(self._engine)

    async def unfollowed_rooms(self) -> Sequence[str]:
        """Codes of what is missing in rooms that take the place of others."""
        return await desk_rooms.unfollowed_rooms(self._engine)

    async def renew_audit_key(self) -> int:
        return await renew_key(self._engine, self._keys, actor=self._actor, at=utc_now())


@asynccontextmanager
async def open_admin(settings: Settings, *, actor: str | None = None) -> AsyncIterator[Admin]:
    """`actor`: None is the operator of the machine."""
    async with open_storage(settings) as storage:
        yield Admin(storage, settings, actor=actor or shell_actor())
