"""What the use cases need from storage and ask of the outside, as protocols. A unit is one database transaction: it
commits when its `async with` ends well and rolls back otherwise. (What the Matrix adapter needs stands in
`desk_ports`.)"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from messenger.app.audit import AuditPort
from messenger.app.effects import Effect, SetTimer
from messenger.app.items import ChatReady, ChatRefused, Unreadable, VerificationNews
from messenger.app.records import (
    BoardNow,
    BoardRow,
    Case,
    Chat,
    Contact,
    File,
    InboxRow,
    Listed,
    NewItem,
    Place,
    PlaceRow,
    Reaction,
    RoutingDecision,
    Said,
    Seat,
    Serving,
    Status,
    StoredMessage,
    Trace,
)
from messenger.channels.contract import Bridge
from messenger.channels.errors import Temporary
from messenger.channels.messages import Handle, MediaRef, OutboundMessage, RemoteId, Sent
from messenger.domain.conversation import Conversation
from messenger.domain.events import Recorded
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.people import Agent, DevicePolicy, SkillGroup
from messenger.domain.replies import Fate
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.matcher import Waiting


class InboxPort(Protocol):
    async def claim(self) -> InboxRow | None:
        """The head row of some lane, locked until the unit ends; None if nothing is due."""
        ...

    async def settle(self, row: InboxRow) -> None: ...

    async def defer(self, row: InboxRow, until: datetime) -> None: ...

    async def waiting(self, source: str, source_id: str) -> Unreadable | None:
        """The row if it still waits for its key."""
        ...

    async def add(self, items: Sequence[NewItem]) -> int: ...

    async def absorb(self, lane: str) -> None:
        """Settles every due row of the lane that no other worker holds: this turn does what they ask for. Whatever
        caused them is committed, so what is read from now on shows it."""
        ...


class OutboxPort(Protocol):
    async def put(self, source: str, effects: Sequence[Effect]) -> None:
        """`source` names what caused them; transaction ids are a function of it, the lane and the position."""
        ...

    async def keep_back(self, message: MessageId) -> bool:
        """True if the answer has not left: until this unit ends nobody takes it."""
        ...

    async def cancel(self, message: MessageId) -> None:
        """An answer that was kept back never leaves."""
        ...

    async def is_sending(self, lane: str) -> bool:
        """Is something of this lane on its way, so that it may be there before its id is noted?"""
        ...


class TimerPort(Protocol):
    async def set(self, timers: Sequence[SetTimer]) -> None: ...


class ConversationPort(Protocol):
    async def lock(self, id: ConversationId) -> Conversation: ...

    async def record(self, before: Conversation | None, events: Sequence[Recorded], after: Conversation) -> None:
        """Appends to the log and writes the state, in this unit."""
        ...

    async def case(self, id: ConversationId) -> Case: ...

    async def is_erased(self, id: ConversationId) -> bool:
        """Its customer was erased: no word of it can be read, and none is written any more."""
        ...

    async def case_of(self, message: MessageId) -> tuple[Case, StoredMessage]:
        """A message with its conversation: what a relay needs, in one answer."""
        ...

    async def places(self, id: ConversationId) -> Sequence[PlaceRow]:
        """All it has had, oldest first."""
        ...

    async def place_of_room(self, room: str) -> tuple[ConversationId, PlaceRow] | None:
        """Whose own room this is."""
        ...

    async def is_out_of_sight(self, id: ConversationId, *, cards: int) -> bool:
        """Do more than so many newer cards lie below its card?"""
        ...

    async def last_activity(self, id: ConversationId) -> datetime | None:
        """The time of its last message."""
        ...

    async def open_in(self, chat: ChatId) -> Sequence[ConversationId]:
        """Those of a chat that are not over; the one that we answered last comes first."""
        ...

    async def number_of(self, id: ConversationId) -> str: ...

    async def of_number(self, number: str) -> ConversationId | None: ...

    async def is_number_taken(self, number: str) -> bool: ...

    async def history(self, id: ConversationId) -> Sequence[Recorded]: ...

    async def tags(self, id: ConversationId) -> tuple[str, ...]: ...

    async def set_tags(self, id: ConversationId, tags: Sequence[str]) -> None: ...


class MessagePort(Protocol):
    async def add(self, message: StoredMessage, trace: Trace) -> None: ...

    async def get(self, id: MessageId) -> StoredMessage: ...

    async def latest(self, conversation: ConversationId, most: int) -> Sequence[StoredMessage]:
        """The newest ones that staff can see already, oldest of them first; deleted ones are left out."""
        ...

    async def with_files(self, conversation: ConversationId) -> Sequence[StoredMessage]:
        """Those that carry a file, oldest first; deleted ones are left out."""
        ...

    async def is_first_unanswered(self, id: MessageId) -> bool:
        """Is it the customer's first message since our last answer?"""
        ...

    async def first_text(self, conversation: ConversationId) -> str: ...

    async def last_waiting(self, conversation: ConversationId, author: AgentId) -> StoredMessage | None:
        """The author's newest message that is held, or shall leave at a time."""
        ...

    async def has_held(self, conversation: ConversationId) -> bool:
        """Does anybody's message wait for a person to let it go?"""
        ...

    async def last_of(self, conversation: ConversationId, author: AgentId) -> StoredMessage | None:
        """The author's newest message."""
        ...

    async def add_trace(self, trace: Trace) -> None: ...

    async def set_fate(self, id: MessageId, fate: Fate) -> None: ...

    async def replace_content(self, message: StoredMessage) -> None:
        """Its new words, and when they came."""
        ...

    async def mark_deleted(self, id: MessageId, *, at: datetime) -> None: ...

    async def find_trace(self, account: str, remote_id: str) -> Trace | None: ...

    async def traces_of(self, message: MessageId) -> Sequence[Trace]: ...

    async def copies_of(self, message: MessageId) -> Sequence[Trace]:
        """Where it was relayed to, in the order of its parts."""
        ...

    async def is_told(self, conversation: ConversationId, agent: AgentId, text: str) -> bool:
        """Remembers that this person was told this once; True if it was so before."""
        ...


