"""Verifications, as rows that the command line can show."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.items import VerificationNews
from messenger.storage.models.conversations import channel_identity, chat
from messenger.storage.models.trust import verification


class SqlTrust:
    """The `TrustPort`."""

    def __init__(self, connection: AsyncConnection, *, now: datetime) -> None:
        self._connection, self._now = connection, now

    async def note_verification(self, news: VerificationNews) -> None:
        state = "compare" if not news.is_over else "ended" if news.code else "done"
        changed: dict[str, Any] = {"state": state, "code": news.code[:80], "master": news.master}
        if news.is_over:
            changed["ended_at"] = self._now
        else:
            changed |= {"emoji": " ".join(map(str, news.emoji)), "decimals": " ".join(map(str, news.decimals))}
        row = {"account": news.account, "id": news.id, "user_id": news.user, "room_id": news.room, **changed}
        new = insert(verification).values(row)
        await self._connection.execute(
            new.on_conflict_do_update(index_elements=list(verification.primary_key), set_=changed)
        )

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
