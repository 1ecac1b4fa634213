"""What the use cases need from storage, as one unit of work: a database transaction that commits when its `async with`
ends well and rolls back otherwise. Its parts stand by topic in `queue_ports`, `conversation_ports` and `people_ports`;
what is asked of the outside in `outside_ports`, what the Matrix adapter needs in `desk_ports`."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from messenger.app.audit import AuditPort
from messenger.app.conversation_ports import (
    BoardPort,
    CaseMemberPort,
    ConversationPort,
    ListPort,
    MessagePort,
    ReactionPort,
)
from messenger.app.flood_ports import FloodPort
from messenger.app.people_ports import (
    ChatPort,
    ContactPort,
    GlassPort,
    PeoplePort,
    RoutingPort,
    SuccessionPort,
    TrustPort,
)
from messenger.app.queue_ports import InboxPort, OutboxPort, TimerPort
from messenger.app.records import (
    InboxRow,
)


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
    def glass(self) -> GlassPort: ...
    @property
    def audit(self) -> AuditPort: ...
    @property
    def successions(self) -> SuccessionPort: ...
    @property
    def floods(self) -> FloodPort: ...
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