class ReactionPort(Protocol):
    async def add(self, new: Reaction) -> None:
        """A repeat changes nothing."""
        ...

    async def remove(self, account: str, event: str) -> MessageId | None:
        """The message to which it was; None if nobody knows it."""
        ...

    async def replace(self, account: str, message: MessageId, sender: str, now: Mapping[str, str]) -> None:
        """Makes `now` (event -> key) all of this person's reactions to the message."""
        ...

    async def keys(self, message: MessageId) -> frozenset[str]:
        """Each sign that anybody still shows."""
        ...


class PeoplePort(Protocol):
    async def groups(self) -> Sequence[SkillGroup]: ...

    async def group(self, id: GroupId) -> SkillGroup: ...

    async def agent(self, id: AgentId) -> Agent: ...

    async def seat(self, group: GroupId, address: str) -> Seat | None: ...

    async def group_of_room(self, room: str) -> SkillGroup | None: ...

    async def room_of_group(self, id: GroupId) -> str | None: ...

    async def is_staff(self, addresses: Sequence[str]) -> bool: ...

    async def colleague(self, name: str) -> Agent | None:
        """By address, by its local part (with or without `@`), by full or first name; None for nobody, or several."""
        ...

    async def seats_of(self, address: str) -> Sequence[tuple[SkillGroup, Seat]]:
        """Everywhere this person has a seat, by the group's name."""
        ...

    async def person_of_direct_room(self, room: str) -> Agent | None:
        """Whose direct chat with the desk this is, the newest or an older one."""
        ...

    async def direct_room_of(self, agent: AgentId) -> str | None: ...

    async def set_direct_room(self, agent: AgentId, room: str) -> None:
        """From now on the desk speaks to this person there. Earlier direct chats are heard as before, and answered
        where they are."""
        ...

    async def can_somebody_answer(self, group: GroupId) -> bool:
        """Is anybody there, and available, who may answer customers?"""
        ...

    async def is_available(self, agent: AgentId) -> bool: ...

    async def status(self, agent: AgentId) -> Status: ...

    async def set_status(
        self, agent: AgentId, availability: Availability, reason: str, *, at: datetime, source: str
    ) -> None:
        """Also into the log of availabilities, without the reason. `source`: who has set it (`self`, `admin`)."""
        ...

    async def count_owned(self, agent: AgentId) -> int:
        """How many conversations somebody has, those that rest included."""
        ...


class RoutingPort(Protocol):
    async def lock_group(self, id: GroupId) -> SkillGroup:
        """Until the unit ends no other turn gives out anything of this group."""
        ...

    async def waiting(self, group: SkillGroup, *, most: int) -> Sequence[Waiting]:
        """The first of the queue, in order."""
        ...

    async def serving(self, group: GroupId, *, now: datetime) -> Sequence[Serving]:
        """Everybody with a seat in the group, with what they have in work in all groups."""
        ...

    async def lock_person(self, group: GroupId, agent: AgentId, *, now: datetime) -> Serving | None:
        """The same for one, counted again under their lock: what is given out to them at the same time in another
        group is in it. None if they have left the group."""
        ...

    async def note_hands(self, agents: Collection[AgentId], *, at: datetime) -> None:
        """Something came into these people's hands or left them."""
        ...

    async def groups_served_by(self, agents: Collection[AgentId]) -> Sequence[GroupId]:
        """The groups with automatic assignment in which these people have a seat."""
        ...

    async def keep(
        self, conversations: Collection[ConversationId], explanation: Mapping[str, Any], *, at: datetime
    ) -> None:
        """The same decision about all of these."""
        ...

    async def reasons(self, conversations: Collection[ConversationId]) -> Mapping[ConversationId, str]:
        """The reason of the newest decision since each of them was queued."""
        ...

    async def latest(self, conversation: ConversationId) -> RoutingDecision | None: ...


