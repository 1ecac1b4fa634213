"""Rooms that are replaced by others (room upgrades): whose it is goes on in the new room.

A tombstone is somebody's word. We follow it when whoever said it had the right to, the new room names the old one, it
is encrypted, and those for whom the room is are there. Until then nothing leaves for a customer in either room: the
old one nobody reads any more, the new one is not proved. What is missing is looked for again every minute; a word that
was false is refused, and the old room stays in use. Both are told to the leads.

    the customer's chat   the same conversations go on in the new room; what comes late from the old one is theirs, too
    a group's room        its members are invited, each open conversation gets a card there that follows the old one
    a direct chat         the new one is the chat with this person, as if they had made it
    a conversation's own  nobody is led anywhere: the desk makes it another room, for the same people; where somebody
                          closes one after the other, it stays in the last one until a person asks for another
"""

from messenger.app import direct
from messenger.app.audit import audit
from messenger.app.effects.customer import FollowRoom, FollowRoomLater, LeaveRoom
from messenger.app.effects.groups import OpenNewRoom, SeatMember, TellGroup
from messenger.app.effects.thread import PostNotice
from messenger.app.items import CardWanted, ChatReady, GroupMoved, RoomFollowed, RoomReplaced, TrustDoubted
from messenger.app.places import place_now
from messenger.app.records import Chat, NewItem
from messenger.app.trust import doubted, place_of, tell
from messenger.app.turn import NotYet, Turn
from messenger.channels.messages import Handle
from messenger.domain.case_room import renewals
from messenger.domain.commands import RenewCard, RenewRoom
from messenger.domain.conversation import Conversation
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import SkillGroup

DESK = "desk"
PURPOSE = "room_upgrade"
HEARD_OUT_TRIES = 30
FALSE = frozenset({"no_right", "not_replaced", "elsewhere"})


async def replaced(turn: Turn, item: RoomReplaced) -> None:
    own_room = await turn.unit.conversations.place_of_room(item.room)
    if own_room is not None:
        return await _case_closed(turn, item, own_room[0])
    known = await turn.unit.successions.get(item.account, item.room)
    if known is None or (known.successor, known.state) == (item.successor, "pending"):
        look = FollowRoom(account=item.account, room=item.room, successor=item.successor, by=item.by)
        turn.effects.append(look)


async def followed(turn: Turn, item: RoomFollowed) -> bool:
    """False if it concerns no room of ours, or if its word is false: then it is whatever else it may be."""
    known = await turn.unit.successions.get(item.account, item.room)
    if known is not None and known.state == "followed":
        return known.successor == item.successor
    group = await turn.unit.people.group_of_room(item.room)
    if group is not None:
        return await _group_followed(turn, item, group)
    chat = await turn.unit.chats.find(item.account, item.room)
    if chat is not None:
        return await _chat_followed(turn, item, chat)
    person = await turn.unit.people.person_of_direct_room(item.room)
    if person is None or item.code or person.address not in item.people:
        return False
    whose = Handle(kind="mxid", value=person.address)
    return await direct.opened(
        turn, ChatReady(account=item.account, chat=item.successor, person=whose, name=person.name, at=turn.unit.now)
    )


async def card_wanted(turn: Turn, item: CardWanted) -> None:
    id = ConversationId(item.conversation)
    conversation = await turn.unit.conversations.lock(id)
    places = {place.number: place for place in await turn.unit.conversations.places(id)}
    here = places.get(conversation.place)
    if here is not None and here.room == item.room and not here.is_room:
        await turn.act(id, conversation, RenewCard(), actor=DESK)


async def _chat_followed(turn: Turn, item: RoomFollowed, chat: Chat) -> bool:
    """Strangers in the new room keep it waiting like strangers anywhere: nothing leaves until a lead has decided."""
    code = item.code or ("" if chat.person.value in item.people else "person_absent")
    if code:
        return await _object(turn, item, code)
    await turn.unit.successions.follow_chat(item.account, item.room, item.successor, chat.id)
    await _note(turn, item, "room.follow")
    if chat.conversation is not None:
        turn.effects.append(PostNotice(conversation=chat.conversation, text="S36.chat"))
    return True


