"""What a desk finds out by itself becomes rows of the inbox: it is decided in turns, like everything that comes in, and
survives a crash."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.items import DeskIdentityChanged, DeviceLeftOut, TrustDoubted, TrustSettled, VerificationNews
from messenger.app.records import NewItem
from messenger.matrix.engine import Doubt
from messenger.matrix.identity.health import FindingCode
from messenger.matrix.sender import LeftOut
from messenger.matrix.verification.verifier import Abandoned, News
from messenger.storage.trust import unended_verifications
from messenger.storage.unit_of_work import SqlUnits
from messenger.workers.supervise import Wake


class Reports:
    """Of one desk. What is found out while something is sent waits in memory for a step, because sending must not
    wait; it is found out again after a crash."""

    def __init__(self, units: SqlUnits, engine: AsyncEngine, account: str, wake: Wake) -> None:
        self._engine = engine
        self._units, self._account, self._wake = units, account, wake
        self._left_out: asyncio.Queue[LeftOut] = asyncio.Queue()
        self._doubts: asyncio.Queue[tuple[str, frozenset[Doubt]]] = asyncio.Queue()

    def left_out(self, device: LeftOut) -> None:
        self._left_out.put_nowait(device)

    def doubts(self, room: str, doubts: frozenset[Doubt]) -> None:
        """All that stand for the room now; none: what stood is settled."""
        self._doubts.put_nowait((room, doubts))

    async def identity(self, master: str) -> None:
        """Says once that the desk shows another identity than people know."""
        async with self._units() as unit:
            if await unit.trust.announce(self._account, master):
                item = DeskIdentityChanged(account=self._account, master=master)
                source_id = f"{self._account}|{master}|{uuid4().hex}"
                await unit.inbox.add([NewItem(source="identity", source_id=source_id, lane="identity", item=item)])

    async def findings(self, codes: Sequence[FindingCode]) -> None:
        """What is wrong with the desk's own keys. The table of alerts takes each once a day."""
        items = [
            TrustDoubted(account=self._account, room="", user=self._account, cause=f"desk_{code}") for code in codes
        ]
        await self._add([NewItem(source="trust", source_id=uuid4().hex, lane="trust:", item=item) for item in items])

    async def verification(self, news: News) -> None:
        stage = "over" if news.is_over else "compare" if news.short_string else "begun"
        source_id = f"{news.user_id}|{news.id}|{stage}"
        lane = f"verification:{news.user_id}"
        item = _verification(self._account, news)
        await self._add([NewItem(source="verification", source_id=source_id, lane=lane, item=item)])

    async def unended(self) -> Sequence[Abandoned]:
        """What this or an earlier process has begun and nobody has ended."""
        return [
            Abandoned(id=id, user_id=user, room=room)
            for id, user, room in await unended_verifications(self._engine, self._account)
        ]

    async def report_left_out(self) -> None:
        """The inbox takes each report once, also over restarts."""
        room, user, device, code = await self._left_out.get()
        item = DeviceLeftOut(account=self._account, room=room, user=user, device=device, code=code)
        source_id = f"{room}|{user}|{device}|{code}"
        await self._add([NewItem(source="left out", source_id=source_id, lane=f"left out:{room}", item=item)])

    async def report_doubts(self) -> None:
        """The table of alerts takes each once, as long as it is open."""
        room, doubts = await self._doubts.get()
        items: list[TrustDoubted | TrustSettled] = [
            TrustDoubted(
                account=self._account, room=room, user=each.user, cause=each.cause, device=each.device, key=each.key
            )
            for each in sorted(doubts, key=lambda each: (each.user, each.device, each.cause))
        ]
        items = items or [TrustSettled(account=self._account, room=room)]
        await self._add(
            [NewItem(source="trust", source_id=uuid4().hex, lane=f"trust:{room}", item=item) for item in items]
        )

    async def _add(self, items: Sequence[NewItem]) -> None:
        async with self._units() as unit:
            await unit.inbox.add(items)
        self._wake.hint()


def _verification(account: str, news: News) -> VerificationNews:
    shown = news.short_string
    return VerificationNews(
        account=account,
        id=news.id,
        user=news.user_id,
        room=news.room,
        emoji=shown.emoji if shown else (),
        decimals=shown.decimals if shown else (),
        is_over=news.is_over,
        code=news.code,
        by_us=news.by_us,
        master=news.master,
    )
