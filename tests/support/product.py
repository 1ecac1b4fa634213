"""Stellwerk itself for tests: the real program in a process of its own, on a real homeserver and database.

`Product` can be started, killed at a named crash point and started again on the same data."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from messenger import bootstrap
from messenger.bootstrap import Admin
from messenger.config import Settings
from messenger.demo.child import Child
from messenger.demo.synapse import Synapse
from messenger.storage.database import connect
from messenger.storage.models.queues import lease
from tests.support.databases import key_database_of, make_database
from tests.support.other_code import OtherCode
from tests.support.waiting import eventually
from tests.support.warm import WarmChild

# Short, so that a process that stands still is followed soon; long enough for a loaded machine to renew it.
LEASE_S = 3
START_PATIENCE_S = 60.0


def _program() -> Sequence[str]:
    """With STELLWERK_MUTANT the program with this defect (see tests/crash/seeded.py)."""
    mutant = os.environ.get("STELLWERK_MUTANT")
    return ("-m", "tests.crash.mutants", mutant) if mutant else ("-m", "messenger.cli")


class Product:
    """One installation: its settings file, its desk's account and, while it runs, its process: of our code, or of
    other code."""

    def __init__(
        self, folder: Path, homeserver_url: str, desk: str, database_url: str, *, code: OtherCode | None = None
    ) -> None:
        self.folder, self.desk, self.database_url = folder, desk, database_url
        self.key_database_url = key_database_of(database_url)
        self.settings_file, self.log = folder / "stellwerk.toml", folder / "stellwerk.log"
        self._homeserver_url, self._code = homeserver_url, code
        self._child: Child | None = None

    @classmethod
    async def install(
        cls, folder: Path, synapse: Synapse, database_url: str, *, organisation: str = "Linden Health"
    ) -> "Product":
        """Registers the desk's account, writes the settings, makes the tables."""
        folder.mkdir(parents=True, exist_ok=True)
        account = await synapse.register(f"desk-{secrets.token_hex(3)}", displayname=organisation)
        product = cls(folder, synapse.url, account.user_id, database_url)
        bootstrap.write_root_key(folder / "root.key")
        (folder / "desk.password").write_text(account.password)
        (folder / "desk.password").chmod(0o400)
        product._write_settings(organisation)
        await make_database(product.key_database_url)
        await bootstrap.migrate(product.settings)
        return product

    @property
    def settings(self) -> Settings:
        return Settings.load(self.settings_file)

    @property
    def pid(self) -> int:
        assert self._child is not None, "not started"
        return self._child.pid

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Admin]:
        async with bootstrap.open_admin(self.settings) as admin:
            yield admin

    async def add_group(self, name: str, members: Sequence[tuple[str, str, str]] = (), **options: object) -> None:
        """`members` are (user id, name, role). The test people's devices are not cross-signed, so `any` is the
        policy. Answers leave at once unless `hold_seconds` says otherwise."""
        defaults = {"device_policy": "any", "hold_seconds": 0}
        async with self.admin() as admin:
            await admin.add_group(name, **{**defaults, **options})  # type: ignore[arg-type]
            for address, person, role in members:
                await admin.add_agent(address, person)
                await admin.add_member(name, address, role)

    async def start(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] | None = None,
        wait: bool = True,
    ) -> None:
        """Runs `stellwerk serve`. `environment` arms crash points; `program` may be a mutant. Nobody waits here for the
        lease of one that was killed before: that it is waited for is seen with a standby."""
        await self._end_lease_of_the_killed()
        program = program or _program()
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, *program, "--config", str(self.settings_file), "serve", "--ready-file", str(ready)]
        self._child = self._process(command, {**os.environ, **(environment or {})})
        self._child.start()

        async def is_ready() -> bool:
            return ready.exists()

        if wait:
            await self._child.wait_healthy(is_ready, timeout_s=START_PATIENCE_S)

    def _process(self, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        if self._code is None:
            return WarmChild("Stellwerk", command, log=self.log, env=environment)
        return Child("Stellwerk", command, log=self.log, env={**environment, **self._code.environment})

    async def _end_lease_of_the_killed(self) -> None:
        if self._child is None or self._child.exit_code != -signal.SIGKILL:
            return
        was_its = lease.c.owner.endswith(f":{self._child.pid}", autoescape=True)
        engine = connect(self.database_url, application="tests")
        with suppress(OSError):  # an embedded database is away with its program
            async with engine.begin() as connection:
                over = sa.func.now() - timedelta(seconds=1)
                await connection.execute(lease.update().where(was_its).values(until=over))
        await engine.dispose()

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop()

    def kill(self) -> None:
        """SIGKILL, without any chance to tidy up."""
        assert self._child is not None, "not started"
        self._child.kill9()

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    async def wait_until_ended(self, *, timeout_s: float = 60) -> int:
        assert self._child is not None, "not started"
        async with asyncio.timeout(timeout_s):
            return await self._child.wait()

    async def group_room(self, name: str) -> str:
        """The group's Matrix room, once the desk has made it."""

        async with self.admin() as admin:

            async def room() -> str | None:
                return next((group.room_id for group in await admin.groups() if group.name == name), None)

            return await eventually(room)

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def _write_settings(self, organisation: str) -> None:
        self.settings_file.write_text(f'''
[server]
data_dir = "{self.folder / "var"}"
organisation = "{organisation}"
[database]
url = "{self.database_url}"
[key_database]
url = "{self.key_database_url}"
[matrix]
homeserver = "{self._homeserver_url}"
[[matrix.desks]]
user_id = "{self.desk}"
password_file = "{self.folder / "desk.password"}"
[security]
root_key_file = "{self.folder / "root.key"}"
[limits]
contact_per_minute = 0
server_per_minute = 0
account_per_minute = 0
group_per_minute = 0
lease_seconds = {LEASE_S}
''')
        self.settings_file.chmod(0o600)
