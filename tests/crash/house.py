"""One installation that may be crashed in all its parts: the program, its homeserver, its database. And the accountant
who looks into the database afterwards."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.database import open_storage
from messenger.demo.synapse import Synapse
from messenger.domain.conversation import fold
from messenger.storage.conversation_rows import as_conversation
from messenger.storage.conversations import SqlConversations
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.models.conversations import conversation
from messenger.storage.models.queues import dead_letter, inbox, outbox
from tests.crash.office import GROUP, Office
from tests.support.ledger import Damage
from tests.support.people import People
from tests.support.product import Product
from tests.support.waiting import eventually

log = logging.getLogger(__name__)

LEASE_S = 1  # of one process alone; the tests of the lease itself take longer ones
DRAIN_PATIENCE_S = 150.0  # without any progress; longer than a claim that its process could not give back
DEATH_PATIENCE_S, STIMULI = 60.0, 3
KILLED = -signal.SIGKILL

Stimulus = Callable[["House"], Awaitable[None]]


class NotReached(AssertionError):
    """The program did not come by the crash point, whatever it was given to do. It runs."""


class House:
    """`product` is started by hand; `office` is there after `open_office`. `is_alone`: its servers are nobody
    else's."""

    def __init__(
        self, product: Product, synapse: Synapse, postgres: EmbeddedPostgres, people: People, *, is_alone: bool
    ) -> None:
        self.product, self.synapse, self.postgres, self.people = product, synapse, postgres, people
        self.is_alone, self._read = is_alone, set[str]()
        self.engine: AsyncEngine = connect(product.database_url, application="accountant")
        self.office: Office

    @classmethod
    @asynccontextmanager
    async def build(
        cls,
        folder: Path,
        synapse: Synapse,
        postgres: EmbeddedPostgres,
        database_url: str,
        *,
        lease_s: float = LEASE_S,
        is_alone: bool = False,
    ) -> AsyncIterator["House"]:
        product = await Product.install(folder / "stellwerk", synapse, database_url)
        _set_lease(product.settings_file, lease_s)
        house = cls(product, synapse, postgres, People(synapse), is_alone=is_alone)
        try:
            yield house
        finally:
            await house._leave()

    async def use(self, database_url: str) -> None:
        """The accountant looks into another database."""
        await self.engine.dispose()
        self.engine = connect(database_url, application="accountant")

    async def _leave(self) -> None:
        if hasattr(self, "office"):
            await self.office.abandon()
        self.product.kill() if self.product.is_running else None
        await self.people.leave()
        await self.engine.dispose()

    async def open_office(
        self,
        *,
        agents: int = 2,
        customers: int = 3,
        more_groups: Sequence[str] = (),
        dying_at: Sequence[str] = (),
        program: Sequence[str] | None = None,
        **settings: object,
    ) -> Office:
        """The agents are in all groups. The product runs afterwards; `dying_at` are the points where it dies before
        that."""
        staff = [await self.people.person(f"agent{n}", displayname=f"Agent {n}") for n in range(agents)]
        members = [(person.user_id, f"Agent {n}", "agent") for n, person in enumerate(staff)]
        await self.product.add_group(GROUP, members, default=True, **settings)
        for name in more_groups:
            await self.product.add_group(name, members, **settings)
        for point in dying_at:
            await self.dies_at(point, program=program)
        if not self.product.is_running:
            await self.product.start(**({"program": program} if program else {}))
        room = await self.product.group_room(GROUP)
        await eventually(lambda: all(room in person.rooms for person in staff), 60, what="the agents are seated")
        self.office = Office(self.people, self.product.desk, room, staff)
        await asyncio.gather(*(self.office.open() for _ in range(customers)))
        return self.office

    # Crashing

    async def dies_at(
        self, failpoint: str, *, program: Sequence[str] | None = None, stimulus: Stimulus | None = None
    ) -> None:
        """Starts the product with an armed crash point and waits until it has killed itself there. `stimulus` brings
        it there; one that came to nothing (the other side was faster) is given again."""
        if stimulus:
            await stimulus(self)
        more = {"program": program} if program else {}
        await self.product.start(environment={"STELLWERK_FAILPOINT": failpoint}, wait=False, **more)
        code = None
        for _ in range(STIMULI):
            with contextlib.suppress(TimeoutError):
                code = await self.product.wait_until_ended(timeout_s=DEATH_PATIENCE_S)
                break
            if stimulus:
                await stimulus(self)
        if code is None:
            raise NotReached(f"crash point {failpoint} was not reached")
        assert code == KILLED, f"ended with {code} instead of dying at {failpoint}: {self.product.log_text()[-2000:]}"

    async def dies_in_time(self, seconds: float) -> None:
        """Starts the product and kills it so long after the start: perhaps before it was ready."""
        await self.product.start(wait=False)
        await asyncio.sleep(seconds)
        self.product.kill()

    async def crash_homeserver(self) -> None:
        self.synapse.kill9()
        await self.synapse.start()

    async def crash_database(self) -> None:
        await self.postgres.crash()
        await self.postgres.start()
        await self.engine.dispose()  # our own connections are gone too

    async def homeserver_may_crash(self) -> None:
        if self.is_alone:
            await self.crash_homeserver()

    async def database_may_crash(self) -> None:
        if self.is_alone:
            await self.crash_database()

    async def goes_on(self, *, more: int = 5, patience_s: float = 120) -> None:
        """Waits until so many more messages have arrived. Patience is for the time in which nothing moves at all; it is
        longer than the longest pause of a worker that has failed."""
        lanes = [lane for matter in self.office.matters for lane in (matter.asks, matter.answers)]

        def arrived() -> int:
            return sum(lane.arrivals.now() for lane in lanes)

        enough = arrived() + more

        async def moved() -> object:
            return arrived(), await self.progress()

        await eventually(lambda: arrived() >= enough, patience_s, progress=moved, what="messages arrive again")

    # The account

    async def drain(self, *, patience_s: float = DRAIN_PATIENCE_S) -> None:
        """Returns when everything that was sent is handled, or nothing has moved for so long: then the oracle tells
        what is missing."""
        try:
            await eventually(self._is_done, patience_s, progress=self.progress, what="everything is handled")
            await eventually(lambda: not self.office.unreadable(), min(patience_s, 20), what="all keys are there")
        except AssertionError as stuck:
            log.warning("not everything arrived: %s; open: %s", stuck, await self.open_rows())

    async def judge(self) -> Damage:
        damage = self.office.ledger.judge(await self.office.arrived())
        return replace(damage, reused=self.office.reused())

    async def assert_books_balance(self, *, more: int = 0) -> None:
        """Nothing open, nothing given up, and the log tells the same story as the tables. Every customer has one
        conversation; `more`: of others."""
        assert await self.open_rows() == {}
        assert await self._bad_rows() == []
        await self._assert_log_folds(len(self.office.matters) + more)

    async def open_rows(self) -> dict[str, int]:
        """By queue and state. Edits of cards that keep their distance are no open ends."""
        found = {}
        async with self.engine.connect() as connection:
            for name, table in (("inbox", inbox), ("outbox", outbox)):
                is_open = table.c.state.in_(("new", "claimed", "unknown", "waiting_key"))
                waits = sa.true() if table is inbox else table.c.kind != "EditCard"
                query = sa.select(table.c.kind, table.c.state, sa.func.count()).where(is_open, waits)
                for kind, state, count in await connection.execute(query.group_by(table.c.kind, table.c.state)):
                    found[f"{name} {kind} {state}"] = count
        return found

    async def has_read_everything_sent(self) -> bool:
        """Is every acknowledged event in our inbox? What was found once is not looked for again."""
        unread = {*self.office.ledger.events.values(), *self.office.claims} - self._read
        self._read |= await self._known(unread)
        return unread <= self._read

    async def has_read(self, token: str) -> bool:
        return bool(await self._known([self.office.ledger.events[token]]))

    async def _known(self, ids: Collection[str]) -> set[str]:
        query = sa.select(inbox.c.source_id).where(
            inbox.c.source_id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Text)))
        )
        async with self.engine.connect() as connection:
            return set(await connection.scalars(query))

    async def _is_done(self) -> bool:
        try:
            return await self.has_read_everything_sent() and await self.open_rows() == {}
        except (SQLAlchemyError, OSError):
            return False

    async def progress(self) -> object:
        try:
            async with self.engine.connect() as connection:
                ended = [
                    await connection.scalar(sa.select(sa.func.count()).where(table.c.state.in_(("done", "sent"))))
                    for table in (inbox, outbox)
                ]
            return ended, await self.open_rows()
        except (SQLAlchemyError, OSError):
            return None

    async def _bad_rows(self) -> list[Any]:
        bad = ("dead", "failed", "quarantine", "undecryptable")
        async with self.engine.connect() as connection:
            rows = list(await connection.execute(sa.select(dead_letter.c.queue, dead_letter.c.reason)))
            for table in (inbox, outbox):
                rows += await connection.execute(sa.select(table.c.kind, table.c.state).where(table.c.state.in_(bad)))
        return rows

    async def _assert_log_folds(self, conversations: int) -> None:
        async with open_storage(self.product.settings) as storage, storage.engine.connect() as connection:
            rows = (await connection.execute(sa.select(conversation))).all()
            assert len(rows) == conversations
            stories = SqlConversations(connection, storage.keys)
            for row in rows:
                stored = as_conversation(row)
                assert fold(await stories.history(stored.id)) == stored


def _set_lease(settings_file: Path, lease_s: float) -> None:
    lines = settings_file.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("lease_seconds")]
    settings_file.write_text("\n".join([*kept, f"lease_seconds = {lease_s}", ""]))
