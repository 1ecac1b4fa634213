"""Floods, as lists show them: numbers, codes, the server that one comes from. Never a text, a name or an address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.database import at_once
from messenger.storage.models.conversations import conversation
from messenger.storage.models.floods import flood
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodRow:
    """`scope`: what was too much of (`contact`, `server`, `account`, `group`); `server`: where it comes from, empty
    where that does not matter. `messages` of so many `people` are held, or were when somebody decided."""

    id: int
    since: datetime
    scope: str
    server: str
    group: str
    ref: str | None
    messages: int
    people: int
    verdict: str | None
    decided_by: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Floods that nobody has decided about, and the messages that wait for it."""

    floods: int
    messages: int


_IS_HELD = sa.and_(inbox.c.flood_id == flood.c.id, inbox.c.state == "held")
_IS_OPEN = flood.c.verdict.is_(None)


def _so_far(counted: sa.ColumnElement[int], decided: sa.Column[int]) -> sa.ColumnElement[int]:
    """As long as nobody has decided, what is held now."""
    now = sa.select(counted).where(_IS_HELD).scalar_subquery()
    return sa.case((_IS_OPEN, now), else_=decided)


_ROWS = (
    sa.select(
        flood.c.id,
        flood.c.since,
        flood.c.scope,
        flood.c.about.label("server"),
        skill_group.c.name.label("group"),
        conversation.c.number.label("ref"),
        _so_far(sa.func.count(), flood.c.messages).label("messages"),
        _so_far(sa.func.count(inbox.c.lane.distinct()), flood.c.people).label("people"),
        flood.c.verdict,
        flood.c.decided_by,
        flood.c.decided_at,
    )
    .select_from(flood)
    .join(skill_group, skill_group.c.id == flood.c.group_id)
    .outerjoin(conversation, conversation.c.id == flood.c.conversation_id)
)
_OPEN = sa.select(
    sa.select(sa.func.count()).select_from(flood).where(_IS_OPEN).scalar_subquery().label("floods"),
    sa.select(sa.func.count()).select_from(inbox).where(inbox.c.state == "held").scalar_subquery().label("messages"),
)


async def floods(engine: AsyncEngine, *, decided: bool = False, limit: int = 50) -> Sequence[FloodRow]:
    """The oldest first. With `decided` also those that somebody has decided about."""
    query = _ROWS if decided else _ROWS.where(_IS_OPEN)
    async with at_once(engine) as connection:
        found = await connection.execute(query.order_by(flood.c.id).limit(limit))
        return [FloodRow(**row._mapping) for row in found]


async def open_floods(engine: AsyncEngine) -> Held:
    async with at_once(engine) as connection:
        return Held(**(await connection.execute(_OPEN)).one()._mapping)
