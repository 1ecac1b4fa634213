"""What the use cases ask of the floods: what is held back until somebody decides, inside a unit of work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from messenger.app.records import InboxRow
from messenger.domain.ids import ChatId, ContactId, ConversationId, GroupId
from messenger.domain.limits import Scope

Verdict = Literal["admitted", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whose chat it is. `is_new`: they have never had a conversation here. `flood`: what they say is held back."""

    chat: ChatId
    contact: ContactId
    conversation: ConversationId | None
    flood: int | None

    @property
    def is_new(self) -> bool:
        return self.conversation is None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFlood:
    """`about` is the server that it comes from, or empty; `group` whose people decide."""

    scope: Scope
    key: UUID
    group: GroupId
    about: str = ""
    chat: ChatId | None = None
    conversation: ConversationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """`messages` of so many `people`: those that are held, and after the `verdict` those that were. `event` is its card
    in the group's room."""

    id: int
    scope: Scope
    about: str
    group: GroupId
    chat: ChatId | None
    conversation: ConversationId | None
    since: datetime
    messages: int
    people: int
    verdict: Verdict | None
    decided_by: str
    decided_at: datetime | None
    event: str | None


class FloodPort(Protocol):
    async def standing(self, account: str, room: str) -> Standing | None:
        """None: there is no such chat (yet)."""
        ...

    async def backlog(self, lane: str, most: int) -> int:
        """How many things wait in the lane; counted up to `most`."""
        ...

    async def open_among(self, keys: Sequence[UUID]) -> int | None:
        """A flood that is open for one of these."""
        ...

    async def begin(self, flood: NewFlood) -> tuple[int, bool]:
        """Its number; False: it had begun already."""
        ...

    async def hold(self, row: InboxRow, flood: int) -> bool:
        """The row, and all that waits behind it, is held back. False: somebody has decided meanwhile, nothing is
        held."""
        ...

    async def get(self, id: int) -> Flood | None: ...

    async def open_in(self, groups: Sequence[GroupId]) -> Sequence[Flood]: ...

    async def decide(self, id: int, verdict: Verdict, *, by: str) -> bool:
        """What was held goes on in its old place and order, or nothing comes of it. What people took back themselves is
        taken back in either case. False: somebody else was first."""
        ...

    async def stale(self) -> Sequence[tuple[int, GroupId]]:
        """Open floods whose cards tell another number, and may be edited again."""
        ...
