"""Who leaves a group, or may only read there from now on, leaves nothing behind: what they had in work, or let rest, is
in the queue again, with a word to their colleagues. What they have begun to send still leaves: they could when they
said it."""

from messenger.app.access import seat_at
from messenger.app.items import OwnerLost, SeatLost
from messenger.app.records import NewItem
from messenger.app.turn import Turn
from messenger.domain.commands import ReleaseConversation
from messenger.domain.conversation import State
from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.people import Role

DESK = "desk"


async def seat_lost(turn: Turn, item: SeatLost) -> None:
    """Each conversation takes a turn of its own."""
    owned = await turn.unit.conversations.in_work_of(AgentId(item.agent))
    await turn.unit.inbox.add([_owner_lost(turn, item, id) for id in owned])


def _owner_lost(turn: Turn, item: SeatLost, id: ConversationId) -> NewItem:
    lost = OwnerLost(conversation=id, agent=item.agent)
    return NewItem(source="owner", source_id=f"{turn.source}|{id}", lane=f"owner:{id}", item=lost)


async def owner_lost(turn: Turn, item: OwnerLost) -> None:
    """Unless they may answer there all the same, or it is somebody else's by now."""
    agent = AgentId(item.agent)
    conversation = await turn.unit.conversations.lock(ConversationId(item.conversation))
    if not conversation.is_owned_by(agent) or conversation.state not in (State.OPEN, State.PAUSED):
        return
    seat = await seat_at(turn.unit, conversation, (await turn.unit.people.agent(agent)).address)
    if seat is None or not seat.role.can_answer:
        command = ReleaseConversation(agent=agent, role=Role.CLERK, reason="left")
        await turn.change_fate(conversation.id, conversation, command, actor=DESK)
