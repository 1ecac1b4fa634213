"""What staff does at the places: write in a thread or a room, react on a card or a message."""

from dataclasses import replace
from datetime import timedelta

from messenger.app import asking, trust
from messenger.app.access import asked, conversation_and_seat, may_speak_here
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.staff import AnswerInRoom, RemoveReaction, TellPerson
from messenger.app.effects.thread import PostNotice
from messenger.app.items import DeviceLeftOut, StaffReacted, StaffSaid, Unreadable
from messenger.app.order import called
from messenger.app.orders import carry_out
from messenger.app.outside import said_outside
from messenger.app.places import Spot, spot_of
from messenger.app.reactions import NOTED_SOON, staff_reacted_to_customer
from messenger.app.records import Seat, Trace
from messenger.app.staff_changes import staff_edited, standing
from messenger.app.staff_messages import (
    Refusal,
    actor_of,
    add_message,
    claim,
    explain_refusal,
    group_of,
    mark,
    mentions_us,
    refusal_text,
    tell,
)
from messenger.app.turn import NotYet, Turn
from messenger.app.waits import default_pause
from messenger.domain.access import COMMAND_ACTIONS, Action
from messenger.domain.commands import Command, PauseConversation, ResolveConversation
from messenger.domain.conversation import Conversation
from messenger.domain.errors import AlreadyYours, DomainError
from messenger.domain.ids import MessageId
from messenger.domain.replies import Fate, Said, is_command
from messenger.domain.staff_commands import Asked, Unknown, parse
from messenger.i18n import texts

ORDER_TRIES = 60
# Who approves within so short a time after a change may have approved the words before it.
READ_AGAIN = timedelta(seconds=10)
CLAIM_KEYS = frozenset({"👀", "🙋"})
RESOLVE_KEY, PAUSE_KEY, APPROVE_KEY = "✅", "💤", "📤"
ON_CARDS = CLAIM_KEYS | {RESOLVE_KEY, PAUSE_KEY}
_NAMES = {**dict.fromkeys(CLAIM_KEYS, "claim"), RESOLVE_KEY: "resolve", PAUSE_KEY: "pause"}
_ACTIONS = {key: COMMAND_ACTIONS[name] for key, name in _NAMES.items()}
_LEFT_OUT = {"m.unverified": "S31.not_signed", "m.no_olm": "S31.no_keys", "not_verified": "S31.not_verified"}
# Emoji differ by variation selectors, skin tones and genders (joined signs) between keyboards; the meaning is the same.
_IGNORED_IN_KEYS = dict.fromkeys([0x200D, 0x2640, 0x2642, 0xFE0E, 0xFE0F, *range(0x1F3FB, 0x1F400)])


async def staff_said(turn: Turn, item: StaffSaid) -> None:
    if item.edits:
        return await staff_edited(turn, item)
    spot = await spot_of(turn, item)
    if spot is None:
        return await said_outside(turn, item)
    conversation, seat = await conversation_and_seat(turn.unit, spot.conversation, item.sender)
    if spot.number != conversation.place:
        return await _at_a_former_place(turn, item, conversation, spot)
    if seat is None or not await may_speak_here(turn.unit, conversation, seat):
        return None
    if await turn.unit.conversations.is_erased(conversation.id):
        tell(turn, conversation, seat, "S10c.erased")
        return mark(turn, item, Fate.FAILED)
    said = Said(type=item.type, text=item.content.text, mentions_staff=await mentions_us(turn, item))
    if not is_command(said):
        return await add_message(turn, item, item.content, conversation, seat, said)
    match parse(item.content.text):
        case Unknown() as unknown:
            text = "S10" if unknown.guess else "S10.plain"
            tell(turn, conversation, seat, text, word=unknown.word, guess=called(unknown.guess, seat.agent))
            mark(turn, item, Fate.FAILED)
        case Asked() as asked:
            await _obey(turn, item, conversation, seat, asked)