class ListPort(Protocol):
    """Lists of many conversations. They lock nothing, so they may be a moment old when they are read."""

    async def waiting(self, groups: Sequence[GroupId], most: int) -> tuple[Sequence[Listed], int]:
        """Those of these groups that wait longest, and how many wait in all."""
        ...

    async def of_owner(self, owner: AgentId) -> Sequence[Listed]:
        """All that somebody has open or paused: first where the customer waits, the longest first."""
        ...

    async def longest_waiting(self, groups: Sequence[GroupId]) -> ConversationId | None:
        """Locks it until the unit ends; those that others have locked are passed over."""
        ...


class TrustPort(Protocol):
    """Whose keys the desk has, as far as people decide about it."""

    async def note_verification(self, news: VerificationNews) -> None: ...

    async def chat_with(self, account: str, address: str, *, room: str | None) -> tuple[str, str] | None:
        """Room and language of this customer's chat: the one in `room`, or the newest."""
        ...


class BoardPort(Protocol):
    """Each group's pinned board."""

    async def due(self) -> Sequence[GroupId]:
        """Groups with a room whose board may be edited again."""
        ...

    async def get(self, group: GroupId) -> BoardRow: ...

    async def book(self, group: GroupId, *, pause: timedelta) -> bool:
        """False if it was edited, or booked, less than its pause ago."""
        ...

    async def now(self, group: GroupId, *, today: datetime, tomorrow: datetime, most: int) -> BoardNow:
        """`today` and `tomorrow` are the beginnings of these days where the group is."""
        ...


class CaseMemberPort(Protocol):
    """Who may read a conversation's own room."""

    async def of(self, conversation: ConversationId) -> Sequence[Agent]:
        """By name."""
        ...

    async def seat(self, conversation: ConversationId, address: str) -> Seat | None:
        """A member's seat there without regard to the conversation's group: an agent, if they may answer in any
        group, else a clerk."""
        ...

    async def add(self, conversation: ConversationId, agents: Sequence[AgentId]) -> None: ...

    async def remove(self, conversation: ConversationId, agent: AgentId) -> None: ...

    async def clear(self, conversation: ConversationId) -> None: ...


class ChatPort(Protocol):
    async def find(self, account: str, remote: str) -> Chat | None: ...

    async def get(self, id: ChatId) -> Chat: ...

    async def open(self, chat: ChatReady) -> tuple[Chat, bool]:
        """Finds or makes contact, identity and chat; True if the chat is new."""
        ...

    async def set_language(self, chat: ChatId, language: str) -> None: ...

    async def set_conversation(self, chat: ChatId, conversation: ConversationId) -> None:
        """This one spoke last."""
        ...

    async def is_safe(self, chat: ChatId) -> bool:
        """False if something has happened to the chat's encryption since it began: nothing may leave there."""
        ...


class ContactPort(Protocol):
    async def of_handle(self, person: Handle) -> Contact | None: ...

    async def get(self, id: ContactId) -> Contact: ...

    async def named_first_in(self, text: str) -> Contact | None:
        """Whose name begins the text; None for nobody, for several, and where there are too many to look."""
        ...

    async def chat_with(self, person: Contact, account: str, language: str) -> tuple[Chat, bool]:
        """Their newest chat, or one that is expected; True if it is new."""
        ...

    async def last_conversation(self, id: ContactId) -> ConversationId | None: ...


class StorageAway(Exception):
    """The database does not answer. Nothing of what was asked is done; whoever asked tries again, and it counts as
    nobody's failure."""


class BodyErased(Exception):
    """What was asked needs a body, or writes one, of a person who was erased. There is nothing to try again."""


class UnitOfWork(Protocol):
    @property
    def now(self) -> datetime: ...
    @property
    def inbox(self) -> InboxPort: ...
    @property
    def outbox(self) -> OutboxPort: ...
    @property
    def timers(self) -> TimerPort: ...
    @property
    def conversations(self) -> ConversationPort: ...
    @property
    def messages(self) -> MessagePort: ...
    @property
    def reactions(self) -> ReactionPort: ...
    @property
    def people(self) -> PeoplePort: ...
    @property
    def routing(self) -> RoutingPort: ...
    @property
    def case_members(self) -> CaseMemberPort: ...
    @property
    def chats(self) -> ChatPort: ...
    @property
    def contacts(self) -> ContactPort: ...
    @property
    def lists(self) -> ListPort: ...
    @property
    def boards(self) -> BoardPort: ...
    @property
    def audit(self) -> AuditPort: ...
    @property
    def trust(self) -> TrustPort: ...

    def new_id(self, *parts: str) -> UUID:
        """A UUID that is the same for the same parts, in every retry and every restore of this installation."""
        ...


