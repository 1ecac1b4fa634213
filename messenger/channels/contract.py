"""The contract between a bridge and the core: what every bridge must do, and what it may do besides.

A bridge converts and sends. The core decides: which conversation, splitting, degradation, retries, identity, policy. A
bridge keeps no state that must survive the process: inbound items and the cursor are committed by the core in ONE
transaction, and only then may the bridge acknowledge them to the other side.

Required: `Bridge`. Optional abilities are protocols of their own; the core asks `isinstance(bridge, Ability)`, and the
level declared in `Capabilities` must agree with it (`edit >= PARTIAL` exactly if the bridge is an `EditsMessages`).
`messenger.channels.testing.BridgeContract` checks all of this against a running bridge.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from messenger.channels.capabilities import Capabilities
from messenger.channels.health import Health
from messenger.channels.messages import (
    ChannelAccountId,
    Handle,
    Inbound,
    MediaRef,
    OutboundMessage,
    RawRef,
    RemoteId,
    Sent,
)


class Intake(Protocol):
    """The core's side, bound to one ChannelAccount and to the lease under which this process may read it."""

    async def put(self, items: Sequence[Inbound], *, cursor: str | None = None) -> int:
        """Stores items and cursor in one transaction and returns the number of NEW rows after COMMIT; waits when the
        core is behind (at most 500 items are under way). Items may repeat: (account, source_id) decides. The bridge
        acknowledges to the other side only after this returned. Raises LeaseLost: stop reading at once, acknowledge
        nothing."""
        ...

    async def keep_raw(self, body: bytes) -> RawRef:
        """Seals and stores a raw payload before it is converted, so that it can be replayed after a repair."""
        ...

    async def cursor(self) -> str | None:
        """The cursor last committed with `put`, or None at the very first start."""
        ...

    async def health(self, health: Health) -> None:
        """Reports a change of health. Cheap; call it at every change, not periodically."""
        ...

    def typing(self, sender: Handle, on: bool) -> None:
        """Volatile: may be lost, is never stored."""
        ...


class Bridge(Protocol):
    """What every bridge does. One instance = one ChannelAccount in one process. Keeps nothing that must survive it."""

    def capabilities(self, to: Handle | None = None) -> Capabilities:
        """No I/O. Without `to`: the account in general. Asked when rendering and again just before sending."""
        ...

    def normalise(self, raw: str, *, region: str = "DE") -> Handle:
        """The one spelling of an address that a person typed. Pure, and `normalise(normalise(x).value)` equals itself.
        Raises ValueError with a text for the person who typed it."""
        ...

    async def check(self) -> Health:
        """The "test connection" button and `stellwerk doctor`. Really connects; changes nothing on the other side.
        Never raises for what an operator can repair: that is the answer."""
        ...

    async def send(self, message: OutboundMessage) -> Sent:
        """Returns when the other side has accepted, else raises a ChannelError by who must act. Must not retry, split,
        or wait for receipts. May be called again with the same `key` after Temporary; where `idempotent_send` is
        declared, also after Uncertain, and must then return the ids of the first time."""
        ...

    async def aclose(self) -> None:
        """Ends connections within 10 s. Called once; nothing is called after it."""
        ...


@runtime_checkable
class Listens(Protocol):
    """Reads by itself: polls, holds a connection. Runs in exactly one process (lease per account)."""

    async def run(self, intake: Intake) -> None:
        """Reads until cancelled; starts at `intake.cursor()`; reconnects itself with jitter; reports health; one broken
        item becomes `Unsupported` and never stops the rest. On cancel it settles what it holds within 10 s."""
        ...


