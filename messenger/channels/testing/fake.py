"""A complete channel in memory: `FakePeer` is the other side with its faults, `FakeBridge` polls it,
`FakeWebhookBridge` is posted to. They pass the same contract as every real bridge, so that tests of the core may use
them instead of a mock."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from messenger.channels.capabilities import Capabilities, MediaRule, Support
from messenger.channels.contract import Intake
from messenger.channels.errors import BadCredentials, Forbidden, Rejected, Temporary, Uncertain
from messenger.channels.health import Health, HealthState
from messenger.channels.messages import (
    Assurance,
    ChannelAccountId,
    Content,
    Handle,
    Inbound,
    InboundMessage,
    MediaRef,
    MessageDeleted,
    MessageEdited,
    OutboundMessage,
    RawRef,
    ReactionsChanged,
    RemoteId,
    Sent,
    Unsupported,
)
from messenger.channels.testing.bench import Failure, Poster

_SOURCE_BATCH = 100
_EPOCH = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@dataclass(slots=True)
class Delivered:
    """One message as the customer sees it now."""

    remote_id: RemoteId
    key: str
    to: str
    text: str
    reactions: frozenset[str] = frozenset()
    deleted: bool = False
    reply_to: RemoteId | None = None


@dataclass(slots=True)
class FakePeer:
    """The other side: keeps what customers wrote until it is acknowledged, and what we sent."""

    token: str = "s3cret-token"
    poster: Poster | None = None
    delivered: list[Delivered] = field(default_factory=list)
    media: dict[str, bytes] = field(default_factory=dict)
    acknowledged: int = 0
    typing: list[tuple[str, bool]] = field(default_factory=list)
    read_upto: list[RemoteId] = field(default_factory=list)
    _log: list[bytes] = field(default_factory=list)
    _faults: list[Failure] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _count: int = 0

    # what customers do

    async def customer_writes(self, text: str, *, sender: str = "kim", media: Sequence[str] = ()) -> RemoteId:
        """`media` are keys of `self.media`."""
        return await self._happens("text", sender, text=text, media=list(media))

    async def customer_edits(self, target: RemoteId, text: str, *, sender: str = "kim") -> RemoteId:
        return await self._happens("edit", sender, text=text, target=target)

    async def customer_deletes(self, target: RemoteId, *, sender: str = "kim") -> RemoteId:
        return await self._happens("delete", sender, target=target)

    async def customer_reacts(self, target: RemoteId, now: Sequence[str], *, sender: str = "kim") -> RemoteId:
        return await self._happens("react", sender, target=target, now=list(now))

    # faults

    async def redeliver(self) -> None:
        """Everything once more, as vendors do after a lost answer."""
        for body in list(self._log):
            await self._push(body)

    async def poison(self) -> None:
        await self._push(b'\xff\xfe{"id": "broken')

    def break_next_send(self, fault: Failure) -> None:
        self._faults.append(fault)

    def change_token(self) -> None:
        self.token += "-new"

    # what the bridge calls

    async def read(self, after: int) -> list[bytes]:
        """Waits for something new; at most 100 payloads at once. What was acknowledged is gone."""
        start = max(after, self.acknowledged)
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self._log) > start)
            return self._log[start : start + _SOURCE_BATCH]

    def accept(self, token: str, message: OutboundMessage) -> RemoteId:
        """A message with a known key is not delivered a second time."""
        self.log_in(token)
        fault = self._faults.pop(0) if self._faults else None
        if fault == "rejected":
            raise Rejected("no_such_recipient", raw_code="404")
        if fault == "temporary":
            raise Temporary("unreachable", retry_after=timedelta(seconds=1), raw_code="503")
        done = self._by_key(message.key) or self._keep(message)
        if fault == "uncertain":
            raise Uncertain("unreachable", detail="connection lost after the body was written")
        return done.remote_id

    def log_in(self, token: str) -> None:
        if not hmac.compare_digest(token, self.token):
            raise BadCredentials("auth", raw_code="401")

    def find(self, remote_id: RemoteId) -> Delivered:
        for message in self.delivered:
            if message.remote_id == remote_id:
                return message
        raise Rejected("expired", raw_code="410")

    def find_by_key(self, key: str) -> Delivered | None:
        return self._by_key(key)

    # inside

    async def _happens(self, kind: str, sender: str, **fields: Any) -> RemoteId:
        self._count += 1
        remote_id = RemoteId(f"in-{self._count}")
        at = _EPOCH + timedelta(seconds=self._count)
        payload = {"id": remote_id, "kind": kind, "from": sender, "at": at.isoformat(), **fields}
        await self._push(json.dumps(payload).encode())
        return remote_id

    async def _push(self, body: bytes) -> None:
        async with self._arrived:
            self._log.append(body)
            self._arrived.notify_all()
        if self.poster is not None:
            await self.poster({"x-signature": sign(self.token, body)}, body, "https://desk.example/hooks/fake")

    def _by_key(self, key: str) -> Delivered | None:
        return next((message for message in self.delivered if message.key == key), None)

    def _keep(self, message: OutboundMessage) -> Delivered:
        remote_id = RemoteId(f"out-{len(self.delivered) + 1}")
        done = Delivered(
            remote_id=remote_id,
            key=message.key,
            to=message.to.value,
            text=message.content.text,
            reply_to=message.reply_to,
        )
        self.delivered.append(done)
        return done


def sign(token: str, body: bytes) -> str:
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


def convert(account: ChannelAccountId, body: bytes, raw: RawRef | None = None) -> Inbound:
    """Pure. Whatever is not understood becomes `Unsupported`, with an id that is the same at every delivery."""
    try:
        return _understood(account, json.loads(body), raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        source_id = hashlib.sha256(body).hexdigest()
        return Unsupported(
            account=account, source_id=source_id, at=_EPOCH, raw=raw, sender=None, what=type(error).__name__
        )


def _understood(account: ChannelAccountId, payload: Mapping[str, Any], raw: RawRef | None) -> Inbound:
    sender = Handle("fake", payload["from"])
    about: dict[str, Any] = {"account": account, "source_id": payload["id"], "raw": raw, "sender": sender}
    about["at"] = datetime.fromisoformat(payload["at"])
    match payload["kind"]:
        case "text":
            media = [MediaRef(id=ref) for ref in payload["media"]]
            content = Content(text=payload["text"], full_text=payload["text"], media=media)
            ids = [RemoteId(payload["id"])]
            return InboundMessage(**about, content=content, remote_ids=ids, assurance=Assurance.CHANNEL)
        case "edit":
            return MessageEdited(**about, target=payload["target"], content=Content(text=payload["text"]))
        case "delete":
            return MessageDeleted(**about, target=payload["target"])
        case "react":
            return ReactionsChanged(**about, target=payload["target"], now=frozenset(payload["now"]))
        case other:
            return Unsupported(**about, what=str(other))


class _FakeChannel:
    """What both fakes share: everything but reading."""

    def __init__(self, peer: FakePeer, *, account: str = "fake-1", now: datetime = _EPOCH) -> None:
        self._peer, self._token, self._account, self._now = peer, peer.token, ChannelAccountId(account), now
        self.closed = False

    def capabilities(self, to: Handle | None = None) -> Capabilities:
        any_file = MediaRule(mimes={"*/*": Support.FULL}, max_size=25_000_000, caption_max=1000)
        return Capabilities(
            checked_on=date(2026, 11, 1), text_max=4000, media={"file": any_file, "image": any_file},
            edit=Support.FULL, delete=Support.FULL, reaction=Support.FULL, typing_out=True, read_out=True,
            idempotent_send=True,
        )  # fmt: skip

    def normalise(self, raw: str, *, region: str = "DE") -> Handle:
        value = raw.strip().removeprefix("@").lower()
        if not value.isalnum():
            raise ValueError("A name here has letters and digits only, for example @kim.")
        return Handle("fake", value)

    async def check(self) -> Health:
        try:
            self._peer.log_in(self._token)
        except BadCredentials as error:
            return self._health(HealthState.BAD_CREDENTIALS, code=error.code)
        return self._health(HealthState.CONNECTED)

    async def send(self, message: OutboundMessage) -> Sent:
        return Sent(remote_ids=[self._peer.accept(self._token, message)])

    async def edit(self, target: RemoteId, message: OutboundMessage) -> Sent:
        self._peer.log_in(self._token)
        self._peer.find(target).text = message.content.text
        return Sent(remote_ids=[target])

    async def delete(self, target: RemoteId, to: Handle, *, key: str, reply_token: str = "") -> None:
        self._peer.log_in(self._token)
        self._peer.find(target).deleted = True

    async def react(
        self, target: RemoteId, to: Handle, now: frozenset[str], *, key: str, reply_token: str = ""
    ) -> None:
        self._peer.log_in(self._token)
        self._peer.find(target).reactions = now

    async def typing(self, to: Handle, on: bool) -> None:
        self._peer.typing.append((to.value, on))

    async def mark_read(self, to: Handle, upto: RemoteId) -> None:
        self._peer.read_upto.append(upto)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        found = self._peer.find_by_key(message.key)
        return Sent(remote_ids=[found.remote_id]) if found else None

    @asynccontextmanager
    async def open_media(self, ref: MediaRef) -> AsyncIterator[AsyncIterator[bytes]]:
        if ref.id not in self._peer.media:
            raise Rejected("expired", raw_code="410")
        yield _chunks(self._peer.media[ref.id])

    async def aclose(self) -> None:
        self.closed = True

    def _health(self, state: HealthState, *, code: str = "") -> Health:
        return Health(state=state, since=self._now, code=code, action="relogin" if code == "auth" else "")


class FakeBridge(_FakeChannel):
    """Polls the peer with an offset, as a bot with long polling does."""

    async def run(self, intake: Intake) -> None:
        health = await self.check()
        await intake.health(health)
        if health.state is not HealthState.CONNECTED:
            return
        offset = int(await intake.cursor() or 0)
        while True:
            bodies = await self._peer.read(after=offset)
            offset += len(bodies)
            await intake.put([convert(self._account, body) for body in bodies], cursor=str(offset))
            self._peer.acknowledged = offset  # only now: the rows are committed


class FakeWebhookBridge(_FakeChannel):
    """The peer posts to us and signs the raw body."""

    max_body = 1_000_000

    def challenge(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> tuple[int, bytes] | None:
        return (200, query["challenge"].encode()) if "challenge" in query else None

    def verify(self, headers: Mapping[str, str], body: bytes, url: str, now: datetime) -> None:
        if not hmac.compare_digest(headers.get("x-signature", ""), sign(self._token, body)):
            raise Forbidden

    def parse(self, body: bytes, raw: RawRef) -> Sequence[Inbound]:
        return [convert(self._account, body, raw)]


async def _chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
