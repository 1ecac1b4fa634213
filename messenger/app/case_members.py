"""Who may read a conversation that has a room of its own. The list follows from the events, in the transaction that
records them: whoever owns it is on it."""

from collections.abc import Sequence

from messenger.app.ports import UnitOfWork
from messenger.domain import events as e
from messenger.domain.conversation import Conversation


async def keep_members(unit: UnitOfWork, steps: Sequence[tuple[e.Event, Conversation | None, Conversation]]) -> None:
    for event, _, became in steps:
        match event:
            case e.MovedToRoom():
                await unit.case_members.clear(became.id)
                owner = () if became.owner is None else (became.owner,)
                await unit.case_members.add(became.id, [*owner, *event.members])
            case e.MemberInvited():
                await unit.case_members.add(became.id, [event.agent])
            case e.MemberRemoved():
                await unit.case_members.remove(became.id, event.agent)
            case e.ConversationClaimed() | e.ConversationAssigned() if became.is_in_room:
                await unit.case_members.add(became.id, [event.agent])
            case _:
                pass
