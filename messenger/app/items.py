"""What the inbox can hold besides the channels' own `Inbound` values: what staff does at a place, what happens to
chats, and how sends ended. An item is written once, in the transaction that acknowledges its source, and handled
once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from messenger.app.effects.inside import TimerKind
from messenger.channels import messages as ch

WaitingEffect = Literal["RelayToThread", "SendToCustomer", "ShowFiles"]
SentEffect = Literal["SendToCustomer", "RelayToThread", "EditAtCustomer", "DeleteAtCustomer", "MirrorReactions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffSaid:
    """A decrypted message in a desk room. `thread` is the id of the thread's root, None in the main timeline.

    edits     the message that this one replaces; `content`, `mentions` and `type` are then the new ones. An edit that
              cannot be understood has the type `m.replace`, which is never sent on, and whatever words it bears
    reply_to  what a true reply answers
    """

    account: str
    room: str
    thread: str | None
    event: str
    sender: str
    at: datetime
    type: str
    content: ch.Content
    mentions: Sequence[str] = ()
    reply_to: str | None = None
    edits: str | None = None
    owner_signed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffReacted:
    account: str
    room: str
    event: str
    target: str
    key: str
    sender: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffRedacted:
    """A redaction in a desk room: of a reaction (a released claim) or of a message."""

    account: str
    room: str
    event: str
    target: str
    sender: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerReacted:
    """One more reaction in a chat. It is taken back by a deletion of `event`."""

    account: str
    room: str
    event: str
    target: str
    key: str
    sender: ch.Handle
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatInvited:
    """Somebody asks us into a chat. `not_before`: the server of this person has used up its share for now."""

    account: str
    chat: str
    sender: ch.Handle
    server: str
    at: datetime
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReady:
    """We are in an encrypted chat with this person."""

    account: str
    chat: str
    person: ch.Handle
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRefused:
    """The chat cannot be used. `code` says why."""

    account: str
    chat: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOut:
    """The desk was in this room and is no more: thrown out, banned, or the room was closed."""

    account: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskBack:
    """The desk is in this room of the staff again."""

    account: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomReplaced:
    """Somebody says that another room takes the place of this one (m.room.tombstone). Nothing is proved yet.
    `successor` is empty for a conversation's own room that was closed without one."""

    account: str
    room: str
    successor: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFollowed:
    """What the desk has found when it looked at a room's successor. `code` is empty if it is in it, if whoever said so
    had the right to, if the new room names the old one and if it is encrypted; else it says what is missing. `people`
    are those in it or invited. `is_led`: the desk may invite people there and remove them. `ready`: it was asked into
    it, and this is what comes of that if it is no successor of any room of ours."""

    account: str
    room: str
    successor: str
    by: str
    code: str = ""
    people: Sequence[str] = ()
    is_led: bool = False
    ready: ChatReady | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatLost:
    """This person answers somewhere no more: they have left a group, or may only read there."""

    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerLost:
    """This conversation may be one of theirs."""

    conversation: UUID
    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMoved:
    """The members of a group are asked into the room that has taken the place of this one."""

    group: UUID
    former: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardWanted:
    """The room in which a conversation's card stands was replaced: it needs one in the new room."""

    conversation: UUID
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A message that cannot be read (yet): no key, a broken cipher, or clear text where there must be none. Of a key
    that the sender's app keeps back the reason is `withheld`, or more exactly `withheld.unverified` and the like."""

    account: str
    room: str
    thread: str | None
    event: str
    sender: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStillMissing:
    """A timer's word: the event has waited for its key for ten seconds."""

    account: str
    source_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDue:
    """A conversation's timer. `due` is the moment for which it was set."""

    kind: TimerKind
    conversation: UUID
    due: datetime
    subject: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingWanted:
    """The group's queue shall be looked at."""

    group: UUID


def routing_lane(group: UUID) -> str:
    """Where a group's `RoutingWanted` rows follow each other."""
    return f"routing:{group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLeftOut:
    """A device in a room that gets no keys; `code` is what it was told (Matrix spec, `m.room_key.withheld`)."""

    account: str
    room: str
    user: str
    device: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskIdentityChanged:
    """The desk has another identity than people were told of. `master` is its new public master key."""

    account: str
    master: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDoubted:
    """Somebody must decide about this, or know it (`domain/trust.py` says which). `cause` is that of a doubt or of a
    suspicion (`matrix/engine.py`, `matrix/suspicion.py`); `key` is the key it is about, or empty. No `room`: it belongs
    to none."""

    account: str
    room: str
    user: str
    cause: str
    device: str = ""
    key: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettled:
    """Something has left in a room again that was doubted before, or this one `cause` has gone."""

    account: str
    room: str
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesMissing:
    """The messages `first` to `last` of a sender's session have not come, though a later one has."""

    account: str
    room: str
    user: str
    sender_key: str
    session: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationNews:
    """Of a verification between the desk and somebody's app: that it began, what both shall compare, or how it ended.
    `code` is empty when the other side has proved its keys; `master` is then the identity that it proved. `room` is
    where it takes place, if in a room."""

    account: str
    id: str
    user: str
    room: str | None = None
    emoji: Sequence[int] = ()
    decimals: Sequence[int] = ()
    is_over: bool = False
    code: str = ""
    by_us: bool = False
    master: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendEnded:
    """An outbox row of a message reached its end. `code` is empty when it was accepted."""

    conversation: UUID
    message: UUID
    effect: SentEffect
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWaits:
    """A file waits for the virus scanner; what was said with it has gone on. `effect`: what shall be done with it;
    `sent_as`: the transaction of the row that has met the silence. `message` is empty where it is about all files of a
    conversation."""

    conversation: UUID
    effect: WaitingEffect
    sent_as: str
    message: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodBegan:
    """What belongs to this flood is held back from now on."""

    flood: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAside:
    """A row that failed for good is a dead letter now. Whose place it was is known by `conversation`, or by the inbox
    `lane` of this `account`; `kind` is what it held. `message` is the answer of staff that now blocks its lane."""

    account: str
    kind: str
    lane: str
    conversation: UUID | None = None
    message: UUID | None = None


Item = (
    ch.InboundMessage
    | ch.MessageEdited
    | ch.MessageDeleted
    | ch.ReactionsChanged
    | ch.Unsupported
    | StaffSaid
    | StaffReacted
    | StaffRedacted
    | CustomerReacted
    | ChatInvited
    | ChatReady
    | ChatRefused
    | DeskOut
    | DeskBack
    | RoomReplaced
    | RoomFollowed
    | GroupMoved
    | CardWanted
    | SeatLost
    | OwnerLost
    | Unreadable
    | KeyStillMissing
    | TimerDue
    | RoutingWanted
    | DeviceLeftOut
    | DeskIdentityChanged
    | TrustDoubted
    | TrustSettled
    | MessagesMissing
    | VerificationNews
    | SendEnded
    | FileWaits
    | FloodBegan
    | PutAside
)
