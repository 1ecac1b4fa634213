"""What the Matrix adapter needs from storage: the crypto store's rows, and everything that one sync batch writes.
`storage/` implements it. A unit is one database transaction: it commits when its `async with` ends well and rolls back
otherwise."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

from messenger.app.items import Item

CryptoTable = Literal[
    "mx_account",
    "mx_olm",
    "mx_megolm",
    "mx_megolm_out",
    "mx_megolm_shared",
    "mx_device",
    "mx_identity",
    "mx_tracked",
    "mx_withheld",
]


MegolmSession = tuple[str, str, str]  # room id, sender key, session id
Ciphertext = tuple[str, str, str, int]  # the same, and the message's index in the session


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptoRow:
    """One row of the crypto store. `key` are the primary key's columns without `account`; `clear` are columns that the
    database must see (counters, flags); `secret` is sealed by the store under the desk's key, with account, table and
    key as associated data, and comes back opened. A row to write carries all its columns; `removed` deletes it."""

    table: CryptoTable
    key: Mapping[str, str]
    clear: Mapping[str, Any] = field(default_factory=dict)
    secret: bytes | None = None
    removed: bool = False


class CryptoReading(Protocol):
    async def read(
        self, table: CryptoTable, where: Sequence[Mapping[str, Any]] | None = None, *, limit: int | None = None
    ) -> Sequence[CryptoRow]:
        """Rows of this account that match ANY of the mappings (column -> value, key or clear column); None = all
        rows."""
        ...


class CryptoRows(CryptoReading, Protocol):
    async def write(self, rows: Sequence[CryptoRow]) -> None:
        """Inserts or replaces, one statement per table. A session in `mx_megolm` is replaced only by one with the same
        Ed25519 key and a LOWER first index, or by itself with changed flags."""
        ...


class DeskUnit(CryptoRows, Protocol):
    """One transaction of a desk. It begins with the fence: a process that lost the desk's lease gets `LeaseLost`."""


class DeskStore(Protocol):
    account: str  # the bot's user id

    def unit(self) -> AbstractAsyncContextManager[DeskUnit]: ...

    def look(self) -> AbstractAsyncContextManager[CryptoReading]:
        """For reading: one way to the database and back, no transaction and no fence. What comes of it is saved in a
        unit."""
        ...

    async def save_ratchets(self, rows: Sequence[CryptoRow]) -> None:
        """As a unit that writes these rows, all of `mx_megolm_out`, and nothing else. Committed, and fenced, when it
        returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomState:
    """What we know of one room. `encrypted` is a pin, never taken back. `use` says what the room is to us: a skill
    group's room, one conversation's room (`case`), the direct chat with one of the staff, a customer's chat, or nothing
    (yet). `succession`: whether another room is said to take its place (`pending`, `followed`, `refused`, or nothing);
    it is read with the room and never written with it."""

    room_id: str
    encrypted: bool = False
    algorithm: str = ""
    rotation_ms: int | None = None
    rotation_messages: int | None = None
    history_visibility: str = "shared"
    membership: str = "join"
    members_known: bool = False
    use: Literal["group", "case", "direct", "chat", "none"] = "none"
    succession: Literal["", "pending", "followed", "refused"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One row that a batch brings. The event itself (`raw`) and its `session` (room id, session id) are kept while a
    key may still make it readable: it `waits` for a missing key, or the key that came is not its sender's. `ciphertext`
    names what was opened (room id, sender key, session id, index), so that the same under another event id is
    refused. After its `patience` it is due."""

    source_id: str
    lane: str
    item: Item
    session: tuple[str, str] | None = None
    raw: Mapping[str, Any] | None = None
    waits: bool = False
    ciphertext: Ciphertext | None = None
    patience: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A row that a key may still make readable, with the event as it came. `is_late`: its lane has gone on without
    it."""

    id: int
    room_id: str
    state: str
    is_late: bool
    raw: Mapping[str, Any]


class IngestUnit(DeskUnit, Protocol):
    """The transaction of one sync batch: rows, ratchets and token together, the token last."""

    @property
    def has_news(self) -> bool:
        """Is there something for the inbox's workers?"""
        ...

    async def rooms(self, ids: Sequence[str]) -> Mapping[str, RoomState]: ...

    async def save_rooms(self, rooms: Sequence[RoomState]) -> None: ...

    async def save_members(self, room: str, members: Mapping[str, str], *, complete: bool) -> None:
        """User id -> membership. `complete`: these are all; others are forgotten."""
        ...

    async def note_replaced(self, rooms: Mapping[str, str]) -> None:
        """Room -> the one that is said to take its place."""
        ...

    async def take(self, arrivals: Sequence[Arrival]) -> frozenset[str]:
        """Inbox rows in the order given, each once. Returns the source ids that were refused: their ciphertext was
        taken before under another id."""
        ...

    async def note_seen(self, ciphertexts: Mapping[str, Ciphertext]) -> frozenset[str]:
        """Of events (by id) that were opened and make no row. Returns the ids of replays."""
        ...

    async def last_numbers(self, sessions: Collection[MegolmSession]) -> Mapping[MegolmSession, int]:
        """The highest index of a message that was taken of each."""
        ...

    async def uninvited_staff(self, room: str, users: Collection[str]) -> frozenset[str]:
        """Those of the users who are, or were, of the staff, were not in the room, and are not to be."""
        ...

    async def entitled(self, room: str) -> frozenset[str]:
        """Whom our database wants in the room."""
        ...

    async def parked(self, sessions: Sequence[tuple[str, str]]) -> Sequence[Parked]: ...

    async def unpark(self, row: Parked, arrival: Arrival) -> None:
        """Handles the row in its old place."""
        ...

    async def say_why(self, row: Parked, arrival: Arrival) -> None:
        """It goes on waiting for its key, for the reason in `arrival`, unless there is one already. If people were told
        that it waits, they are told this too."""
        ...

    async def bury(self, source_id: str, reason: str, raw: Mapping[str, Any]) -> None: ...

    async def set_cursor(self, token: str) -> None:
        """Raises LeaseLost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is in a room and who may be. Keys go to the users in both. Others who are `tolerated` may be there without
    keys: somebody has decided so, or they are of the staff and on their way out."""

    members: frozenset[str]
    entitled: frozenset[str]
    tolerated: frozenset[str] = frozenset()


class IngestStore(Protocol):
    account: str

    def unit(self) -> AbstractAsyncContextManager[IngestUnit]: ...

    def look(self) -> AbstractAsyncContextManager[CryptoReading]: ...

    def batch(self) -> AbstractAsyncContextManager[IngestUnit]:
        """A unit that ends with `set_cursor`, which is its fence."""
        ...

    async def cursor(self) -> str | None: ...

    async def room(self, room_id: str) -> RoomState | None: ...

    async def audience(self, room_id: str) -> Audience: ...

    async def waiting_sessions(self) -> Sequence[tuple[str, str]]:
        """The (room id, session id) pairs that parked rows wait for."""
        ...
