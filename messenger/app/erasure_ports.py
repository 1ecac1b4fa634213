"""What an erasure needs from storage and from the rooms, and its values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

Scope = Literal["person", "messages", "files"]
Place = Literal["group_room", "case_room", "customer_room"]
# The first three are looked through: for what stands there, its edits and its files.
TargetKind = Literal["thread", "room", "message", "event", "media", "leave", "person"]
Fate = Literal["done", "requested", "impossible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One erasure on its way. `step` is the next one. With a `conversation` it is only about what was said there; else
    about a person, whose `subject` is the pseudonym that the ledger knows; `contact` None: this database does not know
    them."""

    id: UUID
    scope: Scope
    subject: str | None
    contact: UUID | None
    conversation: UUID | None
    ordered_by: str
    approved_by: str | None
    step: str
    ledger_position: int | None
    begun_at: datetime
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something to be looked through or removed. `subject` is an event, the address of a file, or a person's. A thread
    whose card was never noted is named by the transaction id of that card."""

    kind: TargetKind
    place: Place
    room: str = ""
    subject: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a target; `code` says why it is not simply done."""

    target: Target
    fate: Fate
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What stands in a room or a thread, and the servers besides ours that have a copy of it."""

    events: Sequence[str] = ()
    media: Sequence[str] = ()
    foreign_servers: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """So many targets of a kind at a place ended so."""

    kind: str
    place: str
    fate: str
    code: str
    count: int


class NotNow(Exception):
    """Something must happen first: a message is just being sent, the homeserver is away or wants us to wait. The step
    is tried again; nothing of it is lost."""

    def __init__(self, code: str, *, seconds: float = 1.0) -> None:
        super().__init__(code)
        self.code, self.seconds = code, seconds


class ErasureRows(Protocol):
    """Every call is a transaction of its own and may run twice."""

    async def block(self, erasure: Erasure) -> None:
        """From now on nobody works on it. Raises NotNow while something is being sent."""
        ...

    async def plan(self, erasure: Erasure) -> None:
        """Writes down where something lies, while that can still be read."""
        ...

    async def note_ledger(self, erasure: Erasure, position: int) -> None: ...

    async def remove_rows(self, erasure: Erasure) -> None:
        """Everything in this database that says anything about the person."""
        ...

    async def sweep(self, erasure: Erasure) -> None:
        """What came in while the rooms were cleaned, and the targets' own ids."""
        ...

    async def add_targets(self, erasure: Erasure, targets: Sequence[Target]) -> None: ...

    async def open_targets(self, erasure: Erasure, kinds: Sequence[TargetKind], *, most: int) -> Sequence[Target]: ...

    async def end_targets(self, erasure: Erasure, ended: Sequence[Ended]) -> None: ...

    async def rooms_of(self, erasure: Erasure) -> Sequence[str]:
        """The rooms that are about this person alone: chats and rooms of their own."""
        ...

    async def person_of(self, erasure: Erasure) -> Sequence[str]:
        """The addresses that nobody else here needs: not those of the staff."""
        ...

    async def counts(self, erasure: Erasure) -> Sequence[Counted]: ...

    async def advance(self, erasure: Erasure, step: str) -> None: ...

    async def finish(self, erasure: Erasure, certificate: Mapping[str, Any] | None) -> None: ...


class ErasureRooms(Protocol):
    """The Matrix side. Every call may run twice. Raises NotNow."""

    async def look(self, target: Target) -> Found: ...

    async def redact(self, target: Target) -> Ended: ...

    async def remove_media(self, target: Target) -> Ended: ...

    async def forget_keys(self, rooms: Sequence[str], people: Sequence[str]) -> None:
        """The sessions of these rooms, in the store, in memory and in the key backup, and the devices of these
        people."""
        ...

    async def leave(self, room: str) -> None: ...


class SubjectKeyring(Protocol):
    async def destroy(self, contact: UUID) -> None:
        """Nothing that was sealed for this person opens from now on, in this process or in any other."""
        ...


class Ledger(Protocol):
    def add(self, subject: str, scope: str, at: datetime) -> Any:
        """An entry with its `position`; on the disk when it returns."""
        ...


class Signer(Protocol):
    public: str

    def sign(self, kind: str, body: Mapping[str, Any]) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupLife:
    """For how many days backups of the main database and of the key database are kept."""

    main_days: int
    key_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureHands:
    """What the steps use. Without `rooms` the homeserver's part waits for the desk."""

    rows: ErasureRows
    rooms: ErasureRooms | None
    keyring: SubjectKeyring
    ledger: Ledger
    signer: Signer
    backups: BackupLife
    installation: str