@runtime_checkable
class TakesWebhooks(Protocol):
    """The other side posts to us. The core's ingress calls challenge, then verify, stores the raw body, answers 200,
    and calls parse later, in any process."""

    max_body: int
    """Largest accepted body in bytes."""

    def challenge(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> tuple[int, bytes] | None:
        """The answer (status, body) to a vendor's subscription handshake; None when the request is none."""
        ...

    def verify(self, headers: Mapping[str, str], body: bytes, url: str, now: datetime) -> None:
        """Is it really the vendor? On the RAW bytes, in constant time, the vendor's time within 5 min of `now`. Header
        names come in lower case. Raises Forbidden."""
        ...

    def parse(self, body: bytes, raw: RawRef) -> Sequence[Inbound]:
        """Pure, so that a stored payload can be replayed after a repair. What it does not know becomes `Unsupported`;
        it raises nothing for any bytes that `verify` accepted."""
        ...


@runtime_checkable
class FetchesMedia(Protocol):
    def open_media(self, ref: MediaRef) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Streams the bytes; the core counts them and stops at its limit. Only hosts of the vendor, credentials never
        across a redirect. Raises Temporary, or Rejected("expired") when the reference is gone."""
        ...


@runtime_checkable
class EditsMessages(Protocol):
    async def edit(self, target: RemoteId, message: OutboundMessage) -> Sent:
        """Replaces what was sent as `target`, which stays the id for further edits and the deletion. Errors and repeats
        as in `send`."""
        ...


@runtime_checkable
class DeletesMessages(Protocol):
    async def delete(self, target: RemoteId, to: Handle, *, key: str, reply_token: str = "") -> None:
        """Takes back what was sent, its edits included. Already gone counts as done. `reply_token` as in
        `OutboundMessage`."""
        ...


@runtime_checkable
class SendsReactions(Protocol):
    async def react(
        self, target: RemoteId, to: Handle, now: frozenset[str], *, key: str, reply_token: str = ""
    ) -> None:
        """Makes our reactions on `target` exactly `now`; calling it twice changes nothing. `reply_token` as in
        `OutboundMessage`."""
        ...


@runtime_checkable
class EndsMenus(Protocol):
    async def end_menu(self, target: RemoteId, message: OutboundMessage) -> Sent:
        """Closes the quick answers that were sent as `target`; `message` says so to whoever sees no menus. Only where
        `buttons` are declared."""
        ...


@runtime_checkable
class SendsTyping(Protocol):
    async def typing(self, to: Handle, on: bool) -> None:
        """Best effort: raises nothing."""
        ...


@runtime_checkable
class MarksRead(Protocol):
    async def mark_read(self, to: Handle, upto: RemoteId) -> None:
        """Tells the sender that everything up to `upto` reached us. Best effort, may be repeated."""
        ...


@runtime_checkable
class Backfills(Protocol):
    def backfill(self, since: str | None) -> AsyncIterator[Inbound]:
        """Earlier items, oldest first, from the cursor `since` (None: as far back as the channel goes)."""
        ...


@runtime_checkable
class Reconciles(Protocol):
    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """After Uncertain: IMAP Sent folder by Message-ID, SMPP query_sm, the vendor's search by our key. None = surely
        not sent, and the core sends again. Raises Uncertain when it still cannot know."""
        ...


@runtime_checkable
class ResolvesIdentity(Protocol):
    async def resolve(self, raw: str) -> Handle | None:
        """Is this address reachable here? (RCS capability check, directory of KIM, Threema key look-up)"""
        ...


@runtime_checkable
class SendsCodes(Protocol):
    async def send_code(self, to: Handle, code: str, *, purpose: str, lang: str, key: str) -> Sent:
        """Sends a one-time code with the purpose in words, past any session window. Errors and repeats as in `send`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the core lends to a bridge, so that tests can inject it: a bridge owns no clock, randomness or secrets.

    now       aware UTC time
    new_id    a fresh random id
    secret    the value of a secret setting by name; asked at connect, never kept
    """

    now: Callable[[], datetime]
    new_id: Callable[[], str]
    secret: Callable[[str], str]


class BridgeFactory(Protocol):
    """What the entry point names. `settings_model` is a pydantic model class with its secret fields marked."""

    settings_model: type

    def __call__(self, account: ChannelAccountId, settings: object, services: Services) -> Bridge: ...
