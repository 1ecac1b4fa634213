"""The customer's chat itself: opened, joined, followed into another room, left."""

from messenger.app.effects.customer import FollowRoom, JoinChat, LeaveRoom, OpenChat
from messenger.app.hands import Hands
from messenger.app.items import RoomFollowed
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.records import NewItem
from messenger.domain.ids import ChatId
from messenger.i18n import texts


async def join_chat(hands: Hands, effect: JoinChat, txn: str) -> Outcome:
    farewell = "\n".join(texts(language).plain("C.newroom") for language in hands.organisation.languages)
    result = await hands.door.join(effect.chat, effect.person, farewell=farewell)
    lane = result.room if isinstance(result, RoomFollowed) else effect.lane
    return Outcome(items=[NewItem(source="outbox", source_id=txn, lane=lane, item=result)])


async def follow_room(hands: Hands, effect: FollowRoom, txn: str) -> Outcome:
    """Behind all that has come from the old room."""
    result = await hands.door.follow(effect.room, effect.successor, effect.by)
    return Outcome(items=[NewItem(source="outbox", source_id=txn, lane=effect.room, item=result)])


async def leave_room(hands: Hands, effect: LeaveRoom, txn: str) -> None:
    await hands.door.leave(effect.room)


async def open_chat(hands: Hands, effect: OpenChat, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        chat = await unit.chats.get(ChatId(effect.chat))
    if not chat.is_expected:
        await hands.door.invite_again(chat.remote, chat.person.value)
        return NOTHING
    ready = await hands.door.open(str(chat.id), chat.person.value)
    item = NewItem(source="outbox", source_id=txn, lane=ready.chat, item=ready)
    return Outcome(opened=(chat.id, ready.chat), items=[item])
