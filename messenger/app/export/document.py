"""The export of a person's data (GDPR, articles 15 and 20), for machines: what these classes say is its schema.

Members of staff appear as `staff-1`, `staff-2`, … in the order of their first word: who they are is their own data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

FORMAT = "stellwerk-contact-export/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address of the person. `scope`: the account inside which it means something."""

    kind: str
    value: str
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A chat with the organisation. `room` is the channel's own id of it; `members` who was or is in it."""

    account: str
    room: str
    language: str
    since: datetime
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of the person, as the encryption knows it."""

    user: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """`path`: where it lies in the archive; empty with the reason in `missing`. `warnings`: codes of what is to be
    known before it is opened, such as `virus`, `active` (macros or a program), `script`; the file is in the archive as
    it was."""

    path: str
    name: str
    mime: str
    size: int | None
    missing: str = ""
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    sender: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`author`: `person`, `staff-N`, or the address of somebody else who wrote in the person's room. `fate`: what
    became of a word of staff; `kept` is a note. `ids`: how the sides name it."""

    id: str
    at: datetime
    author: str
    kind: str
    text: str
    html: str
    fate: str | None
    edited_at: datetime | None
    is_deleted: bool
    is_unverified: bool
    reply_to: str | None
    files: Sequence[ExportedFile]
    reactions: Sequence[Reaction]
    ids: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something that happened to a conversation. `details` are ids and codes."""

    at: datetime
    what: str
    who: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why the router gave the conversation to somebody, or kept it."""

    at: datetime
    explanation: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """`places`: the rooms of staff in which it was shown."""

    id: str
    number: str
    state: str
    language: str
    group: str
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    times: Mapping[str, datetime | None]
    previous: str | None
    tags: Sequence[str]
    readers: Sequence[str]
    places: Sequence[str]
    messages: Sequence[Message]
    history: Sequence[Happened]
    decisions: Sequence[Decision]
    timers: Sequence[Happened]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Something in a queue: not handled, or not sent yet, or put aside."""

    queue: str
    kind: str
    at: datetime
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """A request for export or erasure; `asked_by` and `approved_by` are roles, not names."""

    id: str
    kind: str
    asked_at: datetime
    approved_at: datetime | None
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Somebody read or decided something, or came into a group's room where the person's conversations stand: a row of
    the audit log. `about`: `conversation:<id>`, `contact:<id>` or `group:<id>`; `group`: that group's name."""

    at: datetime
    who: str
    action: str
    about: str
    purpose: str
    outcome: str
    reason: str
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    format: str
    organisation: str
    made_at: datetime
    contact: str
    name: str
    known_since: datetime
    consent_at: datetime | None
    consent_source: str | None
    restricted_at: datetime | None
    restricted_reason: str | None
    held_at: datetime | None
    held_reason: str | None
    addresses: Sequence[Address]
    rooms: Sequence[Room]
    devices: Sequence[Device]
    conversations: Sequence[Conversation]
    waiting: Sequence[Waiting]
    rights: Sequence[Right]
    accesses: Sequence[Access]

    @property
    def language(self) -> str:
        """Of the newest chat, or the newest conversation, that has one."""
        of_rooms = [room.language for room in sorted(self.rooms, key=lambda room: room.since) if room.language]
        of_conversations = [each.language for each in self.conversations if each.language]
        return [*of_conversations, *of_rooms, ""][-2] if of_rooms or of_conversations else ""
