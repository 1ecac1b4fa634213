"""The conversation: everything between one customer's matter and the organisation.

                                    ┌──────────── transfer, release ───────────┐
                                    ▼                                          │
    new ──queue──▶ queued ──claim, assign──▶ open ──pause──▶ paused            │
     │ (menu)        │  ▲                    │ ▲ ◀──wake──────┘ │              │
     └───────────────┘  │                    │ └────────────────┴──────────────┘
                        └─── reopen ─── resolved ◀── resolve, silence ── (any of the three)

A conversation begins with the customer's first message, or with an agent who writes first. Routing puts it into a skill
group's queue; one agent is its owner: from then on the owner speaks to the customer, everybody else in the group reads
along and writes notes. Exactly one person can own it, and whoever is `open` has an owner. A pause rests until one of
its causes wakes it, weeks later and by whatever process. A resolved conversation keeps its owner, who is asked first if
the customer comes back. `closed` comes with retention. Whose turn it is (`waiting_since`) is derived from messages, not
a state.

`place` counts the places it has had: each has a card, the last one is where it is now; what is written at an earlier
one stays inside.

`decide` answers a command with the events that follow from it, or raises a DomainError whose text a person can act on.
`evolve` applies one event. Both are pure: time and ids come in with the command. Folding the events of the log with
`evolve` gives the stored conversation again, bit for bit. The rules themselves stand by topic: who has it (`handover`),
its pauses and its end (`life`), what is said (`speaking`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from messenger.domain import events as e
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.pauses import Cause, Pause


class State(StrEnum):
    NEW = "new"
    QUEUED = "queued"
    OPEN = "open"
    PAUSED = "paused"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """An answer that may still fail, and since when the customer would be waiting then; None if it answers nothing
    new."""

    message: MessageId
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """`version` is the number of events so far. Times: `queued_at` is its place in the queue; `claimed_at` the last
    claim, also after a release; `waiting_since` is set while the customer waits for us, as if what is on its way had
    arrived; `answered_at` is our last answer, from which silence counts. `unrouted` are messages that came before there
    was a group, `scheduled` answers that leave later, `on_their_way` those that have been let go and have not arrived,
    in their order. `is_unverified`: the customer's newest words came from a device that nobody vouches for."""

    id: ConversationId
    version: int
    number: str
    contact: ContactId
    chat: ChatId
    language: str
    state: State
    opened_at: datetime
    previous: ConversationId | None = None
    group: GroupId | None = None
    owner: AgentId | None = None
    place: int = 0
    is_in_room: bool = False
    pause: Pause | None = None
    queued_at: datetime | None = None
    claimed_at: datetime | None = None
    waiting_since: datetime | None = None
    answered_at: datetime | None = None
    warned_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None
    unrouted: tuple[MessageId, ...] = ()
    scheduled: frozenset[MessageId] = frozenset()
    on_their_way: tuple[OnItsWay, ...] = ()
    is_unverified: bool = False

    @property
    def is_released(self) -> bool:
        return self.owner is None and self.claimed_at is not None

    @property
    def is_paused(self) -> bool:
        return self.state is State.PAUSED

    @property
    def is_resolved(self) -> bool:
        return self.state is State.RESOLVED

    @property
    def in_hands_of(self) -> AgentId | None:
        """Who works on it now. What rests or is done is in nobody's hands, whoever its owner is."""
        return self.owner if self.state is State.OPEN else None

    def is_owned_by(self, agent: AgentId) -> bool:
        return self.owner == agent

    @property
    def is_about_to_speak(self) -> bool:
        """An answer shall leave at a time, is in its hold window, or has not arrived yet."""
        return bool(self.scheduled or self.on_their_way)

    def wakes_on(self, cause: Cause) -> bool:
        return self.pause is not None and cause in self.pause.wake_on


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
            previous=event.previous,
        )
    was = replace(known(conversation), version=recorded.version)
    match event:
        case e.MenuOffered() | e.WakeSuppressed() | e.MemberInvited() | e.MemberRemoved():
            return was
        case e.ConversationQueued() | e.ConversationTransferred() | e.CardRenewed() | e.MovedToRoom():
            return _placed(was, event, at)
        case e.ConversationClaimed() | e.ConversationReleased() | e.ConversationAssigned():
            return _owned(was, event, at)
        case e.ConversationPaused() | e.ConversationResumed() | e.ConversationResolved() | e.ConversationReopened():
            return _living(was, event, at)
        case e.SilenceWarned():
            return replace(was, warned_at=at)
        case _:
            return _said(was, event, at)


def fold(log: Iterable[e.Recorded]) -> Conversation | None:
    conversation: Conversation | None = None
    for recorded in log:
        conversation = evolve(conversation, recorded)
    return conversation


def known(conversation: Conversation | None) -> Conversation:
    assert conversation is not None, "only a command that opens works without a conversation"
    return conversation


Placing = e.ConversationQueued | e.ConversationTransferred | e.CardRenewed | e.MovedToRoom
Owning = e.ConversationClaimed | e.ConversationReleased | e.ConversationAssigned
Living = e.ConversationPaused | e.ConversationResumed | e.ConversationResolved | e.ConversationReopened
Saying = (
    e.MessageReceived
    | e.MessageEdited
    | e.MessageDeleted
    | e.ReplyAccepted
    | e.ReplyScheduled
    | e.ScheduleCancelled
    | e.ReplyCancelled
    | e.ReplyEdited
    | e.ReplyRecalled
    | e.ChangeKeptBack
    | e.NoteKept
    | e.ReplyHeld
    | e.MessageDelivered
    | e.MessageFailed
)


