"""Conversations as lists show them. No bodies, no names of customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.models.conversations import conversation, event_log, message
from messenger.storage.models.people import skill_group, staff


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """`paused_until` and `wake_on`: what ends a pause that lasts now. `resolution`: the code of why it ended."""

    ref: str
    state: str
    group: str | None
    owner: str | None
    language: str
    opened_at: datetime
    waiting_since: datetime | None
    paused_until: datetime | None
    wake_on: tuple[str, ...]
    resolved_at: datetime | None
    resolution: str | None

    @property
    def wakes(self) -> str:
        """In one line, the time first: it is what comes by itself."""
        causes = [cause for cause in self.wake_on if cause != "time"]
        return ", ".join([_minute(self.paused_until), *causes] if self.paused_until else causes)

    @property
    def resolved(self) -> str:
        return f"{_minute(self.resolved_at)}, {self.resolution}" if self.resolved_at else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    at: datetime
    what: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationDetails(ConversationRow):
    id: UUID
    messages: int
    history: tuple[Happened, ...]
    blocked: str | None  # restricted or erased: nobody works on it


_COLUMNS = (
    conversation.c.id,
    conversation.c.number,
    conversation.c.state,
    conversation.c.language,
    conversation.c.opened_at,
    conversation.c.waiting_since,
    conversation.c.pause_until,
    conversation.c.wake_on,
    conversation.c.resolved_at,
    conversation.c.resolution,
    conversation.c.blocked,
    skill_group.c.name.label("group_name"),
    staff.c.name.label("owner_name"),
)
_ROWS = (
    sa.select(*_COLUMNS)
    .outerjoin_from(conversation, skill_group, skill_group.c.id == conversation.c.group_id)
    .outerjoin(staff, staff.c.id == conversation.c.owner_id)
)


def _fields(row: Any) -> dict[str, Any]:
    return {
        "ref": row.number,
        "state": row.state,
        "group": row.group_name,
        "owner": row.owner_name,
        "language": row.language,
        "opened_at": row.opened_at,
        "waiting_since": row.waiting_since,
        "paused_until": row.pause_until,
        "wake_on": tuple(row.wake_on or ()),
        "resolved_at": row.resolved_at,
        "resolution": row.resolution,
    }


def _minute(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


async def conversations(
    engine: AsyncEngine, *, state: str | None, group: str | None, limit: int
) -> Sequence[ConversationRow]:
    """The longest waiting first. What nobody may work on is left out."""
    shown = _ROWS.where(conversation.c.blocked.is_(None))
    query = shown.order_by(conversation.c.waiting_since.asc().nulls_last(), conversation.c.opened_at).limit(limit)
    if state:
        query = query.where(conversation.c.state == state)
    if group:
        query = query.where(sa.func.lower(skill_group.c.name) == group.lower())
    async with engine.begin() as connection:
        return [ConversationRow(**_fields(row)) for row in await connection.execute(query)]


async def conversation_details(engine: AsyncEngine, ref: str) -> ConversationDetails | None:
    async with engine.begin() as connection:
        row = (await connection.execute(_ROWS.where(conversation.c.number == ref.upper()))).first()
        if row is None:
            return None
        log = await connection.execute(
            sa.select(event_log).where(event_log.c.conversation_id == row.id).order_by(event_log.c.version)
        )
        names = {
            str(person.id): person.name for person in await connection.execute(sa.select(staff.c.id, staff.c.name))
        }
        history = tuple(Happened(at=entry.at, what=entry.type, who=_who(entry.actor, names)) for entry in log)
        count = await connection.scalar(sa.select(sa.func.count()).where(message.c.conversation_id == row.id))
    return ConversationDetails(id=row.id, messages=count or 0, history=history, blocked=row.blocked, **_fields(row))


def _who(actor: str, names: dict[str, str]) -> str:
    kind, _, id = actor.partition(":")
    return names.get(id, kind) if kind == "agent" else kind
