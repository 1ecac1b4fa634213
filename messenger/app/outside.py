"""What staff writes outside of any conversation's place: in the main timeline of a group's room, or in the direct chat
with the desk. It is team chat and goes nowhere; a command is carried out and answered at the same place."""

from collections.abc import Sequence

from messenger.app import access
from messenger.app.desk_orders import DESK_ORDERS
from messenger.app.effects.staff import AnswerInRoom, SayAnswer
from messenger.app.glass import break_glass
from messenger.app.items import StaffSaid
from messenger.app.order import DeskOrder, called, where_asked
from messenger.app.orders import UNWIRED, carry_out, carry_out_beside
from messenger.app.records import Seat
from messenger.app.staff_messages import Refusal, answer_beside, explain_refusal, mark, refusal_text
from messenger.app.turn import Turn
from messenger.domain.access import COMMAND_ACTIONS
from messenger.domain.conversation import Conversation
from messenger.domain.errors import DomainError, NotOffered
from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.people import SkillGroup
from messenger.domain.replies import Fate, Said, is_command
from messenger.domain.staff_commands import Asked, Unknown, parse

Seats = Sequence[tuple[SkillGroup, Seat]]


async def said_outside(turn: Turn, item: StaffSaid) -> None:
    if not is_command(Said(type=item.type, text=item.content.text)):
        return await _answered_beside_the_thread(turn, item)
    seats = await _seats_here(turn, item)
    if not seats:
        return None
    try:
        is_done = await _obey(turn, item, seats)
    except DomainError as error:
        text, fields = refusal_text(error)
        turn.effects.append(SayAnswer(text=text, fields=fields, **where_asked(item, seats)))
        is_done = False
    mark(turn, item, Fate.DONE if is_done else Fate.FAILED)


async def _seats_here(turn: Turn, item: StaffSaid) -> Seats:
    """All seats of somebody who may give commands at this place: a member of the group whose room it is, or the one
    whose direct chat it is. A thread in a room is team chat; in a direct chat it is the same as anywhere in it."""
    seats = await turn.unit.people.seats_of(item.sender)
    if not seats:
        return []
    person = await turn.unit.people.person_of_direct_room(item.room)
    if person is not None:
        return seats if person.address == item.sender else []
    here = None if item.thread else await turn.unit.people.group_of_room(item.room)
    return seats if here and any(group.id == here.id for group, _ in seats) else []


async def _obey(turn: Turn, item: StaffSaid, seats: Seats) -> bool:
    """True if it is done; if not, it has been said why, or a DomainError says it."""
    asked = parse(item.content.text)
    if isinstance(asked, Unknown):
        guess = called(asked.guess, seats[0][1].agent)
        raise Refusal("S10" if asked.guess else "S10.plain", word=asked.word, guess=guess)
    name, order = asked.command.name, DeskOrder(turn, item, seats, asked)
    if name in UNWIRED:
        raise NotOffered(action=name)
    if asked.command.where != "anywhere":
        raise Refusal("S10e.thread", usage=order.usage)
    if not asked.is_complete:
        raise Refusal("S10b", usage=order.usage, example=order.example)
    if name == "glass":
        if not asked.ref:
            raise Refusal("glass.reference", example=order.example)
        await break_glass(turn, item, seats, asked)
        return True
    if asked.ref:
        return await _on_conversation(turn, item, asked)
    if name not in DESK_ORDERS:
        raise Refusal("S10e.reference", usage=f"!{order.word} K-4F7Q")
    await carry_out_beside(order)
    return True


async def _on_conversation(turn: Turn, item: StaffSaid, asked: Asked) -> bool:
    """As if it were written in the conversation's thread. Where others read along who may not read of it, the answers
    stand in the thread, and here only that they do."""
    conversation, seat = await _named(turn, item, asked)
    is_answered_here = await _may_be_read_here(turn, item, conversation)
    if is_answered_here:
        turn.answer_to = item
    else:
        answer_beside(turn, item, conversation, seat, "S26.there")
    try:
        await carry_out(turn, item, conversation, seat, asked)
    except DomainError as error:
        explain_refusal(turn, conversation, seat, error)
        return False
    return True


async def _named(turn: Turn, item: StaffSaid, asked: Asked) -> tuple[Conversation, Seat]:
    """Whoever has no seat in its group learns nothing of it, not even that it exists. Raises Refusal."""
    unknown = Refusal("S10c.no_such", ref=asked.ref)
    id = await turn.unit.conversations.of_number(asked.ref)
    if id is None or (await turn.unit.conversations.lock(id)).group is None:
        raise unknown
    conversation, seat = await access.conversation_and_seat(turn.unit, id, item.sender)
    action = COMMAND_ACTIONS[asked.command.name]
    reason = (await access.decide(turn.unit, conversation, seat, action)).reason if seat else "foreign"
    if seat is not None and reason != "own_room":
        return conversation, seat
    behind = await _seat_behind_glass(turn, item, conversation)
    if behind is not None and (await access.decide(turn.unit, conversation, behind, action)).is_allowed:
        return conversation, behind
    person = seat.agent.id if seat else await _person(turn, item)
    access.refused(turn.unit, person, action, conversation.id, command=asked.command.name, reason=reason)
    if behind is not None:
        raise Refusal("glass.reads_only", ref=conversation.number)
    raise Refusal("S10c.own_room", ref=conversation.number) if seat else unknown


async def _seat_behind_glass(turn: Turn, item: StaffSaid, conversation: Conversation) -> Seat | None:
    """Only in the direct chat: elsewhere others would read it, too."""
    if await turn.unit.people.person_of_direct_room(item.room) is None:
        return None
    return await turn.unit.glass.seat(conversation.id, item.sender, now=turn.unit.now)


async def _person(turn: Turn, item: StaffSaid) -> AgentId:
    return (await turn.unit.people.seats_of(item.sender))[0][1].agent.id


async def _may_be_read_here(turn: Turn, item: StaffSaid, conversation: Conversation) -> bool:
    """In its own group's room, unless it has moved into one of its own; and between the desk and this person."""
    if await turn.unit.people.person_of_direct_room(item.room) is not None:
        return True
    here = await turn.unit.people.group_of_room(item.room)
    return here is not None and here.id == conversation.group and not conversation.is_in_room


async def _answered_beside_the_thread(turn: Turn, item: StaffSaid) -> None:
    """Only who answers to a card or a thread message in the wrong place is told so."""
    trace = (
        await turn.unit.messages.find_trace(item.account, item.reply_to) if item.reply_to and not item.thread else None
    )
    if trace is not None and trace.conversation is not None:
        id = ConversationId(trace.conversation)
        turn.effects.append(AnswerInRoom(room=item.room, event=item.event, text="S26", conversation=id))
