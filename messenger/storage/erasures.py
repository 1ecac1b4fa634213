"""Erasures on their way, and their targets, as rows. `SqlErasureRows` implements `ErasureRows`; what is removed of a
person stands in `erased_rows`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.app.effects.thread import PostNotice
from messenger.app.erasure_ports import Counted, Ended, Erasure, NotNow, Scope, Target, TargetKind
from messenger.observability.time import utc_now
from messenger.storage import erased_rows
from messenger.storage.audit import append
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import at_once, first, transaction
from messenger.storage.erasure_plan import planned
from messenger.storage.models.conversations import conversation
from messenger.storage.models.people import staff
from messenger.storage.models.rights import erasure, erasure_target
from messenger.storage.outbox import SqlOutbox
from messenger.storage.statements import Statement

_OPEN = erasure.c.done_at.is_(None)
_ROOMS = sa.select(erasure_target.c.room_id).where(erasure_target.c.kind == "room").distinct()
_NEXT = Statement(
    sa.select(erasure)
    .where(_OPEN, erasure.c.next_at <= sa.func.now())
    .order_by(erasure.c.scope != "person", erasure.c.next_at)
    .limit(1)
)
LONGEST_PAUSE_S = 300.0


async def order(
    engine: AsyncEngine,
    *,
    scope: Scope,
    ordered_by: str,
    subject: str | None = None,
    contact: UUID | None = None,
    conversation: UUID | None = None,
    approved_by: str | None = None,
    ledger_position: int | None = None,
) -> UUID:
    """Once for each person, and for each conversation and scope: a repeat returns the first one."""
    async with transaction(engine) as connection:
        new = insert(erasure).values(
            id=uuid4(),
            scope=scope,
            subject=subject,
            contact_id=contact,
            conversation_id=conversation,
            ordered_by=ordered_by,
            approved_by=approved_by,
            step="block" if conversation is None else "plan",
            ledger_position=ledger_position,
            begun_at=utc_now(),
        )
        await connection.execute(new.on_conflict_do_nothing())
        which = erasure.c.subject == subject if conversation is None else erasure.c.conversation_id == conversation
        id = await connection.scalar(sa.select(erasure.c.id).where(which, erasure.c.scope == scope))
    return UUID(str(id))


async def get(engine: AsyncEngine, id: UUID) -> Erasure:
    async with transaction(engine) as connection:
        return _erasure((await connection.execute(sa.select(erasure).where(erasure.c.id == id))).one())


async def next_due(engine: AsyncEngine) -> Erasure | None:
    """People first: they wait for it."""
    async with at_once(engine) as connection:
        row = await first(connection, _NEXT, {})
    return _erasure(row) if row else None


async def postpone(engine: AsyncEngine, which: Erasure, code: str, seconds: float) -> None:
    pause = timedelta(seconds=min(max(seconds, 0.2), LONGEST_PAUSE_S))
    values = {"next_at": sa.func.now() + pause, "failures": erasure.c.failures + 1, "code": code}
    async with transaction(engine) as connection:
        await connection.execute(erasure.update().where(erasure.c.id == which.id).values(**values))


async def ledger_positions(engine: AsyncEngine) -> Mapping[str, int]:
    """Of what this database has taken in: subject -> position. An erasure counts from the moment on when the person's
    rows are gone."""
    is_applied = sa.or_(~_OPEN, erasure.c.step.not_in(("block", "plan", "ledger", "key", "rows")))
    query = sa.select(erasure.c.subject, erasure.c.ledger_position).where(
        is_applied, erasure.c.subject.is_not(None), erasure.c.ledger_position.is_not(None)
    )
    async with transaction(engine) as connection:
        return {row.subject: row.ledger_position for row in await connection.execute(query)}


def _erasure(row: Any) -> Erasure:
    return Erasure(
        id=row.id,
        scope=row.scope,
        subject=row.subject,
        contact=row.contact_id,
        conversation=row.conversation_id,
        ordered_by=row.ordered_by,
        approved_by=row.approved_by,
        step=row.step,
        ledger_position=row.ledger_position,
        begun_at=row.begun_at,
        failures=row.failures,
    )


class SqlErasureQueue:
    """The `ErasureQueue` of one process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def next_due(self) -> Erasure | None:
        return await next_due(self._engine)

    async def postpone(self, which: Erasure, code: str, seconds: float) -> None:
        await postpone(self._engine, which, code, seconds)