def _placed(was: Conversation, event: Placing, at: datetime) -> Conversation:
    match event:
        case e.ConversationQueued():
            is_first = was.place == 0
            return replace(
                was,
                state=State.QUEUED,
                group=event.group,
                owner=None,
                claimed_at=None,
                queued_at=at,
                place=1 if is_first else was.place,
                unrouted=(),
            )
        case e.ConversationTransferred():
            return replace(
                was,
                state=State.QUEUED,
                group=event.to_group,
                owner=None,
                claimed_at=None,
                queued_at=at,
                pause=None,
                waiting_since=_our_turn(was, at),
                place=was.place + 1,
                is_in_room=False,
            )
        case e.CardRenewed():
            return replace(was, place=was.place + 1)
        case e.MovedToRoom():
            return replace(was, place=was.place + 1, is_in_room=True)
        case _:
            assert_never(event)


def _our_turn(was: Conversation, at: datetime) -> datetime | None:
    """Whoever ends a pause without an answer wants it to go on with us: silence does not count until we have spoken."""
    return was.waiting_since or at if was.is_paused else was.waiting_since


def _owned(was: Conversation, event: Owning, at: datetime) -> Conversation:
    match event:
        case e.ConversationClaimed():
            return replace(was, state=State.OPEN, owner=event.agent, claimed_at=at, pause=None)
        case e.ConversationReleased():
            since = _our_turn(was, at)
            return replace(was, state=State.QUEUED, owner=None, pause=None, queued_at=at, waiting_since=since)
        case e.ConversationAssigned():
            state = State.PAUSED if was.is_paused else State.OPEN
            return replace(was, state=state, owner=event.agent, claimed_at=at)
        case _:
            assert_never(event)


def _living(was: Conversation, event: Living, at: datetime) -> Conversation:
    match event:
        case e.ConversationPaused():
            pause = Pause(by=event.by, since=at, wake_on=frozenset(event.wake_on), until=event.until, note=event.note)
            return replace(was, state=State.PAUSED, pause=pause)
        case e.ConversationResumed():
            # What was waited for is there, so now it is for us to go on; an answer that ends the pause does so at once.
            since = was.waiting_since if event.cause == "reply" else _our_turn(was, at)
            return replace(was, state=State.OPEN, pause=None, waiting_since=since)
        case e.ConversationResolved():
            return replace(
                was,
                state=State.RESOLVED,
                pause=None,
                waiting_since=None,
                resolved_at=at,
                resolution=event.reason,
                on_their_way=(),
            )
        case e.ConversationReopened():
            is_owned = event.owner is not None
            return replace(
                was,
                state=State.OPEN if is_owned else State.QUEUED,
                owner=event.owner,
                claimed_at=at if is_owned else was.claimed_at,
                queued_at=was.queued_at if is_owned else at,
                warned_at=None,
                resolved_at=None,
                resolution=None,
            )
        case _:
            assert_never(event)


def _said(was: Conversation, event: Saying, at: datetime) -> Conversation:
    match event:
        case e.MessageReceived():
            unrouted = was.unrouted if was.group else (*was.unrouted, event.message)
            heard = _vouched(was, event)
            return replace(heard, waiting_since=was.waiting_since or at, warned_at=None, unrouted=unrouted)
        case e.MessageEdited():
            return _vouched(was, event)
        case e.ReplyAccepted():
            return replace(
                was,
                waiting_since=None,
                answered_at=at,
                warned_at=None,
                scheduled=was.scheduled - {event.message},
                on_their_way=(*was.on_their_way, OnItsWay(event.message, was.waiting_since)),
            )
        case e.ReplyScheduled():
            return replace(was, scheduled=was.scheduled | {event.message})
        case e.ScheduleCancelled():
            return replace(was, scheduled=was.scheduled - {event.message})
        case e.ReplyCancelled() | e.MessageFailed():
            return _never_arrived(was, event.message)
        case e.MessageDelivered():
            # It answers all that the earlier ones were to answer, too.
            _, later = _around(was.on_their_way, event.message)
            return replace(was, on_their_way=later)
        case (
            e.MessageDeleted() | e.ReplyEdited() | e.ReplyRecalled() | e.ChangeKeptBack() | e.NoteKept() | e.ReplyHeld()
        ):
            return was
        case _:
            assert_never(event)


def _vouched(was: Conversation, event: e.MessageReceived | e.MessageEdited) -> Conversation:
    return was if event.is_unverified is None else replace(was, is_unverified=event.is_unverified)


def _never_arrived(was: Conversation, message: MessageId) -> Conversation:
    """What it was to answer is answered by the next that is on its way; if there is none, the customer waits since
    then."""
    earlier, later = _around(was.on_their_way, message)
    lost = was.on_their_way[len(earlier) : len(was.on_their_way) - len(later)]
    since = lost[0].since if lost else None
    if since is None:
        return replace(was, on_their_way=(*earlier, *later))
    if later:
        return replace(was, on_their_way=(*earlier, replace(later[0], since=since), *later[1:]))
    return replace(was, waiting_since=since, on_their_way=earlier)


def _around(
    on_their_way: tuple[OnItsWay, ...], message: MessageId
) -> tuple[tuple[OnItsWay, ...], tuple[OnItsWay, ...]]:
    """Those before and those after this one. One that is not among them any more comes before all: a later one has
    arrived."""
    for n, each in enumerate(on_their_way):
        if each.message == message:
            return on_their_way[:n], on_their_way[n + 1 :]
    return (), on_their_way
