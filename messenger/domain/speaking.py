"""What is said: which staff message leaves, and what happens when one is approved, changed or taken back. The rule
itself, which never looks at a conversation, stands in `replies`."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation
from messenger.domain.errors import NotAllowed, NotHeld, NotYourConversation, OwnDraft, RoomUnsafe
from messenger.domain.ids import AgentId, MessageId
from messenger.domain.people import ReplyMode
from messenger.domain.replies import Fate, Ruling, Standing, Verdict, rule

Saying = c.AddStaffMessage | c.EditStaffMessage | c.ScheduleReply
# Why the customer does not get a change, by the ruling on the new words; for any other reason they would be a note.
_KEPT_BACK = {
    "answer": "late",
    "resolved": "late",
    "draft": "draft",
    "unsafe": "unsafe",
    "device": "device",
    "not_owner": "not_owner",
    "no_owner": "not_owner",
    "role": "not_owner",
}
ON_ITS_WAY = frozenset({Fate.QUEUED.value, Fate.SENT.value, Fate.DELIVERED.value})


def add_staff_message(conversation: Conversation, command: c.AddStaffMessage) -> Sequence[e.Event]:
    ruling = ruling_for(conversation, command)
    match ruling.verdict:
        case Verdict.SEND:
            resumed = resumed_by_reply(conversation, by=command.author)
            return [*resumed, accepted(command.message, command.author)]
        case Verdict.HOLD | Verdict.KEEP:
            return _inside(command.message, command.author, ruling)
        case Verdict.COMMAND | Verdict.IGNORE:
            return []
        case _:
            assert_never(ruling.verdict)


def schedule_reply(conversation: Conversation, command: c.ScheduleReply) -> Sequence[e.Event]:
    ruling = ruling_for(conversation, command)
    if ruling.verdict is Verdict.SEND:
        if not conversation.is_owned_by(command.author):
            raise NotYourConversation(action="later", owner=conversation.owner, is_owners_alone=True)
        return [e.ReplyScheduled(message=command.message, author=command.author, at=command.at)]
    return _inside(command.message, command.author, ruling, later=command.at)


def send_scheduled(conversation: Conversation, command: c.SendScheduled) -> Sequence[e.Event]:
    """Once, and only if it still stands: whatever cancelled it has taken it off the list."""
    if command.message not in conversation.scheduled:
        return []
    if not command.is_customer_room_safe:
        return [
            e.ScheduleCancelled(message=command.message, author=command.author, reason="withdrawn"),
            e.ReplyHeld(message=command.message, author=command.author, reason="unsafe"),  # its time has come
        ]
    return [*resumed_by_reply(conversation), accepted(command.message, command.author)]


def edit_staff_message(conversation: Conversation, command: c.EditStaffMessage) -> Sequence[e.Event]:
    """What was kept stays kept. What waits leaves in its new words, if those may leave at all; what has left is
    followed by the change. No edit ever turns a note into an answer, and a draft whose new words are a note is none
    any more."""
    if command.was not in ON_ITS_WAY and command.was != Fate.HELD.value and not command.is_draft:
        return []
    ruling = ruling_for(conversation, command)
    if command.is_draft:
        return _edit_of_draft(command, ruling)
    if command.was == Fate.HELD.value:
        return _edit_of_held(command, ruling)
    if command.message in conversation.scheduled:
        return _edit_of_scheduled(command, ruling)
    if command.is_waiting:
        return _edit_of_waiting(command, ruling)
    # A correction opens nothing again that is resolved.
    if command.may_follow and (ruling.verdict is Verdict.SEND or ruling.reason == "resolved"):
        return [e.ReplyEdited(message=command.message, author=command.author, is_sent=True)]
    return [_kept_back(command, _KEPT_BACK.get(ruling.reason, "note"))]


def delete_staff_message(conversation: Conversation, command: c.DeleteStaffMessage) -> Sequence[e.Event]:
    if command.message in conversation.scheduled:
        return [e.ScheduleCancelled(message=command.message, author=command.author, reason="withdrawn")]
    if command.was == Fate.HELD.value:
        return [e.NoteKept(message=command.message, author=command.author, reason="withdrawn")]
    if command.was not in ON_ITS_WAY:
        return []
    if command.is_waiting:
        return [e.ReplyCancelled(message=command.message, author=command.author)]
    if command.may_follow:
        return [e.ReplyRecalled(message=command.message, author=command.author)]
    return [_kept_back(command, "late")]


def approve(conversation: Conversation, command: c.ApproveMessage) -> Sequence[e.Event]:
    """Who approves speaks to the customer, so the rule is that of an answer: the owner, and in mode `open` any agent.
    With four eyes it is anybody who may answer, but never the author. Into a room that is not safe any more nobody lets
    anything go."""
    if not command.is_held:
        raise NotHeld()
    if not command.role.can_answer:
        raise NotAllowed(action="approve", who="agent")
    if command.four_eyes and command.by == command.author:
        raise OwnDraft()
    is_free = command.four_eyes or command.mode is ReplyMode.OPEN
    if not is_free and not conversation.is_owned_by(command.by):
        raise NotYourConversation(action="approve", owner=conversation.owner, is_owners_alone=True)
    if not command.is_customer_room_safe:
        raise RoomUnsafe()
    if command.at is not None:
        return _approved_for_later(conversation, command, command.at)
    return [
        *resumed_by_reply(conversation, by=command.by),
        accepted(command.message, command.author, approved_by=command.by),
    ]


def _approved_for_later(conversation: Conversation, command: c.ApproveMessage, at: datetime) -> Sequence[e.Event]:
    """It keeps its time. What shall leave later belongs to an owner: with nobody there, nobody could stop it."""
    if conversation.owner is None:
        raise NotYourConversation(action="later", owner=None)
    reopened = resumed_by_reply(conversation, by=command.by) if conversation.is_resolved else []
    return [*reopened, e.ReplyScheduled(message=command.message, author=command.author, at=at)]


def withdraw(conversation: Conversation, command: c.WithdrawMessage) -> Sequence[e.Event]:
    if command.message in conversation.scheduled:
        return [e.ScheduleCancelled(message=command.message, author=command.author, reason="withdrawn")]
    if not command.is_held:
        raise NotHeld()
    return [e.NoteKept(message=command.message, author=command.author, reason="withdrawn")]


def ruling_for(conversation: Conversation, command: Saying) -> Ruling:
    standing = Standing(
        role=command.role,
        is_owner=conversation.is_owned_by(command.author),
        has_owner=conversation.owner is not None,
        mode=command.mode,
        four_eyes=command.four_eyes,
        is_resolved=conversation.is_resolved,
        is_customer_room_safe=command.is_customer_room_safe,
    )
    return rule(command.said, standing)


def accepted(message: MessageId, author: AgentId, approved_by: AgentId | None = None) -> e.ReplyAccepted:
    return e.ReplyAccepted(message=message, author=author, approved_by=approved_by)


def resumed_by_reply(conversation: Conversation, *, by: AgentId | None = None) -> Sequence[e.Event]:
    """Who answers goes on with it: a pause ends, and what was resolved is open again."""
    if conversation.is_paused:
        return [e.ConversationResumed(cause="reply", by=by or conversation.owner)]
    if conversation.is_resolved:
        return [e.ConversationReopened(cause="reply", owner=conversation.owner)]
    return []


def _edit_of_draft(command: c.EditStaffMessage, ruling: Ruling) -> Sequence[e.Event]:
    """Nothing leaves by an edit. It stays a draft as long as its words could be an answer."""
    if ruling.verdict in (Verdict.SEND, Verdict.HOLD) or ruling.reason == "draft":
        if command.at in (None, command.stood_at):
            return []
        return [e.NoteKept(message=command.message, author=command.author, reason="draft", later=command.at)]
    return _inside(command.message, command.author, ruling)


def _kept_back(command: c.EditStaffMessage | c.DeleteStaffMessage, reason: str) -> e.ChangeKeptBack:
    return e.ChangeKeptBack(message=command.message, author=command.author, reason=reason, place=command.place)


def _edit_of_held(command: c.EditStaffMessage, ruling: Ruling) -> Sequence[e.Event]:
    """It still waits for a person, in its new words; unless those are a note now."""
    later = command.at or command.stood_at
    if ruling.verdict in (Verdict.SEND, Verdict.HOLD):
        return [e.ReplyHeld(message=command.message, author=command.author, reason="edited", later=later)]
    if ruling.reason == "draft":
        return [e.NoteKept(message=command.message, author=command.author, reason="draft", later=later)]
    return [e.NoteKept(message=command.message, author=command.author, reason="note")]


def _edit_of_scheduled(command: c.EditStaffMessage, ruling: Ruling) -> Sequence[e.Event]:
    if ruling.verdict is Verdict.SEND and command.at is not None:
        return [e.ReplyScheduled(message=command.message, author=command.author, at=command.at)]
    if ruling.verdict is Verdict.SEND:
        return [e.ReplyEdited(message=command.message, author=command.author, is_sent=False)]
    cancelled = e.ScheduleCancelled(message=command.message, author=command.author, reason="withdrawn")
    return [cancelled, *_inside(command.message, command.author, ruling, later=command.at or command.stood_at)]


def _edit_of_waiting(command: c.EditStaffMessage, ruling: Ruling) -> Sequence[e.Event]:
    if ruling.verdict is Verdict.SEND:
        return [e.ReplyEdited(message=command.message, author=command.author, is_sent=False)]
    cancelled = e.ReplyCancelled(message=command.message, author=command.author)
    return [cancelled, *_inside(command.message, command.author, ruling)]


def _inside(message: MessageId, author: AgentId, ruling: Ruling, *, later: datetime | None = None) -> Sequence[e.Event]:
    if ruling.verdict is Verdict.HOLD:
        return [e.ReplyHeld(message=message, author=author, reason=ruling.reason, later=later)]
    reason = "note" if ruling.verdict is Verdict.COMMAND else ruling.reason
    return [e.NoteKept(message=message, author=author, reason=reason, later=later if reason == "draft" else None)]
