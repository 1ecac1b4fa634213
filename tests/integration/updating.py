"""An installation that is updated, and taken back, by processes of two versions of the code that follow one another."""

import os
import signal
import time
from dataclasses import dataclass, field
from importlib.metadata import version

import aiohttp
from alembic import command
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger import bootstrap
from messenger.bootstrap.database import open_engines
from messenger.demo.child import free_port
from messenger.storage import migration
from tests.crash.house import House
from tests.crash.succession import lease_of, next_to
from tests.support.other_code import OtherCode
from tests.support.product import Product
from tests.support.waiting import eventually

PATIENCE_S = 90.0
_HEADS = "from messenger.storage import migration as m; print(m.head(m.MAIN), m.head(m.KEYS))"


@dataclass(slots=True, kw_only=True)
class Update:
    """`house.product` is the process that is the desk. No code: ours."""

    house: House
    old: OtherCode | None
    new: OtherCode | None
    processes: list[Product] = field(default_factory=list)
    took_s: list[tuple[float, float]] = field(
        default_factory=list
    )  # from the word to stop to the next one's lease, work

    async def begins(self) -> None:
        """With the old version. Our code has opened the office; is it the new one, then the schema goes back first."""
        self.processes.append(self.house.product)
        if self.old is None:
            return
        await self.house.product.stop()
        await self._take_schema_back(self.old)
        self.house.product = self._next_process(self.old)
        await self.house.product.start()

    async def schema_goes_up(self) -> None:
        """By the new version, while the old one serves."""
        if self.new is None:
            await bootstrap.migrate(self.house.product.settings)
        else:
            await self.new.verb(self.house.product.settings_file, "migrate", "up")

    async def goes_over_to(self, code: OtherCode | None) -> None:
        """A process of this code stands by; the one at work is told to stop, and ends in order."""
        former, before = self.house.product, await lease_of(self.house)
        successor = await self._stands_by(code)
        os.kill(former.pid, signal.SIGTERM)
        told_at = time.monotonic()

        async def has_the_lease() -> bool:
            return bool((await lease_of(self.house)).owner.endswith(f":{successor.pid}"))

        await eventually(has_the_lease, PATIENCE_S, what="the desk is handed over")
        given_after = time.monotonic() - told_at
        await eventually(lambda: (successor.folder / "ready").exists(), PATIENCE_S, what="it serves")
        self.took_s.append((given_after, time.monotonic() - told_at))
        assert await former.wait_until_ended() == 0
        assert (await lease_of(self.house)).epoch == before.epoch + 1
        self.house.product = successor

    def complaints(self) -> list[str]:
        lines = (line for process in self.processes for line in process.log_text().splitlines())
        return [line for line in lines if '"level": "error"' in line or '"level": "critical"' in line]

    async def _stands_by(self, code: OtherCode | None) -> Product:
        successor, address = self._next_process(code), f"127.0.0.1:{free_port()}"
        await successor.start(environment={"STELLWERK__WEB__METRICS_LISTEN": address}, wait=False)
        await eventually(lambda: "waiting as its standby" in successor.log_text(), PATIENCE_S, what="it stands by")
        is_called = code.version if code else version("stellwerk")
        assert f'stellwerk_build_info{{version="{is_called}"}} 1.0' in await _page(address, "/metrics")
        assert '"schema": "ok"' in await _page(address, "/readyz")
        return successor

    def _next_process(self, code: OtherCode | None) -> Product:
        self.processes.append(next_to(self.house, f"process{len(self.processes)}", code=code))
        return self.processes[-1]

    async def _take_schema_back(self, code: OtherCode) -> None:
        main, keys = (await code.run("-c", _HEADS)).split()
        async with open_engines(self.house.product.settings) as engines:
            await _downgrade(engines.keys, migration.KEYS, keys)
            await _downgrade(engines.main, migration.MAIN, main)


async def _downgrade(engine: AsyncEngine, schema: migration.Schema, target: str) -> None:
    settings = migration.config(schema=schema)
    await migration.run(engine, settings, lambda settings: command.downgrade(settings, target), schema=schema)


async def _page(address: str, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return await answer.text()
