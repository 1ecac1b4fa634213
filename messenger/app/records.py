"""What the use cases hold in their hands: rows of the queues, messages with their opened bodies, the ids by which
the sides name them, a conversation with what surrounds it, and what the desk says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from messenger.app.effects.base import Effect
from messenger.app.items import Item
from messenger.channels.messages import Content, Handle
from messenger.domain.conversation import Conversation
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.people import Agent, Role, SkillGroup
from messenger.domain.replies import Fate
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.matcher import Person

EXPECTED = "expected:"  # in place of a chat's remote id, until there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """`is_last`: when it was claimed, nothing else was due. Whatever has come since announces itself by a hint."""

    id: int
    source: str
    source_id: str
    lane: str
    attempts: int
    item: Item
    is_last: bool = False
    paced: str = ""  # which limits it has behind it (`app.gate`)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAlert:
    """Why nothing leaves in a room, until somebody decides. `state`: `open`, or `removed`."""

    id: int
    account: str
    room: str
    person: str
    device: str
    cause: str
    key: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """A room that was replaced. `state`: `pending`, `followed`, or `refused`; `code`: what keeps us from following."""

    successor: str
    state: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """One row for the inbox; `(source, source_id)` is unique, a second insert does nothing."""

    source: str
    source_id: str
    lane: str
    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A contact's chat on one channel account; `remote` is the channel's own id of it (for Matrix the room)."""

    id: ChatId
    account: str
    remote: str
    contact: ContactId
    person: Handle
    name: str
    language: str
    conversation: ConversationId | None
    is_erased: bool = False  # the person's name cannot be read any more, by anybody

    @property
    def is_expected(self) -> bool:
        """There is no room yet: one is on its way."""
        return self.remote.startswith(EXPECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person with one of their addresses (`identity` is its row). `consent_at`: since when they agree to be written
    to first; None: they do not. `is_restricted`: their data are kept and not used."""

    id: ContactId
    identity: UUID
    person: Handle
    name: str
    consent_at: datetime | None
    consent_source: str
    is_restricted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBody:
    """What is sealed of a message. Who else spoke is sealed once more, under that person's own key: `sealed_speaker`,
    in hexadecimal. `speaker` is how earlier versions have kept it."""

    content: Content
    speaker: str = ""
    reply_to: MessageId | None = None
    speaker_contact: ContactId | None = None
    sealed_speaker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message of a conversation with its opened body. `author` is None on the customer's side; `speaker` is set there
    if somebody else than the customer wrote it, and `speaker_contact` is that person."""

    id: MessageId
    conversation: ConversationId
    author: AgentId | None
    fate: Fate | None
    content: Content
    at: datetime
    type: str = "m.text"
    speaker: str = ""
    speaker_contact: ContactId | None = None
    sealed_speaker: str = ""  # as it is stored
    is_unverified: bool = False
    is_late: bool = False
    edited_at: datetime | None = None
    is_deleted: bool = False
    is_erased: bool = False  # its content cannot be read any more, by anybody
    reply_to: MessageId | None = None

    @property
    def is_unverified_customers(self) -> bool | None:
        """None of somebody else's words: they say nothing about the customer's device."""
        return None if self.speaker or self.author else self.is_unverified


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One id by which a side names something of ours. `kind`: `origin` (where a message was written), `copy` (where we
    relayed it), `card` (its `part` is the number of the place), `claim` (a reaction that claimed), `fate` (a marker),
    `notice`."""

    account: str
    room: str
    remote_id: str
    kind: Literal["origin", "copy", "card", "claim", "fate", "notice"]
    conversation: ConversationId | None = None
    message: MessageId | None = None
    part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One person's sign at one message; `event` is the reaction's own id on its side."""

    account: str
    event: str
    message: MessageId
    sender: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRow:
    """One place that a conversation has, or had: its number, whose room it is in, and its card. In a room of its own
    (`is_room`) the conversation is the main timeline, else the card's thread."""

    number: int
    group: GroupId
    room: str
    card: str
    is_room: bool = False

    @property
    def place(self) -> "Place":
        return Place(room=self.room, thread=None if self.is_room else self.card)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A conversation with what surrounds it, for rendering. `room` and `card` are its place; None while that is being
    made. `is_room`: a room of its own, whose main timeline it is."""

    conversation: Conversation
    group: SkillGroup
    group_room: str | None
    room: str | None
    card: str | None
    chat: Chat
    owner: Agent | None
    tags: Sequence[str] = ()
    is_one_of_several: bool = False  # another one is open in the same chat
    is_room: bool = False

    @property
    def thread(self) -> str | None:
        return None if self.is_room else self.card


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A person's role in one group. `is_behind_glass`: it is no seat in the conversation's group; they have broken the
    glass and may read for a while."""

    agent: Agent
    role: Role
    is_behind_glass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where staff sees a conversation: a room, and the root of a thread in it (None: the room's main timeline)."""

    room: str
    thread: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A conversation as lists show it: its number, never its customer. `place` is where to click."""

    id: ConversationId
    number: str
    group: str
    language: str
    is_paused: bool
    queued_at: datetime
    claimed_at: datetime | None
    waiting_since: datetime | None
    answered_at: datetime | None
    paused_until: datetime | None
    wake_on: Sequence[str]
    place: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Somebody who is available: how many conversations they have in work, of so many units."""

    name: str
    has: int
    units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardNow:
    """A group's queue and people at this moment. `waking`: of the paused ones, those whose time is today; `first`: who
    waits longest."""

    waiting: int
    in_work: int
    paused: int
    waking: int
    resolved: int
    first: Sequence[Listed]
    present: Sequence[Present]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """A group's board as it was posted: the event and the digest of what stands on it; None before there is one."""

    group: SkillGroup
    room: str | None
    event: str | None
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a person can take, since when, and why not in their own words."""

    availability: Availability
    since: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One claimed row. `token` proves the claim when it is settled; `device_id` is the device that tried first.
    `failures`: of the `attempts` before this one; one that ended with its process has not failed. `failing_for`: since
    the first of those that nobody can be asked about. `has_moved`: the chat has another room than at the first try."""

    id: int
    txn: str
    token: UUID
    attempts: int
    failures: int = 0
    failing_for: timedelta = timedelta(0)
    has_moved: bool = False
    made_at: datetime
    first_try_at: datetime
    device_id: str | None
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A person whom a group may give something. `falls_at`: when their load falls by the clock, if nothing happens."""

    person: Person
    role: Role
    falls_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    at: datetime
    explanation: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An attachment's bytes after all checks, on their way to one place."""

    data: bytes
    name: str
    mime: str
    type: str  # m.image, m.file, m.audio, m.video
    info: Mapping[str, Any] = field(default_factory=dict)
    is_voice: bool = False
    waveform: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the desk says at a place: plain text that stands alone, the same as HTML, who is mentioned, whose name it
    bears, and which event in the same room it answers."""

    plain: str
    html: str
    is_notice: bool = False
    mentions: Sequence[str] = ()
    profile: tuple[str, str] | None = None  # (stable id, display name): MSC4144
    file: File | None = None
    reply_to: str | None = None
    is_about_trust: bool = False  # said also in a room where everything else waits for a decision
