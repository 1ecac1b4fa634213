"""Verifications, and doubts about people's keys, as rows that a person can decide about."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.items import MessagesMissing, TrustDoubted, VerificationNews
from messenger.app.records import TrustAlert
from messenger.domain.ids import ChatId, ConversationId, GroupId
from messenger.domain.people import Agent, Role
from messenger.domain.trust import PAUSING, is_told_only
from messenger.storage.database import transaction
from messenger.storage.models.conversations import channel_identity, chat, conversation
from messenger.storage.models.people import group_member, staff
from messenger.storage.models.queues import megolm_seen
from messenger.storage.models.trust import announced_identity, trust_alert, verification
from messenger.storage.people import as_agent

_PAUSES = trust_alert.c.cause.in_(sorted(PAUSING))
_TOLD_AGAIN = timedelta(days=1)
# As text: with a parameter in its place a plan that is kept does not find the index any more.
_OPEN = sa.text("state = 'open'")


LASTS = timedelta(minutes=15)  # longer than any verification: the other app has given it up after ten


def _state(news: VerificationNews) -> str:
    if news.is_over:
        return "ended" if news.code else "done"
    return "compare" if news.emoji or news.decimals else "begun"


async def unended_verifications(engine: AsyncEngine, account: str) -> Sequence[tuple[str, str, str | None]]:
    """(id, user, room). What is too old for anybody to wait for it is ended here, quietly."""
    is_open = sa.and_(verification.c.account == account, verification.c.ended_at.is_(None))
    is_old = verification.c.began_at < sa.func.now() - LASTS
    ended = {"state": "ended", "code": "m.timeout", "ended_at": sa.func.now()}
    quietly = verification.update().where(is_open, is_old).values(ended)
    query = sa.select(verification.c.id, verification.c.user_id, verification.c.room_id).where(is_open)
    async with transaction(engine) as connection:
        await connection.execute(quietly)
        return [(row.id, row.user_id, row.room_id) for row in await connection.execute(query)]


class SqlTrust:
    """The `TrustPort`."""

    def __init__(self, connection: AsyncConnection, *, now: datetime) -> None:
        self._connection, self.now = connection, now

    async def note_verification(self, news: VerificationNews) -> None:
        """The news may come in any order: what is over stays so."""
        state = _state(news)
        changed: dict[str, Any] = {"state": state, "code": news.code[:80], "master": news.master}
        if news.is_over:
            changed["ended_at"] = self.now
        else:
            changed |= {"emoji": " ".join(map(str, news.emoji)), "decimals": " ".join(map(str, news.decimals))}
        row = {"account": news.account, "id": news.id, "user_id": news.user, "room_id": news.room, **changed}
        new = insert(verification).values(row)
        await self._connection.execute(
            new.on_conflict_do_update(
                index_elements=list(verification.primary_key), set_=changed, where=verification.c.ended_at.is_(None)
            )
        )

    async def raise_alert(self, doubt: TrustDoubted) -> bool:
        is_new = not is_told_only(doubt.cause) or not await self._is_told(doubt)
        return await self._insert(doubt) and is_new

    async def _is_told(self, doubt: TrustDoubted) -> bool:
        """Has something of this kind been told about this room lately, and nobody has said that they know? Whoever can
        make up names must not make a word of each."""
        here = trust_alert.c.account == doubt.account, trust_alert.c.room_id == doubt.room
        known = sa.select(sa.literal(1)).where(*here, trust_alert.c.cause == doubt.cause, trust_alert.c.state == "open")
        recent = known.where(trust_alert.c.raised_at > sa.func.now() - _TOLD_AGAIN).limit(1)
        return (await self._connection.scalar(recent)) is not None

    async def _insert(self, doubt: TrustDoubted) -> bool:
        row = {"account": doubt.account, "room_id": doubt.room, "user_id": doubt.user, "device_id": doubt.device}
        new = insert(trust_alert).values(row | {"cause": doubt.cause, "key": doubt.key})
        if is_told_only(doubt.cause):  # a day later it is news again
            columns = ["account", "room_id", "user_id", "device_id", "cause", "key"]
            new = new.on_conflict_do_update(
                index_elements=columns,
                index_where=_OPEN,
                set_={"raised_at": sa.func.now()},
                where=trust_alert.c.raised_at <= sa.func.now() - _TOLD_AGAIN,
            )
        else:
            new = new.on_conflict_do_nothing()
        return (await self._connection.execute(new.returning(trust_alert.c.id))).first() is not None

    async def alerts_of(self, person: str) -> Sequence[TrustAlert]:
        matters = trust_alert.c.state.in_(("open", "removed"))
        return await self._alerts(trust_alert.c.user_id == person, matters)

    async def leads(self, groups: Sequence[GroupId]) -> Sequence[Agent]:
        query = (
            sa.select(staff)
            .join(group_member, group_member.c.staff_id == staff.c.id)
            .where(group_member.c.group_id.in_(groups), group_member.c.role == Role.LEAD.value)
            .distinct()
            .order_by(staff.c.address)
        )
        return [as_agent(row) for row in await self._connection.execute(query)]

    async def alerts_in(self, account: str, room: str, *, cause: str = "") -> Sequence[TrustAlert]:
        here = trust_alert.c.account == account, trust_alert.c.room_id == room
        which = trust_alert.c.cause == cause if cause else _PAUSES
        return await self._alerts(*here, trust_alert.c.state == "open", which)

    async def count_seen(self, missing: MessagesMissing) -> int:
        query = sa.select(sa.func.count()).where(
            megolm_seen.c.account == missing.account,
            megolm_seen.c.room_id == missing.room,
            megolm_seen.c.sender_key == missing.sender_key,
            megolm_seen.c.session_id == missing.session,
            megolm_seen.c.idx.between(missing.first, missing.last),
        )
        return int(await self._connection.scalar(query) or 0)

    async def _alerts(self, *which: sa.ColumnElement[bool]) -> Sequence[TrustAlert]:
        query = sa.select(trust_alert).where(*which).order_by(trust_alert.c.id).with_for_update()
        return [
            TrustAlert(
                id=row.id,
                account=row.account,
                room=row.room_id,
                person=row.user_id,
                device=row.device_id,
                cause=row.cause,
                key=row.key,
                state=row.state,
            )
            for row in await self._connection.execute(query)
        ]

    async def decide(self, alerts: Sequence[int], *, state: str, by: str) -> None:
        decided = {"state": state, "decided_by": by, "decided_at": self.now}
        await self._connection.execute(trust_alert.update().where(trust_alert.c.id.in_(alerts)).values(decided))

    async def announce(self, account: str, master: str) -> bool:
        known = sa.select(announced_identity.c.master).where(announced_identity.c.account == account)
        before = await self._connection.scalar(known.with_for_update())
        new = insert(announced_identity).values(account=account, master=master, since=self.now)
        changed = {"master": new.excluded.master, "since": new.excluded.since}
        await self._connection.execute(
            new.on_conflict_do_update(
                index_elements=[announced_identity.c.account],
                set_=changed,
                where=announced_identity.c.master != new.excluded.master,
            )
        )
        return before is not None and before != master

    async def open_chats(self) -> Sequence[tuple[ConversationId, ChatId]]:
        query = (
            sa.select(conversation.c.id, conversation.c.chat_id)
            .join(chat, chat.c.id == conversation.c.chat_id)
            .where(conversation.c.state.not_in(("resolved", "closed")), conversation.c.card_event.is_not(None))
            .where(chat.c.remote.like("!%"))
            .order_by(conversation.c.id)
        )
        return [(ConversationId(row.id), ChatId(row.chat_id)) for row in await self._connection.execute(query)]

    async def doubted_rooms(self, account: str) -> Sequence[str]:
        query = sa.select(trust_alert.c.room_id).distinct()
        open_ = trust_alert.c.account == account, trust_alert.c.state == "open"
        return (await self._connection.scalars(query.where(*open_, _PAUSES))).all()

    async def chat_with(self, account: str, address: str, *, room: str | None) -> tuple[str, str] | None:
        query = (
            sa.select(chat.c.remote, chat.c.language)
            .join(channel_identity, channel_identity.c.id == chat.c.identity_id)
            .where(chat.c.account == account, channel_identity.c.value == address)
            .order_by(chat.c.conversation_id.is_(None), chat.c.remote.like("expected:%"))
        )
        query = query.where(chat.c.remote == room) if room else query
        row = (await self._connection.execute(query.limit(1))).first()
        return (row.remote, row.language) if row and row.remote.startswith("!") else None
