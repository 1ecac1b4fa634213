"""The audit log as auditors read it: ids and codes. Words that people gave as reasons stay sealed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.models.audit import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """`has_words`: somebody gave a reason in words, which is sealed. `mac` in hexadecimal digits."""

    seq: int
    at: datetime
    actor: str
    action: str
    object: str
    purpose: str
    outcome: str
    reason: str
    details: Mapping[str, str]
    has_words: bool
    mac: str


async def rows(
    engine: AsyncEngine,
    *,
    actor: str = "",
    object: str = "",
    action: str = "",
    since: datetime | None = None,
    after: int = 0,
    most: int = 1_000,
    newest_first: bool = False,
) -> Sequence[AuditRow]:
    """`action` is also found as the beginning of one: `conversation` finds `conversation.history`."""
    query = sa.select(audit).where(audit.c.seq > after).limit(most)
    query = query.order_by(audit.c.seq.desc() if newest_first else audit.c.seq)
    if actor:
        query = query.where(audit.c.actor == actor)
    if object:
        query = query.where(audit.c.object == object)
    if action:
        query = query.where(sa.or_(audit.c.action == action, audit.c.action.startswith(f"{action}.", autoescape=True)))
    if since:
        query = query.where(audit.c.at >= since)
    async with engine.begin() as connection:
        return [_row(row) for row in await connection.execute(query)]


def _row(row: "sa.Row[tuple[object, ...]]") -> AuditRow:
    return AuditRow(
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        action=row.action,
        object=row.object,
        purpose=row.purpose,
        outcome=row.outcome,
        reason=row.reason,
        details=json.loads(row.details),
        has_words=row.enc_words is not None,
        mac=row.mac.hex(),
    )