async def staff_reacted(turn: Turn, item: StaffReacted) -> None:
    key = item.key.translate(_IGNORED_IN_KEYS)
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None or trace.conversation is None:
        return await _wait_for_target(turn, item, is_order=key in ON_CARDS or key == APPROVE_KEY)
    conversation, seat = await conversation_and_seat(turn.unit, trace.conversation, item.sender)
    if seat is None:
        return None
    if trace.kind == "card" and key in ON_CARDS:
        if trace.part == conversation.place or _is_pointer(trace, conversation):
            is_pointer = _is_pointer(trace, conversation)
            await _act_on_card(turn, item, conversation, seat, key, is_pointer=is_pointer)
    elif key == APPROVE_KEY and trace.kind == "origin" and trace.message is not None:
        await _approve_by_reaction(turn, item, conversation, seat, trace.message)
    elif key != APPROVE_KEY and trace.kind == "copy" and trace.message is not None:
        await staff_reacted_to_customer(turn, item, conversation, seat, trace.message)
    return None


async def _wait_for_target(turn: Turn, item: StaffReacted, *, is_order: bool) -> None:
    """What we post is noted a moment after it is seen. Most signs stand below team chat, which is never noted; in a
    room of its own they would keep the whole conversation waiting."""
    own_room = await turn.unit.conversations.place_of_room(item.room)
    if own_room is None:
        raise NotYet("target of a reaction", tries=ORDER_TRIES if is_order else NOTED_SOON)
    if await turn.unit.outbox.is_sending(f"thread:{own_room[0]}"):
        raise NotYet("target of a reaction")


async def staff_message_unreadable(turn: Turn, item: Unreadable) -> None:
    """Only in a conversation's place, and in the direct chat: an unreadable line of team chat concerns nobody but the
    team. It is said where it was written: there its author looks, and in a room of its own fewer read along."""
    is_withheld = item.reason.split(".")[0] == "withheld"
    person = await turn.unit.people.person_of_direct_room(item.room)
    if person is not None:
        text, told = "S25.direct.withheld" if is_withheld else "S25.direct", {"at": item.at.isoformat()}
        return turn.effects.append(TellPerson(agent=person.id, text=text, fields=told))
    spot = await spot_of(turn, item)
    if spot is None:
        return None
    conversation, seat = await conversation_and_seat(turn.unit, spot.conversation, item.sender)
    is_former = spot.number != conversation.place
    if is_former:
        seat = await _seat_at_former(turn, spot, item.sender)
    if seat is not None:
        place, told = spot.number if is_former else None, {"at": item.at.isoformat(), "name": seat.agent.name}
        text = "S25.staff.withheld" if is_withheld else "S25.staff"
        notice = PostNotice(conversation=conversation.id, text=text, fields=told, reader=seat.agent.id)
        turn.effects.append(replace(notice, place=place))


async def device_left_out(turn: Turn, item: DeviceLeftOut) -> None:
    """Who reads nothing must know why. Customers' devices are all served; a silent one there is none of the team's
    care, but another identity is."""
    if item.code == "identity_changed":
        return await trust.customer_changed(turn, item)
    if item.code == "unsigned_device":
        return await trust.customer_has_new_device(turn, item)
    if item.code == "not_verified":
        await trust.tell_unverified(turn, item)
    text = _LEFT_OUT.get(item.code)
    own_room = await turn.unit.conversations.place_of_room(item.room)
    if own_room is not None and text is not None:
        fields = {"device": item.device, "person": item.user}
        return turn.effects.append(PostNotice(conversation=own_room[0], text=text, fields=fields))
    group = await turn.unit.people.group_of_room(item.room)
    if group is not None and text is not None:
        turn.effects.append(TellGroup(group=group.id, text=text, person=item.user, fields={"device": item.device}))


async def _at_a_former_place(turn: Turn, item: StaffSaid, conversation: Conversation, spot: Spot) -> None:
    """It stays inside, as a note; its author, who may have a seat only there, hears where the conversation goes on."""
    seat = await _seat_at_former(turn, spot, item.sender)
    if seat is None:
        return
    said = Said(type=item.type, text=item.content.text, is_note=True)
    await add_message(turn, item, item.content, conversation, seat, said)
    notice = PostNotice(conversation=conversation.id, text="S26.former", reader=seat.agent.id, place=spot.number)
    turn.effects.append(notice)


