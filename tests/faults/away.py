"""A homeserver that goes away while much waits for it: at first it takes nothing that is sent, then it refuses
connections, then it answers 503, at last it takes connections and says nothing. What people say bears tokens; at the
end both sides open everything."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from aiohttp import web

from benchmarks.parts.ledger import Ledger
from benchmarks.parts.servers import GROUP, FakeAccounts
from benchmarks.parts.talks import CHATS_EACH, FakeSide, Talk, token_of
from messenger.demo.synapse import Synapse
from tests.support.databases import TestDatabases
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_homeserver.faults import FOR_EVER, Handler, cut
from tests.support.product import Product
from tests.support.waiting import eventually

SENDING = r"/(send|redact|sendToDevice)/"
PATIENCE_S = 100.0  # without any progress: far less than the longest pause of a row
WAVE = 100
TEN_MINUTES_S = 600.0
_OPEN = "SELECT count(*) FROM outbox WHERE state IN ('new', 'claimed', 'unknown')"
_CROSSING = f"{_OPEN} AND kind IN ('RelayToThread', 'SendToCustomer')"
_LANES = "SELECT count(DISTINCT lane) FROM outbox WHERE state IN ('new', 'claimed', 'unknown')"
_TRIES = "SELECT coalesce(sum(failures), 0) FROM outbox"
_UNHANDLED = "SELECT count(*) FROM inbox WHERE state = 'new'"
_TAKEN = "SELECT count(*) FROM inbox"
_BURIED = "SELECT count(*) FROM dead_letter WHERE queue LIKE 'sync:%'"
_DUE_NOW = "UPDATE outbox SET next_at = now() WHERE state = 'new'"
# Tried after 0, 1, 6, 36 and 336 seconds; the next try is at 636.
_AS_AFTER_TEN_MINUTES = """
UPDATE outbox SET failures = greatest(failures, 5), next_at = now() + interval '300 s'
WHERE code = 'unreachable' AND state = 'new'"""
_HANGING = "SELECT count(*) FROM outbox WHERE state = 'claimed'"
_FIRST_DUE = "UPDATE outbox SET next_at = now() WHERE id = (SELECT min(id) FROM outbox WHERE state = 'new')"
_REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '22021'; END $$"""
_REFUSE = """
CREATE TRIGGER refuses BEFORE INSERT ON inbox FOR EACH ROW WHEN (position('{chat}' in NEW.lane) > 0)
EXECUTE FUNCTION refuse()"""


@dataclass(slots=True)
class Told:
    """What a run has seen. Seconds are since the homeserver was back."""

    waiting: int = 0
    lanes: int = 0
    unhandled: int = 0
    away_s: float = 0.0
    most_tries: int = 0
    first_s: float = 0.0
    all_s: float = 0.0
    quiet_s: float = 0.0  # cards, too, which are edited every ten seconds at most


