"""Processes of one installation that follow one another: one is the desk, the next stands by. How each of them ends is
settled when it starts, so that a crash point may be armed."""

import asyncio
import getpass
import logging
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from messenger.storage.models.queues import lease
from tests.crash import books
from tests.crash.house import DEATH_PATIENCE_S, MISSED_AFTER, STIMULI, House
from tests.crash.points import Point
from tests.support.other_code import OtherCode
from tests.support.product import Product
from tests.support.waiting import eventually

log = logging.getLogger(__name__)

FOLLOWED_S = 120.0  # the lease, and ten seconds in which one that stands still may have its row locked; a busy machine

# All that is written under the name of one that was followed already, into whatever table.
_WITNESS = """
CREATE SCHEMA watch;
CREATE TABLE watch.followed (name text PRIMARY KEY);
CREATE TABLE watch.written (name text, what text);
CREATE FUNCTION watch.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM watch.followed WHERE name = session_user) THEN
        INSERT INTO watch.written VALUES (session_user, TG_OP || ' ' || TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
DO $$ DECLARE each text; BEGIN
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TRIGGER looked_at AFTER INSERT OR UPDATE OR DELETE ON public.%I
            FOR EACH ROW EXECUTE FUNCTION watch.look()', each);
    END LOOP;
END $$;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """How an owner ends: at a crash point, or so many seconds after it has taken over and so many messages have arrived
    since. It is killed, or stands still until its successor works."""

    point: Point | None = None
    messages: int = 0
    after_s: float = 0.0
    is_stopped: bool = False

    @property
    def environment(self) -> dict[str, str]:
        blow = signal.SIGSTOP if self.is_stopped else signal.SIGKILL
        return {"STELLWERK_FAILPOINT": f"{self.point.spec}:{blow.name}"} if self.point else {}

    def __str__(self) -> str:
        moment = self.point.spec if self.point else f"{self.messages} messages and {self.after_s:.1f} s"
        return f"{'stopped' if self.is_stopped else 'killed'} at {moment}"


def next_to(house: House, name: str, *, code: OtherCode | None = None) -> Product:
    """Another process of the same installation, with a log of its own."""
    first = house.product
    folder = first.folder.with_name(name)
    folder.mkdir()
    shutil.copy(first.settings_file, folder)
    return Product(folder, house.synapse.url, first.desk, first.database_url, code=code)


@asynccontextmanager
async def standby_of(house: House) -> AsyncIterator[Product]:
    second = next_to(house, "standby")
    yield second
    second.kill() if second.is_running else None


async def lease_of(house: House) -> Any:
    async with house.engine.connect() as connection:
        return (await connection.execute(sa.select(lease))).one()


class Succession:
    """Begun before the house is. `house.product` is the owner, from one take-over to the next. The database server is
    the house's alone: every process has a name of its own there, so that what it writes can be told from what the
    others do."""

    def __init__(self, house: House) -> None:
        self.house, self.standby = house, house.product
        self.missed: list[str] = []
        self._started = [house.product]

    @classmethod
    @asynccontextmanager
    async def of(cls, house: House) -> AsyncIterator["Succession"]:
        await _run(house, _WITNESS)
        await _let_in_by_name(house)
        succession = cls(house)
        try:
            yield succession
        finally:
            for process in succession._started:
                process.kill() if process.is_running else None

    async def one_stands_by(self, fate: Fate) -> None:
        """`fate` is what awaits it once it is the owner."""
        name = f"life{len(self._started)}"
        self.standby = await self._new(name)
        self._started.append(self.standby)
        program = fate.point.program if fate.point else None
        await self.standby.start(environment=fate.environment, program=program, wait=False)
        await eventually(self._waits_or_works, FOLLOWED_S, what=f"{name} stands by")

    async def owner_ends(self, fate: Fate) -> None:
        """One that does not come by its point ends where it is."""
        if fate.point is None:
            await self.house.goes_on(more=fate.messages) if fate.messages else None
            await asyncio.sleep(fate.after_s)
        elif await self._comes_by(fate.point):
            return
        else:
            self.missed.append(fate.point.spec)
        os.kill(self.house.product.pid, signal.SIGSTOP) if fate.is_stopped else self.house.product.kill()

    async def lease_is_renewed(self) -> None:
        before = (await lease_of(self.house)).until

        async def is_longer() -> bool:
            return bool((await lease_of(self.house)).until > before)

        await eventually(is_longer, FOLLOWED_S, what="the owner renews its lease")

    async def is_followed(self) -> float:
        """Seconds until the standby had the lease, as we see it."""
        began, former = time.monotonic(), self.house.product
        await eventually(self._standby_has_the_lease, FOLLOWED_S, what="the standby takes over")
        took = time.monotonic() - began
        if former.is_running:
            await _run(self.house, f"INSERT INTO watch.followed VALUES ('{former.folder.name}')")
        self.house.product = self.standby
        return took

    async def wakes_up_to_nothing(self, former: Product) -> None:
        """It ends by itself, and has written nothing more."""
        os.kill(former.pid, signal.SIGCONT)
        code = await former.wait_until_ended(timeout_s=FOLLOWED_S)
        assert code == 1, f"ended with {code}: {former.log_text()[-2000:]}"
        assert "lease lost" in former.log_text()

    async def written_by_the_followed(self) -> list[str]:
        async with self.house.engine.connect() as connection:
            rows = await connection.execute(sa.text("SELECT name, what FROM watch.written"))
            return [f"{name}: {what}" for name, what in rows]

    async def _new(self, name: str) -> Product:
        process = next_to(self.house, name)
        await _run(self.house, f"CREATE ROLE {name} LOGIN SUPERUSER")
        ours = make_url(process.database_url).set(username=name).render_as_string(hide_password=False)
        settings = process.settings_file.read_text()
        lines = [f'url = "{ours}"' if _is_main(line) else line for line in settings.splitlines()]
        process.settings_file.write_text("\n".join([*lines, ""]))
        return process

    async def _comes_by(self, point: Point) -> bool:
        for _ in range(STIMULI):
            if point.before:
                await point.before(self.house)
            if await self._ends_by_itself():
                return True
            log.info("crash point %s was missed", point.spec)
        return False

    async def _ends_by_itself(self) -> bool:
        """Not if so much was handled meanwhile, or nothing for so long."""
        first = await books.handled(self.house.engine)

        async def is_over() -> bool:
            return self._stands_still() or await books.handled(self.house.engine) - first >= MISSED_AFTER

        try:
            await eventually(is_over, DEATH_PATIENCE_S, progress=self.house.progress)
        except AssertionError:
            return False
        return self._stands_still()

    def _stands_still(self) -> bool:
        process = self.house.product
        try:
            return not process.is_running or psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False  # as good as ended: its parent is about to hear of it

    async def _waits_or_works(self) -> bool:
        if not self.standby.is_running and not await self._standby_has_the_lease():
            raise RuntimeError(f"the standby ended: {self.standby.log_text()[-2000:]}")
        return "waiting as its standby" in self.standby.log_text() or await self._standby_has_the_lease()

    async def _standby_has_the_lease(self) -> bool:
        return bool((await lease_of(self.house)).owner.endswith(f":{self.standby.pid}"))


def _is_main(line: str) -> bool:
    return line.startswith("url = ") and "_keys" not in line


async def _let_in_by_name(house: House) -> None:
    """Whoever is us may call itself `life` and a number (see `pg_ident.conf` in PostgreSQL's manual)."""
    with (house.postgres.data / "pg_ident.conf").open("a") as map:
        map.write(f'embedded "{getpass.getuser()}" /^life[0-9]+$\n')
    await house.postgres.execute("SELECT pg_reload_conf()")


async def _run(house: House, statements: str) -> None:
    async with house.engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute(statements)
