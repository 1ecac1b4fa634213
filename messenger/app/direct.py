"""The direct chat of the desk with one of the staff: for commands, lists and words to this person alone. What is
written there goes nowhere."""

from messenger.app.effects.staff import TellPerson
from messenger.app.items import ChatReady, StaffSaid
from messenger.app.outside import said_outside
from messenger.app.turn import NotYet, Turn
from messenger.channels.messages import Assurance, InboundMessage, MessageEdited, Unsupported


async def opened(turn: Turn, item: ChatReady) -> bool:
    """True if the person has a seat somewhere: then this is no customer's chat. In the newest such room the desk speaks
    first, in all of them it listens. A chat that was a customer's before stays one."""
    seats = await turn.unit.people.seats_of(item.person.value)
    if not seats or await turn.unit.chats.find(item.account, item.chat) is not None:
        return False
    person = seats[0][1].agent
    if await turn.unit.people.direct_room_of(person.id) != item.chat:
        await turn.unit.people.set_direct_room(person.id, item.chat)
        turn.effects.append(TellPerson(agent=person.id, text="S28.direct"))
    return True


async def wrote_early(turn: Turn, item: InboundMessage | MessageEdited | Unsupported) -> bool:
    """Is this from somebody of the staff, who wrote before we knew the room as their direct chat? Commands are obeyed
    then, too. Raises NotYet while the room is becoming one."""
    if await turn.unit.people.person_of_direct_room(item.hints[0]) is None:
        if item.sender is not None and await turn.unit.people.seats_of(item.sender.value):
            raise NotYet("direct chat")
        return False
    if isinstance(item, InboundMessage):
        await said_outside(turn, _as_said(item))
    return True


def _as_said(item: InboundMessage) -> StaffSaid:
    return StaffSaid(
        account=item.account,
        room=item.hints[0],
        thread=None,
        event=item.source_id,
        sender=item.sender.value,
        at=item.at,
        type="m.text",
        content=item.content,
        owner_signed=item.assurance >= Assurance.AUTHENTICATED,
    )