async def _obey(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    if not asked.is_complete:
        language = texts(seat.agent.language).language
        usage, example = asked.command.usage_in(language), asked.command.example_in(language)
        tell(turn, conversation, seat, "S10b", usage=usage, example=example)
        return mark(turn, item, Fate.FAILED)
    try:
        is_message = await carry_out(turn, item, conversation, seat, asked)
    except DomainError as error:
        explain_refusal(turn, conversation, seat, error)
        return mark(turn, item, Fate.FAILED)
    if not is_message:
        mark(turn, item, Fate.DONE)


async def _seat_at_former(turn: Turn, spot: Spot, address: str) -> Seat | None:
    places = await turn.unit.conversations.places(spot.conversation)
    former = next((row for row in places if row.number == spot.number), None)
    return await turn.unit.people.seat(former.group, address) if former else None


def _is_pointer(trace: Trace, conversation: Conversation) -> bool:
    """The card in the group's room of what has a room of its own."""
    return conversation.is_in_room and trace.part == conversation.place - 1


async def _act_on_card(
    turn: Turn, item: StaffReacted, conversation: Conversation, seat: Seat, key: str, *, is_pointer: bool
) -> None:
    async def do() -> None:
        if key in CLAIM_KEYS:
            return await claim(turn, conversation, seat)
        command = await _meant_by(turn, conversation, seat, key)
        await turn.change_fate(conversation.id, conversation, command, actor=actor_of(seat))

    try:
        await asked(turn.unit, conversation, seat, _ACTIONS[key], command=f"reaction.{_NAMES[key]}", do=do)
    except AlreadyYours:
        return None
    except DomainError as error:
        turn.effects.append(RemoveReaction(room=item.room, event=item.event))
        if not is_pointer:
            return explain_refusal(turn, conversation, seat, error)
        # Whoever reacts there may not be in the room.
        text, fields = refusal_text(error, str(conversation.owner or ""))
        beside = AnswerInRoom(room=item.room, event=item.target, conversation=conversation.id, text=text)
        return turn.effects.append(replace(beside, fields=fields, reader=seat.agent.id))
    if key in CLAIM_KEYS:
        await _remember_claim(turn, item, conversation)


async def _meant_by(turn: Turn, conversation: Conversation, seat: Seat, key: str) -> Command:
    if key == RESOLVE_KEY:
        return ResolveConversation(agent=seat.agent.id, role=seat.role)
    rest = default_pause(await turn.group(group_of(conversation)), turn.unit.now)
    return PauseConversation(agent=seat.agent.id, role=seat.role, wake_on=rest.wake_on, until=rest.until)


async def _remember_claim(turn: Turn, item: StaffReacted, conversation: Conversation) -> None:
    """So that its removal is known as a release."""
    await turn.unit.messages.add_trace(
        Trace(account=item.account, room=item.room, remote_id=item.event, kind="claim", conversation=conversation.id)
    )


async def _approve_by_reaction(
    turn: Turn, item: StaffReacted, conversation: Conversation, seat: Seat, id: MessageId
) -> None:
    message = await turn.unit.messages.get(id)
    if message.author is None:
        return
    stored = await standing(turn, conversation, message)
    command = asking.approval(stored, seat.agent.id, seat.role)
    if command is None:
        return

    async def do() -> None:
        if stored.group.four_eyes and message.edited_at and item.at - message.edited_at < READ_AGAIN:
            raise Refusal("S9.changed")
        await turn.change_fate(conversation.id, conversation, command, actor=actor_of(seat))

    try:
        await asked(turn.unit, conversation, seat, Action.ANSWER, command="reaction.approve", do=do)
    except DomainError as error:
        turn.effects.append(RemoveReaction(room=item.room, event=item.event))
        explain_refusal(turn, conversation, seat, error)
