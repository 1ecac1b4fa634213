"""What the use cases ask of the storage about conversations and what was said in them, inside a unit of work."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from messenger.app.records import (
    BoardNow,
    BoardRow,
    Case,
    Listed,
    PlaceRow,
    Reaction,
    Seat,
    StoredMessage,
    Trace,
)
from messenger.domain.conversation import Conversation
from messenger.domain.events import Recorded
from messenger.domain.ids import AgentId, ChatId, ConversationId, GroupId, MessageId
from messenger.domain.people import Agent
from messenger.domain.replies import Fate


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

    async def is_in_former_room(self, id: ConversationId) -> bool:
        """Does its card stand in a room whose place another has taken?"""
        ...

    async def last_activity(self, id: ConversationId) -> datetime | None:
        """The time of its last message."""
        ...

    async def open_in(self, chat: ChatId) -> Sequence[ConversationId]:
        """Those of a chat that are not over; the one that we answered last comes first."""
        ...

    async def in_work_of(self, agent: AgentId) -> Sequence[ConversationId]:
        """What this person owns that is not over, also what rests."""
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