class SqlErasureRows:
    def __init__(self, engine: AsyncEngine, keys: DataKeys, *, namespace: UUID, desk: str) -> None:
        self._engine, self._keys, self._namespace, self._desk = engine, keys, namespace, desk

    async def block(self, which: Erasure) -> None:
        if which.contact is None:
            return
        async with transaction(self._engine) as connection:
            is_sending = await erased_rows.block(connection, which.contact)
        if is_sending:
            raise NotNow("sending", seconds=0.5)

    async def plan(self, which: Erasure) -> None:
        async with transaction(self._engine) as connection:
            await _add(connection, which, await planned(connection, self._keys, which))

    async def note_ledger(self, which: Erasure, position: int) -> None:
        async with transaction(self._engine) as connection:
            noted = erasure.update().where(erasure.c.id == which.id)
            await connection.execute(noted.values(ledger_position=position))

    async def remove_rows(self, which: Erasure) -> None:
        async with transaction(self._engine) as connection:
            if which.conversation is not None:
                await erased_rows.remove_conversation(connection, self._keys, which.conversation, which.scope)
            elif which.contact is not None:
                await erased_rows.remove_person(connection, self._keys, which.contact)

    async def sweep(self, which: Erasure) -> None:
        async with transaction(self._engine) as connection:
            rooms = await self._rooms(connection, which)
            await erased_rows.sweep(connection, rooms, await _people(connection, which))
            if which.contact is not None:
                await self._say_erased(connection, which.contact)
            gone = erasure_target.delete().where(erasure_target.c.erasure_id == which.id)
            await connection.execute(gone.where(erasure_target.c.kind.in_(("person", "leave"))))

    async def _say_erased(self, connection: AsyncConnection, contact: UUID) -> None:
        """Where a card was, so that its thread is no riddle."""
        query = sa.select(conversation.c.id).where(
            conversation.c.contact_id == contact, conversation.c.card_event.is_not(None)
        )
        outbox = SqlOutbox(connection, self._keys, desk=self._desk, namespace=self._namespace)
        for id in await connection.scalars(query):
            await outbox.put(f"erased:{id}", [PostNotice(conversation=id, text="rights.erased")])

    async def add_targets(self, which: Erasure, targets: Sequence[Target]) -> None:
        async with transaction(self._engine) as connection:
            await _add(connection, which, targets)

    async def open_targets(self, which: Erasure, kinds: Sequence[TargetKind], *, most: int) -> Sequence[Target]:
        query = sa.select(erasure_target).where(
            erasure_target.c.erasure_id == which.id, erasure_target.c.kind.in_(kinds), erasure_target.c.state == "open"
        )
        async with transaction(self._engine) as connection:
            return [_target(row) for row in await connection.execute(query.order_by(erasure_target.c.id).limit(most))]

    async def end_targets(self, which: Erasure, ended: Sequence[Ended]) -> None:
        if not ended:
            return
        one = erasure_target.update().where(erasure_target.c.id == sa.bindparam("target"))
        rows = [{"target": each.target.id, "fate": each.fate, "why": each.code or None} for each in ended]
        async with transaction(self._engine) as connection:
            await connection.execute(one.values(state=sa.bindparam("fate"), code=sa.bindparam("why")), rows)

    async def rooms_of(self, which: Erasure) -> Sequence[str]:
        async with transaction(self._engine) as connection:
            return await self._rooms(connection, which)

    async def _rooms(self, connection: AsyncConnection, which: Erasure) -> Sequence[str]:
        found = await connection.scalars(_ROOMS.where(erasure_target.c.erasure_id == which.id))
        return list(found)

    async def person_of(self, which: Erasure) -> Sequence[str]:
        async with transaction(self._engine) as connection:
            return await _people(connection, which)

    async def counts(self, which: Erasure) -> Sequence[Counted]:
        columns = (erasure_target.c.kind, erasure_target.c.place, erasure_target.c.state, erasure_target.c.code)
        query = sa.select(*columns, sa.func.count().label("count")).where(erasure_target.c.erasure_id == which.id)
        async with transaction(self._engine) as connection:
            rows = await connection.execute(query.group_by(*columns).order_by(*columns))
        return [
            Counted(kind=row.kind, place=row.place, fate=row.state, code=row.code or "", count=row._mapping["count"])
            for row in rows
        ]

    async def advance(self, which: Erasure, step: str) -> None:
        await self._note(which, step=step, failures=0, code=None, next_at=sa.func.now())

    async def finish(self, which: Erasure, certificate: Mapping[str, Any] | None) -> None:
        """With it the ids that were to be removed go too."""
        async with transaction(self._engine) as connection:
            await connection.execute(erasure_target.delete().where(erasure_target.c.erasure_id == which.id))
            done = erasure.update().where(erasure.c.id == which.id)
            await connection.execute(done.values(done_at=utc_now(), certificate=certificate, code=None))
            await append(connection, self._keys, [_audited(which)], at=utc_now())

    async def _note(self, which: Erasure, **values: Any) -> None:
        async with transaction(self._engine) as connection:
            await connection.execute(erasure.update().where(erasure.c.id == which.id).values(**values))


def _audited(which: Erasure) -> AuditEntry:
    """The person by pseudonym, as in the ledger; a conversation by its id."""
    about = f"conversation:{which.conversation}" if which.conversation else f"erased:{which.subject}"
    return AuditEntry(
        actor="system",
        action=f"erasure.{which.scope}",
        object=about,
        purpose="rights" if which.scope == "person" else "retention",
        details={"erasure": str(which.id), "ledger": str(which.ledger_position or "")},
    )


async def _add(connection: AsyncConnection, which: Erasure, targets: Sequence[Target]) -> None:
    if not targets:
        return
    rows = [
        {
            "erasure_id": which.id,
            "kind": each.kind,
            "place": each.place,
            "room_id": each.room,
            "subject": each.subject,
        }
        for each in targets
    ]
    await connection.execute(insert(erasure_target).on_conflict_do_nothing(), rows)


async def _people(connection: AsyncConnection, which: Erasure) -> Sequence[str]:
    """A member of staff who was a customer, too, stays known as a member of staff."""
    query = sa.select(erasure_target.c.subject).where(
        erasure_target.c.erasure_id == which.id,
        erasure_target.c.kind == "person",
        ~sa.exists().where(staff.c.address == erasure_target.c.subject),
    )
    return list(await connection.scalars(query))


def _target(row: Any) -> Target:
    return Target(kind=row.kind, place=row.place, room=row.room_id, subject=row.subject, id=row.id)


async def when_done(engine: AsyncEngine, id: UUID) -> tuple[datetime | None, str, str | None, Any]:
    """When it was done, its next step, what it waits for, and its certificate."""
    query = sa.select(erasure.c.done_at, erasure.c.step, erasure.c.code, erasure.c.certificate)
    async with transaction(engine) as connection:
        row = (await connection.execute(query.where(erasure.c.id == id))).one()
    return row.done_at, row.step, row.code, row.certificate
