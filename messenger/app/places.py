"""Where something was written: which conversation's place is it?"""

from dataclasses import dataclass

from messenger.app.items import StaffSaid, Unreadable
from messenger.app.ports import UnitOfWork
from messenger.app.records import PlaceRow
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


async def place_now(unit: UnitOfWork, conversation: Conversation) -> PlaceRow | None:
    """The newest of its places, where things are said."""
    places = await unit.conversations.places(conversation.id)
    return next((place for place in places if place.number == conversation.place), None)


async def spot_of(turn: Turn, item: StaffSaid | Unreadable) -> Spot | None:
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
