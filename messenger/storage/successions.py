"""Rooms that were replaced by others: what is known of each, and the step from one to the next."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Succession
from messenger.domain.conversation import State
from messenger.domain.ids import ChatId, ConversationId, GroupId
from messenger.storage.models.conversations import chat, conversation, place
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import inbox
from messenger.storage.models.rooms import room_succession


async def note_replaced(connection: AsyncConnection, account: str, rooms: Mapping[str, str]) -> None:
    """Room -> what is said to take its place. Another successor makes a new beginning, until one is followed."""
    for room, successor in rooms.items():
        new = insert(room_succession).values(account=account, room_id=room, successor=successor)
        again = new.on_conflict_do_update(
            index_elements=list(room_succession.primary_key),
            set_={"successor": successor, "state": "pending", "code": "", "at": sa.func.now()},
            where=sa.and_(room_succession.c.state != "followed", room_succession.c.successor != successor),
        )
        await connection.execute(again)


class SqlSuccessions:
    """The `SuccessionPort`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, account: str, room: str) -> Succession | None:
        row = (await self._connection.execute(sa.select(room_succession).where(*_which(account, room)))).first()
        return Succession(successor=row.successor, state=row.state, code=row.code) if row else None

    async def object(self, account: str, room: str, successor: str, *, state: str, code: str) -> bool:
        before = await self.get(account, room)
        if before is None or before.successor != successor:
            await note_replaced(self._connection, account, {room: successor})
        await self._set(account, room, state=state, code=code)
        return before is None or (before.successor, before.code) != (successor, code)

    async def follow_chat(self, account: str, room: str, successor: str, id: ChatId) -> None:
        await self._followed(account, room, successor, chat_id=id)
        await self._connection.execute(chat.update().where(chat.c.id == id).values(remote=successor))

    async def follow_group(self, account: str, room: str, successor: str, id: GroupId) -> None:
        """Its board is put up anew."""
        await self._followed(account, room, successor, group_id=id)
        nothing = dict.fromkeys(("board_event", "board_digest", "board_edit_at"))
        await self._connection.execute(
            skill_group.update().where(skill_group.c.id == id).values(room_id=successor, **nothing)
        )

    async def leave_behind(self, account: str, room: str) -> None:
        await self._set(account, room, state="followed", code="", at=sa.func.now())

    async def former_rooms(self, account: str, room: str) -> Sequence[str]:
        query = sa.select(room_succession.c.room_id).join(chat).where(chat.c.account == account, chat.c.remote == room)
        return list(await self._connection.scalars(query.order_by(room_succession.c.at.desc())))

    async def conversations_in(self, group: GroupId, room: str) -> Sequence[ConversationId]:
        """Those of the group that are not over and whose card stands there."""
        query = (
            sa.select(conversation.c.id)
            .join(place, sa.and_(place.c.conversation_id == conversation.c.id, place.c.number == conversation.c.place))
            .where(conversation.c.group_id == group, conversation.c.state != State.RESOLVED)
            .where(place.c.room_id == room, sa.not_(place.c.is_room))
            .order_by(conversation.c.opened_at, conversation.c.id)
        )
        return [ConversationId(id) for id in await self._connection.scalars(query)]

    async def is_heard_out(self, room: str) -> bool:
        """Lanes of a desk room bear its id and a thread's."""
        is_open = inbox.c.state.in_(("new", "waiting_key"))
        of_room = inbox.c.lane.startswith(f"{room}|", autoescape=True)
        return not await self._connection.scalar(sa.select(sa.exists().where(is_open, of_room)))

    async def _followed(self, account: str, room: str, successor: str, **whose: Any) -> None:
        await note_replaced(self._connection, account, {room: successor})
        await self._set(account, room, state="followed", code="", at=sa.func.now(), **whose)

    async def _set(self, account: str, room: str, **values: Any) -> None:
        await self._connection.execute(room_succession.update().where(*_which(account, room)).values(**values))


def _which(account: str, room: str) -> tuple[sa.ColumnElement[bool], ...]:
    return room_succession.c.account == account, room_succession.c.room_id == room
