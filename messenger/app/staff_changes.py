"""Staff changes its mind: a message is edited or taken back, a claim is withdrawn."""

from dataclasses import dataclass, replace
from datetime import datetime

from messenger.app import asking
from messenger.app.access import conversation_and_seat
from messenger.app.items import StaffRedacted, StaffSaid
from messenger.app.reactions import reaction_removed
from messenger.app.records import Seat, StoredMessage, Trace
from messenger.app.staff_messages import actor_of, explain_kept, group_of, mentions_us, tell
from messenger.app.starting import text_after_contact
from messenger.app.turn import NotYet, Turn
from messenger.app.waits import moment_asked
from messenger.channels.messages import Content
from messenger.domain.commands import ReleaseConversation
from messenger.domain.conversation import Conversation, State
from messenger.domain.events import ChangeKeptBack
from messenger.domain.people import Role
from messenger.domain.replies import Fate, Said, is_command
from messenger.domain.staff_commands import COMMANDS, Asked, parse
from messenger.i18n import texts

# A claim and its taking back may be handled side by side; most redactions concern team chat, so the wait is short.
REDACTION_TRIES = 10
EDIT_TRIES = 10
_LATER = next(command for command in COMMANDS if command.name == "later")


async def staff_edited(turn: Turn, item: StaffSaid) -> None:
    """Only the author's edits count (client-server API, "Validity of replacement events")."""
    trace = await turn.unit.messages.find_trace(item.account, item.edits or "")
    if trace is None:
        raise NotYet("target of an edit", tries=EDIT_TRIES)
    own = await _own_message(turn, trace, item.sender)
    if own is None:
        return
    conversation, seat, message = own
    stored = await standing(turn, conversation, message, is_waiting=await _is_waiting(turn, message))
    new = await _new_words(turn, item, conversation, stored)
    # Who has no seat there any more (it was handed to another group) can only note.
    role = seat.role if seat else Role.CLERK
    command = asking.edit(stored, new.said, role=role, at=new.at, stood_at=new.stood_at)
    command = replace(command, place=await _former_place(turn, conversation, trace))
    events = await turn.change_fate(conversation.id, conversation, command, actor=f"agent:{message.author}")
    if any(isinstance(event, ChangeKeptBack) for event in events):
        return
    changed = replace(message, content=replace(new.content, media=message.content.media), edited_at=item.at)
    await turn.unit.messages.replace_content(changed)
    if seat is not None and new.trouble:
        tell(
            turn,
            conversation,
            seat,
            f"later.{new.trouble}",
            example=_LATER.example_in(texts(seat.agent.language).language),
        )
    if seat is not None:
        await explain_kept(turn, conversation, seat, events, four_eyes=command.four_eyes)


async def staff_redacted(turn: Turn, item: StaffRedacted) -> None:
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None:
        if await reaction_removed(turn, item.account, item.target):
            return None
        raise NotYet("target of a redaction", tries=REDACTION_TRIES)
    if trace.kind == "claim":
        return await _claim_withdrawn(turn, item, trace)
    own = await _own_message(turn, trace, item.sender)
    if own is not None:
        conversation, _, message = own
        place = await _former_place(turn, conversation, trace)
        await _take_back(turn, item, conversation, message, place=place)


async def _former_place(turn: Turn, conversation: Conversation, trace: Trace) -> int | None:
    """The number of the place where it was written, if its people do not read the conversation's place now."""
    places = await turn.unit.conversations.places(conversation.id)
    written = next((row for row in reversed(places) if row.room == trace.room), None)
    return written.number if written is not None and written.room != places[-1].room else None


async def _take_back(
    turn: Turn, item: StaffRedacted, conversation: Conversation, message: StoredMessage, *, place: int | None
) -> None:
    stored = await standing(turn, conversation, message, is_waiting=await _is_waiting(turn, message))
    command = replace(asking.deletion(stored), place=place)
    events = await turn.change_fate(conversation.id, conversation, command, actor=f"agent:{message.author}")
    if not any(isinstance(event, ChangeKeptBack) for event in events):
        await turn.unit.messages.mark_deleted(message.id, at=item.at)


