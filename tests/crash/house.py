"""One installation that may be crashed in all its parts: the program, its homeserver, its database. And the account
afterwards."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.demo.synapse import Synapse
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres
from tests.crash import books
from tests.crash.office import GROUP, Office
from tests.support.ledger import Damage
from tests.support.people import People
from tests.support.product import Product
from tests.support.waiting import eventually

log = logging.getLogger(__name__)

DRAIN_PATIENCE_S = 150.0  # without any progress; longer than a claim that its process could not give back
STIMULI = 3
MISSED_AFTER = 300  # rows handled since the stimulus: the point was not on their way
DEATH_PATIENCE_S, LOOK_S = 60.0, 2.0  # in which nothing is handled at all; between two looks
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
        lease_s: float | None = None,
        is_alone: bool = False,
    ) -> AsyncIterator["House"]:
        product = await Product.install(folder / "stellwerk", synapse, database_url)
        if lease_s is not None:
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
        for _ in range(STIMULI):
            code = await self._exit_code()
            if code is not None:
                break
            log.info("crash point %s was missed", failpoint)
            if stimulus:
                await stimulus(self)
        else:
            raise NotReached(f"crash point {failpoint} was not reached")
        assert code == KILLED, f"ended with {code} instead of dying at {failpoint}: {self.product.log_text()[-2000:]}"

    async def _exit_code(self) -> int | None:
        """Once the program has ended. None if it has handled so much meanwhile, or nothing for so long, that it will
        not end."""
        first = last = await books.handled(self.engine)
        quiet_s = 0.0
        while quiet_s < DEATH_PATIENCE_S and last - first < MISSED_AFTER:
            with contextlib.suppress(TimeoutError):
                return await self.product.wait_until_ended(timeout_s=LOOK_S)
            before, last = last, await books.handled(self.engine)
            quiet_s = quiet_s + LOOK_S if last == before else 0.0
        return None

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
        assert await books.bad_rows(self.engine) == []
        await books.assert_log_folds(self.product.settings, len(self.office.matters) + more)

    async def open_rows(self) -> dict[str, int]:
        return await books.open_rows(self.engine)

    async def has_read_everything_sent(self) -> bool:
        """Is every acknowledged event in our inbox? What was found once is not looked for again."""
        unread = {*self.office.ledger.events.values(), *self.office.claims} - self._read
        self._read |= await books.known(self.engine, unread)
        return unread <= self._read

    async def has_read(self, token: str) -> bool:
        return bool(await books.known(self.engine, [self.office.ledger.events[token]]))

    async def _is_done(self) -> bool:
        try:
            return await self.has_read_everything_sent() and await self.open_rows() == {}
        except (SQLAlchemyError, OSError):
            return False

    async def progress(self) -> object:
        try:
            return await books.handled(self.engine), await self.open_rows()
        except (SQLAlchemyError, OSError):
            return None


def _set_lease(settings_file: Path, lease_s: float) -> None:
    lines = settings_file.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("lease_seconds")]
    settings_file.write_text("\n".join([*kept, f"lease_seconds = {lease_s}", ""]))