@dataclass(slots=True)
class Town:
    fake: FakeHomeserver
    product: Product
    ledger: Ledger
    side: FakeSide
    talks: list[Talk] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)  # tokens by chat
    arrived: dict[str, list[str]] = field(default_factory=dict)  # tokens by the card of their thread
    told: Told = field(default_factory=Told)
    _back: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, conversations: int, *, environment: Mapping[str, str] | None = None) -> None:
        """Each has a card, an owner and one message."""
        await self.product.add_group(GROUP, [(self.side.agent_id, "Agent", "agent")], default=True)
        await self.product.start(environment=environment)
        await self.side.take_seat(await self.product.group_room(GROUP))
        while len(self.talks) < conversations:
            count = min(WAVE, conversations - len(self.talks))
            talks = list(await self.side.chats(len(self.talks), count, self.product.desk))
            self.talks += talks
            await self.says(talks)
            await eventually(self._all_is_there, PATIENCE_S, progress=self._count_arrived, what="all have a thread")
            cards = await self.ledger.cards([talk.chat for talk in talks])
            for talk in talks:
                talk.card = cards[talk.chat]
                await self.side.claim(talk.card)
        await eventually(self._all_owned, PATIENCE_S, what="all have an owner")
        await eventually(self._is_quiet, PATIENCE_S, what="nothing is on its way")

    async def says(self, talks: Sequence[Talk], *, answers: bool = False) -> None:
        for talk in talks:
            await self.side.say(talk)
            if answers:
                said = self.answers.setdefault(talk.chat, [])
                said.append(f"{talk.name}-{len(said):03}")
                await self.side.answer(talk.card, f"{said[-1]} It will be ready on Monday.")

    async def let_wait(self, rows: int, *, poison: Talk) -> None:
        """Nothing is taken that is sent, until so many rows wait; the last messages have just been taken in then. What
        comes from the poisoned chat the database refuses."""
        self.fake.faults.fail(SENDING, times=FOR_EVER, method="PUT")
        await self._write(_REFUSING)
        await self._write(_REFUSE.format(chat=poison.chat))
        await self.side.say(poison)
        poison.said -= 1
        self.talks.remove(poison)
        await self.says(self.talks, answers=True)
        await eventually(lambda: self._count(_BURIED), PATIENCE_S, what="the poisoned message is put aside")
        while await self._count(_OPEN) < rows:
            await self._says_and_is_heard()
        before = await self._count(_TAKEN)
        await self.says(self.talks[: max(1, len(self.talks) // 5)])

        async def some_are_taken() -> bool:
            return await self._count(_TAKEN) > before

        await eventually(some_are_taken, PATIENCE_S, what="the last are taken in")

    async def _says_and_is_heard(self) -> None:
        before = await self._count(_TAKEN)
        await self.says(self.talks)

        async def is_taken() -> bool:
            return await self._count(_TAKEN) >= before + len(self.talks) and not await self._count(_UNHANDLED)

        await eventually(is_taken, PATIENCE_S, progress=lambda: self._count(_OPEN), what="all is handled")

    async def go_away(self, seconds: float) -> None:
        """Refused connections, 503 and dead lines, each for a third of the time and until somebody has tried. After
        less than ten minutes the rows are made to look as they would then."""
        begun = time.monotonic()
        await self.fake.stop()
        self.told.unhandled = await self._count(_UNHANDLED)
        await self._wait(seconds / 3)
        self.fake.faults.clear()
        self.fake.faults.fail("", times=FOR_EVER)
        await self.fake.start()
        await self._wait(seconds / 3)
        await self._fall_silent(seconds)
        self.told.waiting, self.told.lanes = await self._count(_OPEN), await self._count(_LANES)
        self.told.most_tries = await self._count("SELECT max(failures) FROM outbox")
        self.told.away_s = time.monotonic() - begun

    async def _fall_silent(self, seconds: float) -> None:
        if seconds >= TEN_MINUTES_S:
            self.fake.faults.clear()
            self.fake.faults.rule("", _say_nothing, times=FOR_EVER)
            return await asyncio.sleep(seconds / 3)
        await eventually(self._all_is_put_off, PATIENCE_S, what="all that was tried is put off")
        self.fake.faults.clear()
        self.fake.faults.rule("", self._cut_when_back, times=FOR_EVER)
        await self._write(_FIRST_DUE)
        await eventually(lambda: self._count(_HANGING), PATIENCE_S, what="one hangs in the line")

    async def _all_is_put_off(self) -> bool:
        await self._write(_AS_AFTER_TEN_MINUTES)
        return not await self._count(_HANGING)

    async def _wait(self, seconds: float) -> None:
        begun, before = time.monotonic(), await self._count(_TRIES)
        if not seconds:
            await self._write(_DUE_NOW)

        async def was_tried() -> bool:
            return await self._count(_TRIES) > before

        await eventually(was_tried, max(PATIENCE_S, seconds), what="somebody has tried")
        await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))

    async def _cut_when_back(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        await self._back.wait()
        return cut(request)

    def come_back(self) -> None:
        self.fake.faults.clear()
        self._back.set()

    async def drain(self) -> None:
        """All that waited, and something new in each conversation."""
        begun, before = time.monotonic(), self._count_arrived()
        await self.says(self.talks, answers=True)

        async def is_through() -> bool:
            if self._count_arrived() > before and not self.told.first_s:
                self.told.first_s = time.monotonic() - begun
            return self._all_is_there() and not await self._count(_CROSSING) and not await self._count(_UNHANDLED)

        await eventually(is_through, PATIENCE_S, progress=lambda: self._count(_OPEN), what="all is through")
        self.told.all_s = time.monotonic() - begun

    async def becomes_quiet(self) -> None:
        begun = time.monotonic()
        await eventually(self._is_quiet, PATIENCE_S, progress=lambda: self._count(_OPEN), what="all cards are right")
        self.told.quiet_s = self.told.all_s + time.monotonic() - begun

    async def damage(self) -> dict[str, int]:
        """Of what crossed in either direction."""
        self._look()
        lanes = [(talk.tokens, self.arrived.get(talk.card, [])) for talk in self.talks]
        lanes += [(self.answers[talk.chat], self.side.heard(talk)) for talk in self.talks]
        return {
            "lost": sum(len(set(said) - set(there)) for said, there in lanes),
            "doubled": sum(n - 1 for _, there in lanes for n in Counter(there).values()),
            "out of order": sum(list(dict.fromkeys(there)) != said for said, there in lanes),
        }

    def _look(self) -> None:
        for seen in self.side.lines():
            token = token_of(seen) if seen.thread and seen.sender == self.product.desk and not seen.replaces else ""
            if token:
                self.arrived.setdefault(seen.thread or "", []).append(token)

    def _count_arrived(self) -> int:
        self._look()
        return sum(len(set(tokens)) for tokens in self.arrived.values())

    def _all_is_there(self) -> bool:
        return self._count_arrived() >= sum(talk.said for talk in self.talks)

    async def _all_owned(self) -> bool:
        return await self.ledger.owned([talk.chat for talk in self.talks]) == len(self.talks)

    async def _is_quiet(self) -> bool:
        return not await self._count(_OPEN) and not await self._count(_UNHANDLED)

    async def _count(self, query: str) -> int:
        async with self.ledger.engine.connect() as connection:
            return int(await connection.scalar(sa.text(query)))

    async def _write(self, statement: str) -> None:
        async with self.ledger.engine.begin() as connection:
            await connection.execute(sa.text(statement))


async def _say_nothing(request: web.Request, handler: Handler) -> Any:
    """Until the other side gives up."""
    await asyncio.Event().wait()


@asynccontextmanager
async def a_town(folder: Path, databases: TestDatabases, *, chats_each: int = CHATS_EACH) -> AsyncIterator[Town]:
    """`chats_each`: of a customer."""
    fake = FakeHomeserver(record=False)
    await fake.start()
    name = await databases.fresh()
    url = databases.server.uri(name)
    product, ledger = await Product.install(folder / "stellwerk", cast(Synapse, FakeAccounts(fake)), url), Ledger(url)
    try:
        yield Town(fake, product, ledger, FakeSide(fake, chats_each=chats_each))
    finally:
        await product.stop()
        await ledger.close()
        await fake.stop()
        await databases.drop(name)
