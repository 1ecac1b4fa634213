"""Staff messages on their way to a verdict, and what the desk says about those that stay inside."""

from collections.abc import Sequence
from dataclasses import replace

from messenger.app.effects import PostNotice
from messenger.app.items import StaffSaid
from messenger.app.ports import Seat, StoredMessage, Trace
from messenger.app.turn import Turn
from messenger.channels.messages import Content
from messenger.domain.commands import AddStaffMessage, ClaimConversation
from messenger.domain.conversation import Conversation
from messenger.domain.errors import ClaimLost, DomainError, NotAllowed
from messenger.domain.events import Event, NoteKept
from messenger.domain.ids import GroupId, MessageId
from messenger.domain.people import DevicePolicy
from messenger.domain.replies import Said


async def add_message(
    turn: Turn, item: StaffSaid, content: Content, conversation: Conversation, seat: Seat, said: Said
) -> None:
    """Stores what staff wrote at the conversation's place and lets the reply rule decide where it goes."""
    group = await turn.unit.people.group(group_of(conversation))
    said = replace(said, is_from_trusted_device=item.owner_signed or group.device_policy is DevicePolicy.ANY)
    id = MessageId(turn.unit.new_id("message", item.account, item.event))
    message = StoredMessage(
        id=id,
        conversation=conversation.id,
        author=seat.agent.id,
        fate=None,
        content=content,
        at=item.at,
        type=item.type,
    )
    trace = Trace(
        account=item.account,
        room=item.room,
        remote_id=item.event,
        kind="origin",
        conversation=conversation.id,
        message=id,
    )
    command = AddStaffMessage(message=id, author=seat.agent.id, role=seat.role, said=said, mode=group.reply_mode)
    events = await turn.act(conversation.id, conversation, command, actor=actor_of(seat), message=message, trace=trace)
    await _explain_kept(turn, conversation, seat, events)


async def mentions_us(turn: Turn, item: StaffSaid) -> bool:
    """A colleague or the desk: then the words are probably meant for them and not for the customer."""
    return item.account in item.mentions or await turn.unit.people.is_staff(item.mentions)


async def claim(turn: Turn, conversation: Conversation, seat: Seat) -> None:
    """Raises DomainError."""
    gone = await _owner_is_gone(turn, conversation)
    command = ClaimConversation(agent=seat.agent.id, role=seat.role, owner_is_gone=gone)
    await turn.act(conversation.id, conversation, command, actor=actor_of(seat))


async def _owner_is_gone(turn: Turn, conversation: Conversation) -> bool:
    """Has the owner left the group? Then the conversation must not stay behind with them."""
    if conversation.owner is None:
        return False
    owner = await turn.unit.people.agent(conversation.owner)
    return await turn.unit.people.seat(group_of(conversation), owner.address) is None


def refuse(turn: Turn, conversation: Conversation, text: str, **fields: str) -> None:
    turn.effects.append(PostNotice(conversation=conversation.id, text=text, fields=fields))


def explain_refusal(turn: Turn, conversation: Conversation, error: DomainError) -> None:
    owner = str(conversation.owner or "")
    match error:
        case ClaimLost():
            refuse(turn, conversation, "S3b", owner=owner, at=error.at.isoformat() if error.at else "")
        case NotAllowed():
            refuse(turn, conversation, f"S10c.{error.who}", action=error.action)
        case _:
            refuse(turn, conversation, error.text, action=getattr(error, "action", ""), owner=owner)


def actor_of(seat: Seat) -> str:
    return f"agent:{seat.agent.id}"


def group_of(conversation: Conversation) -> GroupId:
    assert conversation.group is not None, "a conversation with a card has a group"
    return conversation.group


async def _explain_kept(turn: Turn, conversation: Conversation, seat: Seat, events: Sequence[Event]) -> None:
    """A note by intent needs no explanation. One by rule does: once per person and thread."""
    for event in events:
        if not isinstance(event, NoteKept):
            continue
        if event.reason == "type":
            refuse(turn, conversation, "S12")
        elif event.reason == "device":
            refuse(turn, conversation, "S11.device", name=seat.agent.name)
        elif event.reason in ("not_owner", "no_owner") and not await _was_told(turn, conversation, seat):
            refuse(turn, conversation, f"S11.{event.reason}", owner=str(conversation.owner or ""))


async def _was_told(turn: Turn, conversation: Conversation, seat: Seat) -> bool:
    return await turn.unit.messages.is_told(conversation.id, seat.agent.id, "S11")
