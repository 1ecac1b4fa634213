"""What was given up, as lists show it: numbers, kinds and codes. Never a text, a name or an address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.database import at_once
from messenger.storage.models.conversations import chat, conversation
from messenger.storage.models.queues import dead_letter, inbox, outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """`queue`: inbox, outbox, or sync (an event that could not be read when it came). `kind`: what it was to do, or
    what it held. `waiting`: so many rows wait behind it, because it keeps its lane. `verdict` and what follows: a
    person's decision."""

    id: int
    at: datetime
    queue: str
    kind: str | None
    reason: str
    ref: str | None
    decision: str
    waiting: int
    attempts: int | None
    verdict: str | None
    decided_by: str | None
    decided_at: datetime | None


_OUT, _IN = outbox.alias("out"), inbox.alias("in_")
_IS_OUT = sa.and_(dead_letter.c.queue == "outbox", _OUT.c.id == dead_letter.c.row_id)
_IS_IN = sa.and_(dead_letter.c.queue == "inbox", _IN.c.id == dead_letter.c.row_id)
_BEHIND = outbox.alias("behind")
_WAITING = (
    sa.select(sa.func.count())
    .where(
        _BEHIND.c.lane == _OUT.c.lane,
        _BEHIND.c.id > _OUT.c.id,
        _BEHIND.c.state.in_(("new", "claimed")),
        _OUT.c.state == "unknown",
        dead_letter.c.verdict.is_(None),
    )
    .scalar_subquery()
)
_ROWS = (
    sa.select(
        dead_letter.c.id,
        dead_letter.c.at,
        sa.func.split_part(dead_letter.c.queue, ":", 1).label("queue"),
        sa.func.coalesce(_OUT.c.kind, _IN.c.kind).label("kind"),
        dead_letter.c.reason,
        conversation.c.number.label("ref"),
        dead_letter.c.decision,
        _WAITING.label("waiting"),
        sa.func.coalesce(_OUT.c.attempts, _IN.c.attempts).label("attempts"),
        dead_letter.c.verdict,
        dead_letter.c.decided_by,
        dead_letter.c.decided_at,
    )
    .select_from(dead_letter)
    .outerjoin(_OUT, _IS_OUT)
    .outerjoin(_IN, _IS_IN)
    .outerjoin(chat, sa.and_(chat.c.account == _IN.c.source, chat.c.remote == _IN.c.lane))
    .outerjoin(conversation, conversation.c.id == sa.func.coalesce(_OUT.c.conversation_id, chat.c.conversation_id))
)


async def dead_letters(engine: AsyncEngine, *, decided: bool = False, limit: int = 50) -> Sequence[DeadLetterRow]:
    """The oldest first: what others wait for longest. With `decided` also those that somebody has decided about."""
    query = _ROWS if decided else _ROWS.where(dead_letter.c.verdict.is_(None))
    async with at_once(engine) as connection:
        found = await connection.execute(query.order_by(dead_letter.c.id).limit(limit))
        return [DeadLetterRow(**row._mapping) for row in found]


async def one_dead_letter(engine: AsyncEngine, id: int) -> DeadLetterRow | None:
    async with at_once(engine) as connection:
        row = (await connection.execute(_ROWS.where(dead_letter.c.id == id))).first()
    return DeadLetterRow(**row._mapping) if row else None


async def undecided_dead_letters(engine: AsyncEngine) -> int:
    query = sa.select(sa.func.count()).select_from(dead_letter).where(dead_letter.c.verdict.is_(None))
    async with at_once(engine) as connection:
        return int(await connection.scalar(query) or 0)