async def _claim_withdrawn(turn: Turn, item: StaffRedacted, trace: Trace) -> None:
    """The owner removes the reaction and thereby releases."""
    assert trace.conversation is not None
    conversation, seat = await conversation_and_seat(turn.unit, trace.conversation, item.sender)
    is_in_work = conversation.state in (State.OPEN, State.PAUSED)
    if seat is not None and is_in_work and conversation.is_owned_by(seat.agent.id):
        command = ReleaseConversation(agent=seat.agent.id, role=seat.role)
        await turn.change_fate(conversation.id, conversation, command, actor=actor_of(seat))


async def _own_message(turn: Turn, trace: Trace, sender: str) -> tuple[Conversation, Seat | None, StoredMessage] | None:
    """The staff message behind an event, if this person wrote it, with its conversation and their seat there now. It is
    read under the conversation's lock: somebody may have approved it a moment ago."""
    if trace.kind != "origin" or trace.message is None or trace.conversation is None:
        return None
    conversation, seat = await conversation_and_seat(turn.unit, trace.conversation, sender)
    message = await turn.unit.messages.get(trace.message)
    if message.author is None or message.is_deleted or message.is_erased:
        return None
    author = await turn.unit.people.agent(message.author)
    return (conversation, seat, message) if author.address == sender else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    """What an edit puts in the place of a message; `at`: and when it shall leave, `stood_at`: when it was to leave, for
    one that is to leave later; `trouble`: the code of what was wrong with its new time."""

    said: Said
    content: Content
    at: datetime | None = None
    stood_at: datetime | None = None
    trouble: str = ""


async def _new_words(turn: Turn, item: StaffSaid, conversation: Conversation, stored: asking.Standing) -> _New:
    """An edited `!r`, `!later` or `!start` is still one; any other command is no answer."""
    said = Said(
        type=item.type,
        text=item.content.text,
        mentions_staff=await mentions_us(turn, item),
        is_from_trusted_device=item.owner_signed,
    )
    asked = parse(said.text) if is_command(said) else None
    text, at, trouble = None, None, ""
    shall_leave = stored.message.id in conversation.scheduled or stored.message.fate is Fate.HELD or stored.is_draft
    stood_at = stored.time if shall_leave else None
    if isinstance(asked, Asked) and asked.command.name == "start":
        text = await text_after_contact(turn, asked.text) or None
    if isinstance(asked, Asked) and asked.command.name == "r":
        text = asked.text
    if isinstance(asked, Asked) and asked.command.name == "later" and stood_at is not None:
        when = moment_asked(asked.text, await turn.group(group_of(conversation)), turn.unit.now)
        trouble, text, at = (when, None, None) if isinstance(when, str) else ("", when.rest, when.until)
    if text is None:
        return _New(said=said, content=item.content, stood_at=stood_at, trouble=trouble)
    content = replace(item.content, text=text, html="")
    return _New(said=replace(said, text=text, is_explicit=True), content=content, at=at, stood_at=stood_at)


async def standing(
    turn: Turn, conversation: Conversation, message: StoredMessage, *, is_waiting: bool = False
) -> asking.Standing:
    assert message.author is not None
    return asking.Standing(
        message=message,
        author=message.author,
        log=await turn.unit.conversations.history(conversation.id),
        group=await turn.group(group_of(conversation)),
        now=turn.unit.now,
        is_waiting=is_waiting,
        is_customer_room_safe=await turn.unit.chats.is_safe(conversation.chat),
    )


async def _is_waiting(turn: Turn, message: StoredMessage) -> bool:
    return message.fate is Fate.QUEUED and await turn.unit.outbox.keep_back(message.id)
