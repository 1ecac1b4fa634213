"""The conversation: everything between one customer's matter and the organisation.

    new ──queue──▶ queued ──claim──▶ open
                     ▲                 │
                     └─────release─────┘

A conversation begins with the customer's first message. Routing puts it into a skill group's queue; one agent claims it
and is its owner: from then on the owner speaks to the customer, everybody else in the group reads along and writes
notes. Exactly one person can own it. Whose turn it is (`waiting_since`) is derived from messages, not a state.

`decide` answers a command with the events that follow from it, or raises a DomainError whose text a person can act on.
`evolve` applies one event. Both are pure: time and ids come in with the command. Folding the events of the log with
`evolve` gives the stored conversation again, bit for bit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.errors import AlreadyYours, ClaimLost, NotAllowed, NotHeld, NotYourConversation
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId
from messenger.domain.people import ReplyMode
from messenger.domain.replies import Ruling, Standing, Verdict, rule


class State(StrEnum):
    NEW = "new"
    QUEUED = "queued"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """`version` is the number of events so far; `waiting_since` is set while the customer waits for us; `claimed_at` is
    the time of the last claim, also after a release."""

    id: ConversationId
    version: int
    number: str
    contact: ContactId
    chat: ChatId
    language: str
    state: State
    opened_at: datetime
    group: GroupId | None = None
    owner: AgentId | None = None
    claimed_at: datetime | None = None
    waiting_since: datetime | None = None

    @property
    def is_released(self) -> bool:
        return self.owner is None and self.claimed_at is not None

    def is_owned_by(self, agent: AgentId) -> bool:
        return self.owner == agent


def decide(conversation: Conversation | None, command: c.Command) -> Sequence[e.Event]:
    """Returns the events, oldest first. Raises DomainError when the command is refused."""
    match command:
        case c.OpenConversation():
            return _open(command)
        case c.ReceiveMessage():
            return [e.MessageReceived(message=command.message)]
        case c.ClaimConversation():
            return _claim(_known(conversation), command)
        case c.ReleaseConversation():
            return _release(_known(conversation), command)
        case c.AddStaffMessage():
            return _add_staff_message(_known(conversation), command)
        case c.ApproveMessage():
            return _approve(_known(conversation), command)
        case c.WithdrawMessage():
            return _withdraw(command)
        case c.RecordDelivery():
            return [e.MessageDelivered(message=command.message)]
        case c.RecordFailure():
            return [e.MessageFailed(message=command.message, code=command.code)]
        case _:
            assert_never(command)


def evolve(conversation: Conversation | None, recorded: e.Recorded) -> Conversation:
    """The conversation after one event. Total: it never refuses, for what happened has happened."""
    event, at = recorded.event, recorded.at
    if isinstance(event, e.ConversationOpened):
        return Conversation(
            id=recorded.conversation,
            version=recorded.version,
            number=event.number,
            contact=event.contact,
            chat=event.chat,
            language=event.language,
            state=State.NEW,
            opened_at=at,
        )
    was = replace(_known(conversation), version=recorded.version)
    match event:
        case e.ConversationQueued():
            return replace(was, state=State.QUEUED, group=event.group, owner=None, claimed_at=None)
        case e.MessageReceived():
            return replace(was, waiting_since=was.waiting_since or at)
        case e.ConversationClaimed():
            return replace(was, state=State.OPEN, owner=event.agent, claimed_at=at)
        case e.ConversationReleased():
            return replace(was, state=State.QUEUED, owner=None)
        case e.ReplyAccepted():
            return replace(was, waiting_since=None)
        case e.NoteKept() | e.ReplyHeld() | e.MessageDelivered() | e.MessageFailed():
            return was
        case _:
            assert_never(event)


def fold(log: Iterable[e.Recorded]) -> Conversation | None:
    conversation: Conversation | None = None
    for recorded in log:
        conversation = evolve(conversation, recorded)
    return conversation


def _known(conversation: Conversation | None) -> Conversation:
    assert conversation is not None, "only OpenConversation works without a conversation"
    return conversation


def _open(command: c.OpenConversation) -> Sequence[e.Event]:
    return [
        e.ConversationOpened(
            number=command.number, contact=command.contact, chat=command.chat, language=command.language
        ),
        e.ConversationQueued(group=command.group, reason=command.routed_because),
        e.MessageReceived(message=command.message),
    ]


def _claim(conversation: Conversation, command: c.ClaimConversation) -> Sequence[e.Event]:
    if not command.role.can_answer:
        raise NotAllowed(action="claim", who="agent")
    if conversation.is_owned_by(command.agent):
        raise AlreadyYours()
    taken = e.ConversationClaimed(agent=command.agent)
    if conversation.owner is None:
        return [taken]
    if command.owner_is_gone:
        return [e.ConversationReleased(agent=conversation.owner), taken]
    raise ClaimLost(owner=conversation.owner, at=conversation.claimed_at)


def _release(conversation: Conversation, command: c.ReleaseConversation) -> Sequence[e.Event]:
    if conversation.owner is None:
        raise NotYourConversation(action="release", owner=None)
    if not conversation.is_owned_by(command.agent) and not command.is_lead:
        raise NotYourConversation(action="release", owner=conversation.owner)
    return [e.ConversationReleased(agent=conversation.owner)]


def _add_staff_message(conversation: Conversation, command: c.AddStaffMessage) -> Sequence[e.Event]:
    ruling = ruling_for(conversation, command)
    match ruling.verdict:
        case Verdict.SEND:
            return [e.ReplyAccepted(message=command.message, author=command.author)]
        case Verdict.HOLD:
            return [e.ReplyHeld(message=command.message, author=command.author, reason=ruling.reason)]
        case Verdict.KEEP:
            return [e.NoteKept(message=command.message, author=command.author, reason=ruling.reason)]
        case Verdict.COMMAND | Verdict.IGNORE:
            return []
        case _:
            assert_never(ruling.verdict)


def ruling_for(conversation: Conversation, command: c.AddStaffMessage) -> Ruling:
    standing = Standing(
        role=command.role,
        is_owner=conversation.is_owned_by(command.author),
        has_owner=conversation.owner is not None,
        mode=command.mode,
    )
    return rule(command.said, standing)


def _approve(conversation: Conversation, command: c.ApproveMessage) -> Sequence[e.Event]:
    """Who approves speaks to the customer, so the rule is that of an answer: the owner, and in mode `open` any
    agent."""
    if not command.is_held:
        raise NotHeld()
    if not command.role.can_answer:
        raise NotAllowed(action="approve", who="agent")
    if command.mode is not ReplyMode.OPEN and not conversation.is_owned_by(command.by):
        raise NotYourConversation(action="approve", owner=conversation.owner)
    return [e.ReplyAccepted(message=command.message, author=command.author)]


def _withdraw(command: c.WithdrawMessage) -> Sequence[e.Event]:
    if not command.is_held:
        raise NotHeld()
    return [e.NoteKept(message=command.message, author=command.author, reason="withdrawn")]
