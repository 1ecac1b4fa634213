"""Conversations: the locked state, what is recorded of it, and how one is found."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Case, PlaceRow, StoredMessage
from messenger.domain.conversation import Conversation, State
from messenger.domain.errors import Blocked, PersonErased, ProcessingRestricted
from messenger.domain.events import Recorded
from messenger.domain.ids import AgentId, ChatId, ConversationId, GroupId, MessageId
from messenger.observability.failpoints import fp
from messenger.storage import event_log
from messenger.storage.cases import UnknownConversation, load_case, load_case_of, opened_tags, tags_place
from messenger.storage.chats import ChatRows
from messenger.storage.conversation_rows import CHANGE, OfChat, as_conversation, columns
from messenger.storage.data_keys import DataKeys, conversation_scope
from messenger.storage.database import first
from messenger.storage.messages import key_of_conversation
from messenger.storage.models.conversations import conversation, place
from messenger.storage.models.rooms import room_succession
from messenger.storage.statements import Statement
from messenger.storage.together import write

_LOCK = Statement(sa.select(conversation).where(conversation.c.id == sa.bindparam("which")).with_for_update())
# Are there more than so many newer cards in the room of its card?
_OUT_OF_SIGHT = sa.text("""
SELECT count(*) > :cards FROM (
  SELECT 1 FROM conversation AS mine
  JOIN place AS own ON own.conversation_id = mine.id AND own.number = mine.place
  JOIN place AS newer ON newer.room_id = own.room_id AND newer.made_at > own.made_at
  WHERE mine.id = CAST(:which AS uuid) AND NOT own.is_room LIMIT :cards + 1
) AS below""")


class SqlConversations:
    def __init__(self, connection: AsyncConnection, keys: DataKeys) -> None:
        self._connection, self._keys = connection, keys
        self._of_lane: OfChat | None = None

    def remember(self, of_lane: Any) -> None:
        """What was locked along with the claim, for the first that asks: afterwards this turn may have changed it."""
        self._of_lane = OfChat(of_lane)

    async def lock(self, id: ConversationId) -> Conversation:
        known, self._of_lane = self._of_lane, None
        is_known = known is not None and known.id == id
        row = known if is_known else await first(self._connection, _LOCK, {"which": id})
        if row is None:
            raise UnknownConversation(str(id))
        fp("conversation_locked")
        if row.blocked is not None:
            raise _blocked(row.blocked, id)
        return as_conversation(row)

    async def record(self, before: Conversation | None, events: Sequence[Recorded], after: Conversation) -> None:
        if before is None:
            await self._insert(after)
            await event_log.begin(self._connection, events)
        else:
            changes = {"id": after.id, "before": before.version, **columns(after)}
            await write(self._connection, CHANGE, changes, hear=_must_be_changed)
            await event_log.append(self._connection, events)

    async def case(self, id: ConversationId) -> Case:
        return await load_case(self._connection, self._keys, id)

    async def case_of(self, message: MessageId) -> tuple[Case, StoredMessage]:
        return await load_case_of(self._connection, self._keys, message)

    async def places(self, id: ConversationId) -> Sequence[PlaceRow]:
        query = sa.select(place).where(place.c.conversation_id == id).order_by(place.c.number)
        return [_place(row) for row in await self._connection.execute(query)]

    async def place_of_room(self, room: str) -> tuple[ConversationId, PlaceRow] | None:
        query = sa.select(place).where(place.c.room_id == room, place.c.is_room)
        row = (await self._connection.execute(query)).first()
        return (ConversationId(row.conversation_id), _place(row)) if row else None

    async def is_out_of_sight(self, id: ConversationId, *, cards: int) -> bool:
        return bool(await self._connection.scalar(_OUT_OF_SIGHT, {"which": id, "cards": cards}))

    async def is_in_former_room(self, id: ConversationId) -> bool:
        former = sa.exists().where(
            conversation.c.id == id,
            room_succession.c.room_id == conversation.c.card_room,
            room_succession.c.group_id.is_not(None),
        )
        return bool(await self._connection.scalar(sa.select(former)))

    async def last_activity(self, id: ConversationId) -> datetime | None:
        return await event_log.last_activity(self._connection, id)

    async def open_in(self, chat_id: ChatId) -> Sequence[ConversationId]:
        query = sa.select(conversation.c.id).where(
            conversation.c.chat_id == chat_id, conversation.c.state != State.RESOLVED
        )
        last_answered = (conversation.c.answered_at.desc().nulls_last(), conversation.c.opened_at.desc())
        return [ConversationId(id) for id in await self._connection.scalars(query.order_by(*last_answered))]

    async def in_work_of(self, agent: AgentId) -> Sequence[ConversationId]:
        is_in_work = conversation.c.state.in_((State.OPEN, State.PAUSED))
        query = sa.select(conversation.c.id).where(conversation.c.owner_id == agent, is_in_work)
        return [ConversationId(id) for id in await self._connection.scalars(query.order_by(conversation.c.opened_at))]

    async def number_of(self, id: ConversationId) -> str:
        number: str = (
            await self._connection.scalars(sa.select(conversation.c.number).where(conversation.c.id == id))
        ).one()
        return number

    async def of_number(self, number: str) -> ConversationId | None:
        query = sa.select(conversation.c.id).where(conversation.c.number == number.upper())
        id = await self._connection.scalar(query)
        return ConversationId(id) if id else None

    async def is_number_taken(self, number: str) -> bool:
        query = sa.select(sa.literal(1)).where(conversation.c.number == number)
        return (await self._connection.execute(query)).first() is not None

    async def history(self, id: ConversationId) -> Sequence[Recorded]:
        return await event_log.history(self._connection, id)

    async def is_erased(self, id: ConversationId) -> bool:
        return await self._keys.is_erased(conversation_scope(id))

    async def tags(self, id: ConversationId) -> tuple[str, ...]:
        sealed = await self._connection.scalar(sa.select(conversation.c.enc_tags).where(conversation.c.id == id))
        return await opened_tags(self._keys, id, sealed)

    async def set_tags(self, id: ConversationId, tags: Sequence[str]) -> None:
        key = await key_of_conversation(self._connection, self._keys, id)
        sealed = key.seal(json.dumps(list(tags)).encode(), where=tags_place(id)) if tags else None
        await self._connection.execute(conversation.update().where(conversation.c.id == id).values(enc_tags=sealed))

    async def _insert(self, state: Conversation) -> None:
        await self._connection.execute(
            conversation.insert().values(
                id=state.id,
                number=state.number,
                contact_id=state.contact,
                chat_id=state.chat,
                opened_at=state.opened_at,
                previous_id=state.previous,
                **(columns(state) | {"on_their_way": []}),  # nothing begins with an answer
            )
        )
        await ChatRows(self._connection, self._keys).set_conversation(
            state.chat, state.id, only_if_none=state.waiting_since is None
        )


def _blocked(why: str, id: ConversationId) -> Blocked:
    """Whoever wants to work on it must lock it first, so that nothing passes by here."""
    return PersonErased(id) if why == "erased" else ProcessingRestricted(id)


def _place(row: Any) -> PlaceRow:
    return PlaceRow(
        number=row.number, group=GroupId(row.group_id), room=row.room_id, card=row.card, is_room=row.is_room
    )


def _must_be_changed(told: Mapping[str, Any]) -> None:
    assert told["id"] is not None, "the conversation was locked, so its version cannot have moved"