async def _group_followed(turn: Turn, item: RoomFollowed, group: SkillGroup) -> bool:
    code = item.code or ("" if item.is_led else "no_power")
    if code:
        return await _object(turn, item, code)
    await _must_be_heard_out(turn, item.room)
    await turn.unit.successions.follow_group(item.account, item.room, item.successor, group.id)
    await _note(turn, item, "room.follow")
    turn.effects += [SeatMember(group=group.id, agent=each.id) for each in await turn.unit.people.members(group.id)]
    turn.effects.append(OpenNewRoom(group=group.id, former=item.room))
    return True


async def _case_closed(turn: Turn, item: RoomReplaced, id: ConversationId) -> None:
    """Whoever has said so, and with whatever right: people's apps let nobody write there any more."""
    conversation = await turn.unit.conversations.lock(id)
    here = await place_now(turn.unit, conversation)
    if here is not None and here.room == item.room:
        await _make_another(turn, item, conversation)
    await turn.unit.successions.leave_behind(item.account, item.room)


async def _make_another(turn: Turn, item: RoomReplaced, conversation: Conversation) -> None:
    id = conversation.id
    await _must_be_heard_out(turn, item.room)
    members = tuple(AgentId(member.id) for member in await turn.unit.case_members.of(id))
    renewed = renewals(await turn.unit.conversations.history(id), turn.unit.now)
    if await turn.act(id, conversation, RenewRoom(members=members, renewed=renewed), actor=DESK):
        audit(turn.unit, actor="system", action="room.renew", object="cause:tombstone", purpose=PURPOSE)
    else:
        await _closed_too_often(turn, item, conversation)


async def _closed_too_often(turn: Turn, item: RoomReplaced, conversation: Conversation) -> None:
    """It is said where people can write, and nothing of the conversation with it: more read there."""
    beside = PostNotice(conversation=conversation.id, text="S36.case_stays", place=conversation.place - 1)
    turn.effects.append(beside)
    await doubted(turn, TrustDoubted(account=item.account, room=item.room, user=item.by, cause="room_closed"))


async def _must_be_heard_out(turn: Turn, room: str) -> None:
    """What was said in the old room is handled first."""
    if not await turn.unit.successions.is_heard_out(room):
        raise NotYet("what was said in the old room", tries=HEARD_OUT_TRIES)


async def moved(turn: Turn, item: GroupMoved) -> None:
    """Each conversation takes a turn of its own."""
    turn.effects.append(TellGroup(group=item.group, text="S36.group"))
    cards = await turn.unit.successions.conversations_in(GroupId(item.group), item.former)
    await turn.unit.inbox.add([_card_wanted(item, id) for id in cards])


def _card_wanted(item: GroupMoved, id: ConversationId) -> NewItem:
    wanted = CardWanted(conversation=id, room=item.former)
    return NewItem(source="upgrade", source_id=f"{item.former}|{id}", lane=f"card:{id}", item=wanted)


async def _object(turn: Turn, item: RoomFollowed, code: str) -> bool:
    is_false = code in FALSE
    is_news = await turn.unit.successions.object(
        item.account, item.room, item.successor, state="refused" if is_false else "pending", code=code
    )
    if is_news:
        audit(turn.unit, actor="system", action="room.object", object=f"cause:{code}", purpose=PURPOSE)
        place = await place_of(turn, item.account, item.room)
        await tell(turn, place, f"S36.{code}", {"place": place.name, "person": item.by}, person="")
    if is_false:
        turn.effects += [] if item.ready else [LeaveRoom(room=item.successor)]
        return False
    turn.effects.append(FollowRoomLater(account=item.account, room=item.room, successor=item.successor, by=item.by))
    return True


async def _note(turn: Turn, item: RoomFollowed, action: str) -> None:
    audit(turn.unit, actor="system", action=action, object="cause:tombstone", purpose=PURPOSE)
    await turn.unit.outbox.hurry()
