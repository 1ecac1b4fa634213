"""The bench of the contract suite: the world around one bridge under test, and the core's part in miniature."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol

from messenger.channels.capabilities import Capabilities
from messenger.channels.contract import Bridge, Listens, TakesWebhooks
from messenger.channels.errors import Forbidden, LeaseLost
from messenger.channels.messages import Content, Handle, OutboundMessage, RemoteId
from messenger.channels.testing.intake import MemoryIntake, Unplugged

Failure = Literal["rejected", "temporary", "uncertain"]
Poster = Callable[[Mapping[str, str], bytes, str], Awaitable[int]]
GRACE_S = 10.0


class Rig(Protocol):
    """The world around the bridge under test. One rig = one account on one other side."""

    addresses: Sequence[str]
    """As people type them; several spellings of valid addresses."""
    nonsense: Sequence[str]
    """Texts that are no address here."""
    recipient: Handle
    secrets: Sequence[str]
    """Must never be logged."""

    async def start(self, poster: Poster) -> None:
        """Called first, inside the event loop. `poster(headers, body, url)` is the core's webhook ingress; it returns a
        status, and the other side delivers again when that is not 200."""
        ...

    async def stop(self) -> None: ...

    def bridge(self) -> Bridge:
        """A new instance for the same account, as after a restart of the process."""
        ...

    async def customer_writes(self, text: str) -> None: ...

    async def redeliver(self) -> None:
        """The other side delivers everything again that it still has."""
        ...

    async def poison(self) -> None:
        """A payload that no converter understands arrives."""
        ...

    def break_next_send(self, failure: Failure) -> None: ...

    def revoke_credentials(self) -> None: ...

    def received(self) -> Sequence[str]:
        """The texts the customer sees now: duplicates included, deleted ones not, edited ones as they are."""
        ...

    def reactions(self, target: RemoteId) -> frozenset[str]: ...


class Bench:
    """One rig, one intake, and the core's part in miniature: run the bridge, or take its webhooks."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.intake = rig, MemoryIntake()
        self.bridge: Bridge = rig.bridge()

    async def ingress(self, headers: Mapping[str, str], body: bytes, url: str) -> int:
        """What the webhook sub-application does: verify on raw bytes, convert, commit, and only then answer 200."""
        if not isinstance(self.bridge, TakesWebhooks):
            return 404
        try:
            self.bridge.verify(headers, body, url, datetime.now(UTC))
        except Forbidden:
            return 403
        items = self.bridge.parse(body, await self.intake.keep_raw(body))
        try:
            await self.intake.put(items)
        except (Unplugged, LeaseLost):
            return 503
        return 200

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncio.Task[None] | None]:
        """The bridge reads while the block runs; afterwards it must end within its grace."""
        if not isinstance(self.bridge, Listens):
            yield None
            return
        task = asyncio.create_task(self._run(self.bridge), name="bridge under test")
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.timeout(GRACE_S):
                    await task  # what else it raises is a fault of the bridge

    async def _run(self, bridge: Listens) -> None:
        with contextlib.suppress(Unplugged, LeaseLost):  # the process is gone; the next instance goes on
            await bridge.run(self.intake)

    async def restart(self) -> None:
        await self.bridge.aclose()
        self.bridge = self.rig.bridge()

    def message(self, text: str, *, key: str = "key-1") -> OutboundMessage:
        return OutboundMessage(key=key, to=self.rig.recipient, content=Content(text=text, full_text=text))

    @property
    def can(self) -> Capabilities:
        return self.bridge.capabilities(self.rig.recipient)