class InboxQueue(Protocol):
    """The inbox as its worker sees it, outside the unit that failed."""

    async def give_back(self, row: InboxRow, error: str, *, tries: int) -> None:
        """Tried again later; after `tries` it goes to the dead letters, and the lane goes on."""
        ...


class Units(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]: ...

    def look(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """For reading only: each answer is the newest state, and no transaction is open between two of them."""
        ...


# ── What the use cases ask of the outside
# ────────────────────────────────────────────────────────────────────────────────


class Desk(Protocol):
    """The staff side. Every call is idempotent by `txn`: a repeat has no second effect. Raises ChannelError."""

    account: str

    def link(self, place: Place) -> str:
        """An address that opens the place in a Matrix client."""
        ...

    async def find(self, room: str, txn: str) -> str | None:
        """The event that an earlier try with this `txn` has made, in any encrypted room of the account."""
        ...

    async def post(self, place: Place, said: Said, *, txn: str, policy: DevicePolicy) -> str: ...

    async def edit(self, place: Place, event: str, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        """Replaces all of what `event` said, its file and its profile included. It stays in its thread and the answer
        to what it answered; nobody is rung a second time."""
        ...

    async def react(self, room: str, event: str, key: str, *, txn: str) -> str | None: ...

    async def redact(self, room: str, event: str, *, txn: str) -> None: ...

    async def set_reactions(
        self, room: str, event: str, now: frozenset[str], *, keep: frozenset[str], txn: str
    ) -> None:
        """Makes the desk's reactions on `event` exactly `now`, besides those of `keep`, which are left as they are.
        Raises Rejected (`expired`) if the event is gone."""
        ...

    async def take_back(self, room: str, event: str, *, txn: str) -> None:
        """Redacts a message of ours and every edit of it, which would stay readable otherwise. Already gone counts as
        done."""
        ...

    async def pin(self, room: str, events: Sequence[str]) -> None:
        """Makes these the room's pinned events."""
        ...

    async def provide_room(self, group: SkillGroup) -> str:
        """Makes the group's room, or finds the one that an earlier try has made."""
        ...

    async def provide_case_room(self, conversation: ConversationId, number: str, place: int) -> str:
        """Makes the room that is this place of a conversation, or finds it. Its main timeline is the conversation; whom
        it concerns is seated one by one."""
        ...

    async def seat(self, room: str, address: str) -> None:
        """Invites, with the keys of the earlier messages. Does nothing for a member."""
        ...

    async def unseat(self, room: str, address: str) -> None: ...

    async def trust(self, person: str) -> None:
        """The identity that this person's account shows now counts as verified."""
        ...

    async def ask_verification(self, person: str, room: str | None, body: str) -> None:
        """Asks the person's app to verify the desk; how it goes on comes as `VerificationNews`. `body` is what an app
        shows that cannot do it."""
        ...


class ChatDoor(Protocol):
    """How a channel that is asked into chats enters them."""

    async def join(self, chat: str, person: str, *, farewell: str) -> ChatReady | ChatRefused:
        """`farewell` is said in the chat if we must leave it for one of our own. It may be read by anybody, so it holds
        nothing."""
        ...

    async def open(self, key: str, person: str) -> ChatReady:
        """Makes an encrypted chat with this person and asks them in; once for each `key`. Raises ChannelError."""
        ...

    async def invite_again(self, chat: str, person: str) -> None:
        """Asks in somebody who has left; does nothing for others. Raises Temporary where it has just done so: only a
        later try finds them there."""
        ...


class CustomerChannel(Bridge, Protocol):
    """A bridge that takes files as bytes: all checks are behind them."""

    async def send_file(self, message: OutboundMessage, file: File) -> Sent: ...


@runtime_checkable
class EditsFiles(Protocol):
    """A channel that replaces the caption of a file it has sent: the edit bears the same file."""

    async def edit_file(self, target: RemoteId, message: OutboundMessage, file: File) -> Sent: ...


class FileAway(Temporary):
    """Whoever keeps the file does not hand it to our side, which is there itself. It may come back or never."""

    def __init__(self) -> None:
        super().__init__("unreachable", raw_code="file away")


class FileSource(Protocol):
    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        """Raises Rejected (`too_large`, `bad_media`), FileAway or another Temporary."""
        ...
