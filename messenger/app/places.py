"""Where something was written: which conversation's place is it, and is the conversation still there?"""

from dataclasses import dataclass

from messenger.app.items import StaffSaid
from messenger.app.records import Seat
from messenger.app.staff_messages import group_of
from messenger.app.turn import NotYet, Turn
from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId

# A card is seen before we have noted it, and a crash may lie between; a thread of team chat is never noted.
CARD_TRIES = 10


@dataclass(frozen=True, slots=True)
class Spot:
    """A place of a conversation, by its number."""

    conversation: ConversationId
    number: int


async def spot_of(turn: Turn, item: StaffSaid) -> Spot | None:
    """None: team chat. In a room of its own the conversation is the main timeline, and threads are team chat."""
    own_room = await turn.unit.conversations.place_of_room(item.room)
    if own_room is not None:
        return None if item.thread else Spot(own_room[0], own_room[1].number)
    if item.thread is None:
        return None
    trace = await turn.unit.messages.find_trace(item.account, item.thread)
    if trace is None:
        if await turn.unit.people.person_of_direct_room(item.room) is not None:
            return None
        raise NotYet("card", tries=CARD_TRIES)
    if trace.kind != "card" or trace.conversation is None:
        return None
    return Spot(trace.conversation, trace.part)


async def conversation_and_seat(turn: Turn, id: ConversationId, address: str) -> tuple[Conversation, Seat | None]:
    """The seat in its group; in a room of its own also that of a member from elsewhere."""
    conversation = await turn.unit.conversations.lock(id)
    return conversation, await seat_at(turn, conversation, address)


async def seat_at(turn: Turn, conversation: Conversation, address: str) -> Seat | None:
    seat = await turn.unit.people.seat(group_of(conversation), address)
    if seat is None and conversation.is_in_room:
        return await turn.unit.case_members.seat(conversation.id, address)
    return seat


async def may_speak_here(turn: Turn, conversation: Conversation, seat: Seat) -> bool:
    """In a room of its own only its members: a seat in the group alone opens no case."""
    if not conversation.is_in_room:
        return True
    return await turn.unit.case_members.seat(conversation.id, seat.agent.address) is not None
