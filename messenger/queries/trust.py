"""Doubts about people's keys and verifications, as an operator sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.models.trust import trust_alert, verification

RECENT = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    person: str
    cause: str
    device: str
    key: str
    room: str
    state: str
    raised_at: datetime
    decided_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationRow:
    """`emoji` and `decimals` are numbers, as the specification counts them."""

    person: str
    state: str
    code: str
    emoji: str
    decimals: str
    identity: str
    began_at: datetime


async def alerts(engine: AsyncEngine, *, all: bool) -> Sequence[AlertRow]:
    """Those that are open, newest first; or `all` of them."""
    query = sa.select(trust_alert).order_by(trust_alert.c.id.desc())
    query = query if all else query.where(trust_alert.c.state == "open")
    async with engine.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [
        AlertRow(
            person=row.user_id,
            cause=row.cause,
            device=row.device_id,
            key=row.key,
            room=row.room_id,
            state=row.state,
            raised_at=row.raised_at,
            decided_by=row.decided_by,
        )
        for row in rows
    ]


async def verifications(engine: AsyncEngine, *, now: datetime) -> Sequence[VerificationRow]:
    """Of the last day, newest first."""
    query = sa.select(verification).where(verification.c.began_at > now - RECENT)
    async with engine.begin() as connection:
        rows = (await connection.execute(query.order_by(verification.c.began_at.desc()))).all()
    return [
        VerificationRow(
            person=row.user_id,
            state=row.state,
            code=row.code,
            emoji=row.emoji,
            decimals=row.decimals,
            identity=row.master,
            began_at=row.began_at,
        )
        for row in rows
    ]
