"""The servers of one benchmark run, in a folder that is removed afterwards: a PostgreSQL as durable as in production,
and Stellwerk itself in a process of its own."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from messenger.demo.synapse import Registered, Synapse
from messenger.storage.embedded import EmbeddedPostgres
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.homeservers import fresh_homeserver
from tests.support.product import Product

GROUP = "General"


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "postgres")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def postgres_pid(server: EmbeddedPostgres) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


@asynccontextmanager
async def synapse(folder: Path) -> AsyncIterator[Synapse]:
    # In a thread: the first on a checkout prepares its template in an event loop of its own.
    server = await asyncio.to_thread(fresh_homeserver, folder / "synapse")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class FakeAccounts:
    """Lets the product be installed on a fake homeserver."""

    def __init__(self, fake: FakeHomeserver) -> None:
        self._fake, self.url = fake, fake.url

    async def register(self, name: str, *, displayname: str = "") -> Registered:
        made = self._fake.register(name)
        return Registered(made.user_id, made.password)


@asynccontextmanager
async def product(
    folder: Path, homeserver: Synapse | FakeAccounts, database: EmbeddedPostgres
) -> AsyncIterator[Product]:
    """Installed, not started."""
    url = await database.create_database("stellwerk")
    installed = await Product.install(folder / "stellwerk", cast(Synapse, homeserver), url)
    try:
        yield installed
    finally:
        await installed.stop()


@asynccontextmanager
async def folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stellwerk-benchmark-") as name:
        yield Path(name)
