"""What the rules must know of the world around a conversation: is its card still in sight, is its owner there, which
message is answered."""

from datetime import timedelta

from messenger.app.access import seat_at
from messenger.app.turn import Turn
from messenger.domain.conversation import Conversation
from messenger.domain.ids import MessageId

# Who wrote or worked here so lately has the thread before their eyes, however many cards have come since.
_IN_SIGHT = timedelta(hours=1)


async def is_out_of_sight(turn: Turn, conversation: Conversation) -> bool:
    """Is its card so old, or so far up in the room, that its thread would be overlooked?"""
    if conversation.group is None or conversation.place == 0 or conversation.is_in_room:
        return False
    # What was over when the group's room was replaced has its card in the old one.
    if conversation.is_resolved and await turn.unit.conversations.is_in_former_room(conversation.id):
        return True
    if not is_quiet(turn, conversation):
        return False
    group, last = await turn.group(conversation.group), await turn.unit.conversations.last_activity(conversation.id)
    if last is not None and turn.unit.now - last >= timedelta(hours=group.recard_after_hours):
        return True
    return await turn.unit.conversations.is_out_of_sight(conversation.id, cards=group.recard_after_cards)


def is_quiet(turn: Turn, conversation: Conversation) -> bool:
    """Has nobody written or worked here for an hour?"""
    known = (conversation.opened_at, conversation.waiting_since, conversation.answered_at, conversation.claimed_at)
    return turn.unit.now - max(moment for moment in known if moment is not None) >= _IN_SIGHT


async def owner_is_away(turn: Turn, conversation: Conversation) -> bool:
    """Can the owner not answer now, or may they not any more? Then the conversation must not stay behind with them."""
    if conversation.owner is None or conversation.group is None:
        return False
    if not await turn.unit.people.is_available(conversation.owner):
        return True
    owner = await turn.unit.people.agent(conversation.owner)
    seat = await seat_at(turn.unit, conversation, owner.address)
    return seat is None or not seat.role.can_answer


async def answered_message(turn: Turn, account: str, event: str | None) -> MessageId | None:
    """The message that a reply answers, by any of its ids on this side."""
    trace = await turn.unit.messages.find_trace(account, event) if event else None
    return trace.message if trace else None
