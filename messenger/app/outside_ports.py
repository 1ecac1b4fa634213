"""What the use cases ask of the outside: the staff's side, the customers' channel, files. No transaction is open while
it is asked."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from messenger.app.items import ChatReady, ChatRefused, RoomFollowed
from messenger.app.records import (
    File,
    Place,
    Said,
)
from messenger.channels.contract import Bridge
from messenger.channels.errors import Temporary
from messenger.channels.messages import MediaRef, OutboundMessage, RemoteId, Sent
from messenger.domain.ids import ConversationId
from messenger.domain.people import Agent, DevicePolicy, SkillGroup


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

    async def seat(self, room: str, address: str, *, policy: DevicePolicy) -> None:
        """Invites, with the keys of the earlier messages for those devices that may have them under this policy, and
        never for one that its owner has not signed. Does nothing for a member."""
        ...

    async def unseat(self, room: str, address: str) -> None: ...

    async def trust(self, person: str, key: str = "") -> None:
        """The identity that this person's account shows now counts as verified; with a `key` only if it is that one."""
        ...

    async def decide(self, room: str, person: str, device: str, cause: str, *, trusted: bool, key: str) -> None:
        """Carries out what a person has decided about a doubt: the device gets keys or none, the new identity counts,
        or its owner leaves the room; a member whom nobody has invited stays without keys, or leaves. `key`: the one
        that they were told of."""
        ...

    async def provide_direct_room(self, agent: Agent) -> str:
        """The direct chat with one of the staff, made once, with the invitation."""
        ...

    async def ask_verification(self, person: str, room: str | None, body: str) -> None:
        """Asks the person's app to verify the desk; how it goes on comes as `VerificationNews`. `body` is what an app
        shows that cannot do it."""
        ...


class ChatDoor(Protocol):
    """How a channel that is asked into chats enters them."""

    async def join(self, chat: str, person: str, *, farewell: str) -> ChatReady | ChatRefused | RoomFollowed:
        """`farewell` is said in the chat if we must leave it for one of our own. It may be read by anybody, so it holds
        nothing."""
        ...

    async def open(self, key: str, person: str) -> ChatReady:
        """Makes an encrypted chat with this person and asks them in; once for each `key`. Raises ChannelError."""
        ...

    async def follow(self, room: str, successor: str, by: str) -> RoomFollowed:
        """Enters the room that is said to take the place of another, and looks at both. Raises ChannelError for what
        may be tried again."""
        ...

    async def leave(self, room: str) -> None:
        """Does nothing where we are not."""
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


class ScannerAway(Temporary):
    """The virus scanner does not answer, or not sensibly. No file leaves meanwhile; everything else does."""

    def __init__(self, raw_code: str = "scanner away") -> None:
        super().__init__("unreachable", raw_code=raw_code)


class Scanner(Protocol):
    @property
    def is_on(self) -> bool:
        """Is there one?"""
        ...

    async def scan(self, data: bytes, *, patience_s: float | None = None) -> str:
        """What it calls the thing it has found; empty: it has looked and found nothing. Raises ScannerAway, also when
        the patience ends before, and Rejected for a file that it will never take."""
        ...


class NoScanner:
    """The installation has none."""

    is_on = False

    async def scan(self, data: bytes, *, patience_s: float | None = None) -> str:
        return ""


NO_SCANNER = NoScanner()


class FileSource(Protocol):
    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        """Raises Rejected (`too_large`, `bad_media`), FileAway or another Temporary."""
        ...
