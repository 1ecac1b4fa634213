"""What staff does at the places: write in a thread, react on a card, take a reaction back."""

from messenger.app.effects import AnswerInRoom, React, RemoveReaction, TellGroup
from messenger.app.items import DeviceLeftOut, StaffReacted, StaffRedacted, StaffSaid, Unreadable
from messenger.app.orders import carry_out
from messenger.app.ports import Seat, StoredMessage, Trace
from messenger.app.staff_messages import actor_of, add_message, claim, explain_refusal, group_of, mentions_us, refuse
from messenger.app.turn import NotYet, Turn
from messenger.domain.commands import ApproveMessage, ReleaseConversation
from messenger.domain.conversation import Conversation
from messenger.domain.errors import AlreadyYours, DomainError
from messenger.domain.events import NoteKept
from messenger.domain.ids import ConversationId, MessageId
from messenger.domain.replies import MARKERS, Fate, Said, is_command
from messenger.domain.staff_commands import Asked, Unknown, parse
from messenger.i18n import texts

CLAIM_KEYS = frozenset({"👀", "🙋"})
APPROVE_KEY = "📤"
_LEFT_OUT = {"m.unverified": "S31.not_signed", "m.no_olm": "S31.no_keys"}
# A claim and its taking back may be handled side by side; most redactions concern team chat, so the wait is short.
REDACTION_TRIES = 10
# A card is seen before we have noted it, and a crash may lie between; a thread of team chat is never noted.
CARD_TRIES = 10
# Emoji differ by variation selectors, skin tones and genders (joined signs) between keyboards; the meaning is the same.
_IGNORED_IN_KEYS = dict.fromkeys([0x200D, 0x2640, 0x2642, 0xFE0E, 0xFE0F, *range(0x1F3FB, 0x1F400)])


async def staff_said(turn: Turn, item: StaffSaid) -> None:
    if item.edits:
        return await _edited(turn, item)
    trace = await turn.unit.messages.find_trace(item.account, item.thread) if item.thread else None
    if trace is None and item.thread:
        raise NotYet("card", tries=CARD_TRIES)
    if trace is None or trace.kind != "card" or trace.conversation is None:
        return await _outside_of_places(turn, item)
    conversation, seat = await _conversation_and_seat(turn, trace.conversation, item.sender)
    if seat is None:
        return None
    said = Said(type=item.type, text=item.content.text, mentions_staff=await mentions_us(turn, item))
    if not is_command(said):
        return await add_message(turn, item, item.content, conversation, seat, said)
    match parse(item.content.text):
        case Unknown() as unknown:
            refuse(turn, conversation, "S10" if unknown.guess else "S10.plain", word=unknown.word, guess=unknown.guess)
            _mark(turn, item, Fate.FAILED)
        case Asked() as asked:
            await _obey(turn, item, conversation, seat, asked)


async def _edited(turn: Turn, item: StaffSaid) -> None:
    """An edit of a sent answer is not sent on; who made it must know that the customer has the first version."""
    trace = await turn.unit.messages.find_trace(item.account, item.edits) if item.edits else None
    if trace is None or trace.kind != "origin" or trace.message is None or trace.conversation is None:
        return
    message = await turn.unit.messages.get(trace.message)
    if message.author is not None and message.fate in (Fate.QUEUED, Fate.SENT, Fate.DELIVERED):
        conversation = await turn.unit.conversations.lock(trace.conversation)
        refuse(turn, conversation, "S14")


async def staff_reacted(turn: Turn, item: StaffReacted) -> None:
    key = item.key.translate(_IGNORED_IN_KEYS)
    if key not in CLAIM_KEYS and key != APPROVE_KEY:
        return
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None or trace.conversation is None:
        raise NotYet("target of a reaction")
    conversation, seat = await _conversation_and_seat(turn, trace.conversation, item.sender)
    if seat is None:
        return
    if key in CLAIM_KEYS and trace.kind == "card":
        await _claim_by_reaction(turn, item, conversation, seat)
    elif key == APPROVE_KEY and trace.kind == "origin" and trace.message is not None:
        await _approve_by_reaction(turn, item, conversation, seat, trace.message)


async def staff_redacted(turn: Turn, item: StaffRedacted) -> None:
    """A claim that is taken back: the owner removes the reaction and thereby releases."""
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None:
        raise NotYet("target of a redaction", tries=REDACTION_TRIES)
    if trace.kind != "claim" or trace.conversation is None:
        return
    conversation, seat = await _conversation_and_seat(turn, trace.conversation, item.sender)
    if seat is not None and conversation.is_owned_by(seat.agent.id):
        command = ReleaseConversation(agent=seat.agent.id, role=seat.role)
        await turn.act(conversation.id, conversation, command, actor=actor_of(seat))


