"""Who has reacted to which message, and with what."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Reaction
from messenger.domain.ids import MessageId
from messenger.storage.models.conversations import reaction


class SqlReactions:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Reaction) -> None:
        await self._connection.execute(insert(reaction).values(_row(new)).on_conflict_do_nothing())

    async def remove(self, account: str, event: str) -> MessageId | None:
        gone = reaction.delete().where(reaction.c.account == account, reaction.c.event == event)
        found = await self._connection.scalar(gone.returning(reaction.c.message_id))
        return MessageId(found) if found else None

    async def replace(self, account: str, message: MessageId, sender: str, now: Mapping[str, str]) -> None:
        of_person = sa.and_(
            reaction.c.account == account, reaction.c.message_id == message, reaction.c.sender == sender
        )
        await self._connection.execute(reaction.delete().where(of_person, reaction.c.event.not_in(now)))
        for event, key in now.items():
            await self.add(Reaction(account=account, event=event, message=message, sender=sender, key=key))

    async def keys(self, message: MessageId) -> frozenset[str]:
        query = sa.select(reaction.c.key).distinct().where(reaction.c.message_id == message)
        return frozenset(await self._connection.scalars(query))


def _row(new: Reaction) -> dict[str, object]:
    return {
        "account": new.account,
        "event": new.event,
        "message_id": new.message,
        "sender": new.sender,
        "key": new.key,
    }
