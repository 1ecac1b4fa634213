"""What is decided about a person's data: legal hold, restriction, and what two people have asked for and approved."""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.observability.time import utc_now
from messenger.storage.administration import NotPossible
from messenger.storage.audit import append
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction
from messenger.storage.models.conversations import channel_identity, chat, contact, conversation
from messenger.storage.models.queues import inbox, outbox
from messenger.storage.models.rights import rights_request

RequestKind = Literal["export", "erase"]
HELD_AND_ASKED = "erasure_under_hold"
_FAR = sa.text("interval '100 years'")  # what waits for the end of a restriction


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A contact as the rights see it. Reasons are codes."""

    id: UUID
    address: str
    restricted_at: datetime | None
    restricted_reason: str | None
    held_at: datetime | None
    held_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    id: str
    kind: str
    address: str
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    used_at: datetime | None


_PERSON = sa.select(
    contact.c.id,
    channel_identity.c.value.label("address"),
    contact.c.restricted_at,
    contact.c.restricted_reason,
    contact.c.held_at,
    contact.c.held_reason,
).join_from(contact, channel_identity, channel_identity.c.contact_id == contact.c.id)
_REQUESTS = (
    sa.select(rights_request, channel_identity.c.value.label("address"))
    .join_from(rights_request, contact, contact.c.id == rights_request.c.contact_id)
    .join(channel_identity, channel_identity.c.contact_id == contact.c.id)
)


class Rights:
    def __init__(self, engine: AsyncEngine, keys: DataKeys) -> None:
        self._engine, self._keys = engine, keys

    async def person(self, address: str) -> Person:
        """Raises NotPossible."""
        query = _PERSON.where(channel_identity.c.kind == "mxid", channel_identity.c.value == address)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotPossible(f"nobody has the address {address}, or they were erased")
        return Person(**row._mapping)

    async def hold(self, person: UUID, reason: str, by: str) -> None:
        async with transaction(self._engine) as connection:
            await _set(connection, person, held_at=sa.func.coalesce(contact.c.held_at, utc_now()), held_reason=reason)
            await self._note(connection, by, "contact.hold", person, reason)

    async def release(self, person: UUID, reason: str, by: str) -> None:
        async with transaction(self._engine) as connection:
            await _set(connection, person, held_at=None, held_reason=None)
            await self._note(connection, by, "contact.release", person, reason)

    async def restrict(self, person: UUID, reason: str, by: str) -> None:
        """Conversations go out of sight and stand still, with all that was about to be sent."""
        at = sa.func.coalesce(contact.c.restricted_at, utc_now())
        async with transaction(self._engine) as connection:
            await _set(connection, person, restricted_at=at, restricted_reason=reason)
            await _lock(connection, person)
            mine = conversation.update().where(conversation.c.contact_id == person, conversation.c.blocked.is_(None))
            await connection.execute(mine.values(blocked="restricted"))
            waits = outbox.update().where(_of(person), outbox.c.state == "new")
            await connection.execute(waits.values(next_at=sa.func.now() + _FAR, code="restricted"))
            await self._note(connection, by, "contact.restrict", person, reason)

    async def unrestrict(self, person: UUID, reason: str, by: str) -> None:
        """What has waited is due at once."""
        async with transaction(self._engine) as connection:
            await _set(connection, person, restricted_at=None, restricted_reason=None)
            await _lock(connection, person)
            mine = conversation.update().where(
                conversation.c.contact_id == person, conversation.c.blocked == "restricted"
            )
            await connection.execute(mine.values(blocked=None))
            left = outbox.update().where(_of(person), outbox.c.state == "new", outbox.c.code == "restricted")
            await connection.execute(left.values(next_at=sa.func.now(), code=None))
            due = inbox.update().where(inbox.c.state == "new", inbox.c.next_at > sa.func.now())
            await connection.execute(due.values(next_at=sa.func.now()))
            await self._note(connection, by, "contact.unrestrict", person, reason)

    async def ask(self, kind: RequestKind, person: UUID, by: str, *, now: datetime, lasting: timedelta) -> str:
        """The number of the request. One that still can be approved is not made anew."""
        async with transaction(self._engine) as connection:
            open_one = await connection.scalar(
                sa.select(rights_request.c.id).where(*_still_good(kind, person, now), rights_request.c.asked_by == by)
            )
            if open_one is not None:
                return str(open_one)
            id = secrets.token_hex(4)
            await connection.execute(
                rights_request.insert().values(
                    id=id, kind=kind, contact_id=person, asked_by=by, asked_at=now, expires_at=now + lasting
                )
            )
            await self._note(connection, by, f"contact.{kind}.asked", person, id)
        return id

    async def approve(self, id: str, by: str, *, now: datetime, lasting: timedelta) -> Request:
        """Raises NotPossible. Nobody approves what they have asked for."""
        async with transaction(self._engine) as connection:
            row = (
                await connection.execute(sa.select(rights_request).where(rights_request.c.id == id).with_for_update())
            ).first()
            if row is None:
                raise NotPossible(f"there is no request {id}: stellwerk contact requests")
            if row.used_at is not None or row.approved_at is not None:
                raise NotPossible(f"request {id} is approved already")
            if row.expires_at <= now:
                raise NotPossible(f"request {id} has expired: it must be asked for again")
            if row.asked_by == by:
                raise NotPossible("somebody else must approve what you have asked for (four eyes)")
            approved = rights_request.update().where(rights_request.c.id == id)
            await connection.execute(approved.values(approved_by=by, approved_at=now, expires_at=now + lasting))
            await self._note(connection, by, f"contact.{row.kind}.approved", row.contact_id, id)
            return _request((await connection.execute(_REQUESTS.where(rights_request.c.id == id))).first())

    async def use(self, kind: RequestKind, person: UUID, by: str, *, now: datetime) -> Request | None:
        """Spends an approval that this person has asked for; None if there is none. It serves once."""
        approved = (*_still_good(kind, person, now), rights_request.c.approved_at.is_not(None))
        query = sa.select(rights_request.c.id).where(*approved, rights_request.c.asked_by == by)
        async with transaction(self._engine) as connection:
            id = await connection.scalar(query.limit(1).with_for_update())
            if id is None:
                return None
            used = rights_request.update().where(rights_request.c.id == id)
            await connection.execute(used.values(used_at=now))
            return _request((await connection.execute(_REQUESTS.where(rights_request.c.id == id))).first())

    async def approved(self, kind: RequestKind, person: UUID, by: str, *, now: datetime) -> Request | None:
        query = _REQUESTS.where(
            *_still_good(kind, person, now),
            rights_request.c.approved_at.is_not(None),
            rights_request.c.asked_by == by,
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query.limit(1))).first()
        return _request(row) if row else None

    async def requests(self, *, now: datetime) -> Sequence[Request]:
        """Those that can still be approved or used."""
        query = _REQUESTS.where(rights_request.c.used_at.is_(None), rights_request.c.expires_at > now)
        async with transaction(self._engine) as connection:
            return [_request(row) for row in await connection.execute(query.order_by(rights_request.c.asked_at))]

    async def everybody(self) -> AsyncIterator[UUID]:
        """All who are not erased; for a look by pseudonym."""
        query = sa.select(contact.c.id).where(contact.c.erased_at.is_(None))
        async with self._engine.connect() as connection:
            async for id in await connection.stream_scalars(query):
                yield id

    async def note(self, by: str, action: str, person: UUID, reason: str) -> None:
        """A row of the audit log by itself."""
        async with transaction(self._engine) as connection:
            await self._note(connection, by, action, person, reason)

    async def _note(self, connection: AsyncConnection, by: str, action: str, person: UUID, reason: str) -> None:
        """Last in its transaction."""
        entry = AuditEntry(
            actor=f"shell:{by}", action=action, object=f"contact:{person}", purpose="rights", reason=reason
        )
        await append(connection, self._keys, [entry], at=utc_now())


async def _set(connection: AsyncConnection, person: UUID, **values: Any) -> None:
    await connection.execute(contact.update().where(contact.c.id == person).values(**values))


async def _lock(connection: AsyncConnection, person: UUID) -> None:
    mine = sa.select(conversation.c.id).where(conversation.c.contact_id == person)
    await connection.execute(mine.order_by(conversation.c.id).with_for_update())


def _of(person: UUID) -> sa.ColumnElement[bool]:
    mine = sa.select(conversation.c.id).where(conversation.c.contact_id == person)
    lanes = sa.select(sa.literal("chat:") + sa.cast(chat.c.id, sa.Text)).where(chat.c.contact_id == person)
    return sa.or_(outbox.c.conversation_id.in_(mine), outbox.c.lane.in_(lanes))


def _still_good(kind: str, person: UUID, now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        rights_request.c.kind == kind,
        rights_request.c.contact_id == person,
        rights_request.c.used_at.is_(None),
        rights_request.c.expires_at > now,
    )


def _request(row: Any) -> Request:
    names = ("id", "kind", "address", "asked_by", "asked_at", "expires_at", "approved_by", "approved_at", "used_at")
    return Request(**{name: row._mapping[name] for name in names})
