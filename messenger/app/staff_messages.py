"""Staff messages on their way to a verdict, and what the desk says about those that stay inside."""

from collections.abc import Sequence
from dataclasses import replace

from messenger.app.effects.staff import AnswerInRoom, React
from messenger.app.effects.thread import PostNotice
from messenger.app.items import StaffSaid
from messenger.app.records import Seat, StoredMessage, Trace
from messenger.app.sight import answered_message, owner_is_away
from messenger.app.turn import Turn
from messenger.channels.messages import Content
from messenger.domain.commands import AddStaffMessage, ClaimConversation
from messenger.domain.conversation import Conversation
from messenger.domain.errors import ClaimLost, DomainError, NotAllowed, NotNow
from messenger.domain.events import Event, NoteKept
from messenger.domain.ids import GroupId, MessageId
from messenger.domain.people import DevicePolicy
from messenger.domain.replies import MARKERS, Fate, Said


class Refusal(DomainError):
    """What a command asks for cannot be done; `text` of the catalogue says why, with these fields."""

    def __init__(self, text: str, **fields: str) -> None:
        super().__init__(text)
        self.text, self.fields = text, fields


async def add_message(
    turn: Turn, item: StaffSaid, content: Content, conversation: Conversation, seat: Seat, said: Said
) -> None:
    """Stores what staff wrote at the conversation's place and lets the reply rule decide where it goes."""
    group = await turn.group(group_of(conversation))
    said = replace(said, is_from_trusted_device=item.owner_signed or group.device_policy is DevicePolicy.ANY)
    message = stored(turn, item, content, conversation, seat)
    message = replace(message, reply_to=await answered_message(turn, item.account, item.reply_to))
    trace = Trace(
        account=item.account,
        room=item.room,
        remote_id=item.event,
        kind="origin",
        conversation=conversation.id,
        message=message.id,
    )
    command = AddStaffMessage(
        message=message.id,
        author=seat.agent.id,
        role=seat.role,
        said=said,
        mode=group.reply_mode,
        four_eyes=group.four_eyes,
        is_customer_room_safe=await turn.unit.chats.is_safe(conversation.chat),
    )
    events = await turn.act(conversation.id, conversation, command, actor=actor_of(seat), message=message, trace=trace)
    await explain_kept(turn, conversation, seat, events, four_eyes=group.four_eyes)


def stored(turn: Turn, item: StaffSaid, content: Content, conversation: Conversation, seat: Seat) -> StoredMessage:
    return StoredMessage(
        id=MessageId(turn.unit.new_id("message", item.account, item.event)),
        conversation=conversation.id,
        author=seat.agent.id,
        fate=None,
        content=content,
        at=item.at,
        type=item.type,
    )


async def mentions_us(turn: Turn, item: StaffSaid) -> bool:
    """A colleague or the desk: then the words are probably meant for them and not for the customer."""
    return item.account in item.mentions or await turn.unit.people.is_staff(item.mentions)


async def claim(turn: Turn, conversation: Conversation, seat: Seat) -> None:
    """Raises DomainError."""
    command = ClaimConversation(
        agent=seat.agent.id, role=seat.role, owner_is_away=await owner_is_away(turn, conversation)
    )
    await turn.change_fate(conversation.id, conversation, command, actor=actor_of(seat))


def tell(turn: Turn, conversation: Conversation, seat: Seat, text: str, **fields: str) -> None:
    """A line for this person, in their language: in the thread, or where they gave the command."""
    if turn.answer_to is not None:
        return answer_beside(turn, turn.answer_to, conversation, seat, text, **fields)
    notice = PostNotice(conversation=conversation.id, text=text, fields=fields, reader=seat.agent.id)
    turn.effects.append(notice)


def answer_beside(
    turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, text: str, **fields: str
) -> None:
    """A line about the conversation beside a command, wherever that was given; it can link to the thread."""
    answer = AnswerInRoom(
        room=item.room,
        event=item.event,
        thread=item.thread,
        conversation=conversation.id,
        text=text,
        fields=fields,
        reader=seat.agent.id,
    )
    turn.effects.append(answer)


def explain_refusal(turn: Turn, conversation: Conversation, seat: Seat, error: DomainError) -> None:
    text, fields = refusal_text(error, str(conversation.owner or ""))
    tell(turn, conversation, seat, text, **fields)


def refusal_text(error: DomainError, owner: str = "") -> tuple[str, dict[str, str]]:
    """Which text of the catalogue says why, and its fields."""
    match error:
        case ClaimLost():
            return "S3b", {"owner": owner, "at": error.at.isoformat() if error.at else ""}
        case NotAllowed():
            return f"S10c.{error.who}", {"action": error.action}
        case Refusal():
            return error.text, error.fields
        case NotNow():
            return f"S10c.now.{error.state}", {"action": error.action}
        case _:
            return error.text, {"action": getattr(error, "action", ""), "owner": owner}


def mark(turn: Turn, item: StaffSaid, fate: Fate) -> None:
    """The one marker of a command; a message's marker follows its stored fate."""
    if turn.has_mark:
        return
    turn.effects.append(React(room=item.room, event=item.event, key=MARKERS[fate]))


def actor_of(seat: Seat) -> str:
    return f"agent:{seat.agent.id}"


def group_of(conversation: Conversation) -> GroupId:
    assert conversation.group is not None, "a conversation with a card has a group"
    return conversation.group


async def explain_kept(
    turn: Turn, conversation: Conversation, seat: Seat, events: Sequence[Event], *, four_eyes: bool
) -> None:
    """A note by intent needs no explanation. One by rule does: once per person and thread."""
    for event in events:
        if not isinstance(event, NoteKept):
            continue
        if event.reason == "type":
            tell(turn, conversation, seat, "S12")
        elif event.reason == "device":
            tell(turn, conversation, seat, "S11.device", name=seat.agent.name)
        elif event.reason == "draft" and four_eyes:
            turn.effects.append(PostNotice(conversation=conversation.id, text="S9", fields={"by": str(seat.agent.id)}))
        elif event.reason in ("not_owner", "no_owner") and not await _was_told(turn, conversation, seat):
            tell(turn, conversation, seat, f"S11.{event.reason}", owner=str(conversation.owner or ""))


async def _was_told(turn: Turn, conversation: Conversation, seat: Seat) -> bool:
    return await turn.unit.messages.is_told(conversation.id, seat.agent.id, "S11")