async def staff_message_unreadable(turn: Turn, item: Unreadable) -> None:
    """Only in a conversation's thread: an unreadable line of team chat concerns nobody but the team."""
    trace = await turn.unit.messages.find_trace(item.account, item.thread) if item.thread else None
    if trace is None or trace.conversation is None:
        return
    conversation, seat = await _conversation_and_seat(turn, trace.conversation, item.sender)
    if seat is not None:
        refuse(turn, conversation, "S25.staff", at=item.at.isoformat(), name=seat.agent.name)


async def device_left_out(turn: Turn, item: DeviceLeftOut) -> None:
    """Who reads nothing must know why. Customers' devices are all served; a silent one there is none of the team's
    care."""
    text = _LEFT_OUT.get(item.code)
    group = await turn.unit.people.group_of_room(item.room)
    if group is not None and text is not None:
        turn.effects.append(TellGroup(group=group.id, text=text, person=item.user, fields={"device": item.device}))


async def _obey(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    if not asked.is_complete:
        example = asked.command.example_in(texts(seat.agent.language).language)
        refuse(turn, conversation, "S10b", usage=asked.command.usage, example=example)
        return _mark(turn, item, Fate.FAILED)
    try:
        is_message = await carry_out(turn, item, conversation, seat, asked)
    except DomainError as error:
        explain_refusal(turn, conversation, error)
        return _mark(turn, item, Fate.FAILED)
    if not is_message:
        _mark(turn, item, Fate.DONE)


def _mark(turn: Turn, item: StaffSaid, fate: Fate) -> None:
    """The one marker of a command; a message's marker follows its stored fate."""
    turn.effects.append(React(room=item.room, event=item.event, key=MARKERS[fate]))


async def _claim_by_reaction(turn: Turn, item: StaffReacted, conversation: Conversation, seat: Seat) -> None:
    try:
        await claim(turn, conversation, seat)
    except AlreadyYours:
        return None
    except DomainError as error:
        turn.effects.append(RemoveReaction(room=item.room, event=item.event))
        return explain_refusal(turn, conversation, error)
    await turn.unit.messages.add_trace(
        Trace(account=item.account, room=item.room, remote_id=item.event, kind="claim", conversation=conversation.id)
    )


async def _approve_by_reaction(
    turn: Turn, item: StaffReacted, conversation: Conversation, seat: Seat, id: MessageId
) -> None:
    message = await turn.unit.messages.get(id)
    if message.author is None or not (message.fate is Fate.HELD or await _is_draft(turn, conversation, message)):
        return
    group = await turn.unit.people.group(group_of(conversation))
    command = ApproveMessage(
        message=id, author=message.author, by=seat.agent.id, role=seat.role, mode=group.reply_mode, is_held=True
    )
    try:
        await turn.change_fate(conversation.id, conversation, command, actor=actor_of(seat))
    except DomainError as error:
        turn.effects.append(RemoveReaction(room=item.room, event=item.event))
        explain_refusal(turn, conversation, error)


async def _is_draft(turn: Turn, conversation: Conversation, message: StoredMessage) -> bool:
    """Kept only because the group sends nothing unasked. A note is no draft, whatever the group's mode is."""
    if message.fate is not Fate.KEPT:
        return False
    verdicts = [
        entry.event
        for entry in await turn.unit.conversations.history(conversation.id)
        if isinstance(entry.event, NoteKept) and entry.event.message == message.id
    ]
    return bool(verdicts) and verdicts[-1].reason == "draft"


async def _outside_of_places(turn: Turn, item: StaffSaid) -> None:
    """Team chat. Only who answers to a card or a thread message in the wrong place is told so."""
    trace = (
        await turn.unit.messages.find_trace(item.account, item.reply_to) if item.reply_to and not item.thread else None
    )
    if trace is not None and trace.conversation is not None:
        conversation = await turn.unit.conversations.lock(trace.conversation)
        turn.effects.append(AnswerInRoom(room=item.room, event=item.event, text="S26", conversation=conversation.id))


async def _conversation_and_seat(turn: Turn, id: ConversationId, address: str) -> tuple[Conversation, Seat | None]:
    conversation = await turn.unit.conversations.lock(id)
    return conversation, await turn.unit.people.seat(group_of(conversation), address)
