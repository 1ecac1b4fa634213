"""One installation, its backups, and what an operator does after a disaster."""

import subprocess
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import make_url

from messenger import bootstrap
from messenger.bootstrap import Recovered
from messenger.config import Settings
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.models.crypto import mx_megolm
from messenger.storage.models.queues import lease
from messenger.storage.server_programs import programs
from tests.crash.house import House
from tests.support.warm import run_warm


class Site:
    def __init__(self, house: House, server: EmbeddedPostgres, folder: Path) -> None:
        self.house, self.product, self._server, self._base = house, house.product, server, folder
        self.database = str(make_url(house.product.database_url).database)

    @property
    def settings(self) -> Settings:
        return self.product.settings

    def folder(self, name: str = "set") -> Path:
        return self._base / "backups" / name

    async def types(self, *verb: str, succeeds: bool = True) -> str:
        """Runs `stellwerk …` as an operator would; returns all it says."""
        code, said = await run_warm(
            *["messenger.cli", "--config", str(self.product.settings_file), *verb],
            env={"NO_COLOR": "1", "COLUMNS": "200"},
        )
        assert (code == 0) is succeeds, said
        return said

    # What `backup`, `restore` and `recover-desk` do, without starting a program for each

    async def back_up(self) -> None:
        await bootstrap.back_up(self.settings, self.folder())
        await bootstrap.back_up_keys(self.settings, self.folder("keys"))

    async def destroy(self) -> None:
        """Nothing is left of both databases but their names."""
        await self.house.engine.dispose()
        for name in (self.database, f"{self.database}_keys"):
            await self._server.drop_database(name)
            await self._server.create_database(name)

    def keep_ledger_elsewhere(self) -> None:
        """From now on; a second place on another disk."""
        with self.product.settings_file.open("a") as settings:
            settings.write(f'\n[privacy]\nerasure_ledger_copy_file = "{self._base / "elsewhere" / "ledger"}"\n')

    def lose_ledger(self) -> None:
        """With the disk that the service worked on."""
        self.settings.erasure_ledger_file().unlink(missing_ok=True)
        self.settings.signing_key_file().unlink()

    async def restore(self) -> None:
        await bootstrap.restore(self.settings, self.folder(), keys=self.folder("keys"))

    async def recover(self) -> Recovered:
        return await bootstrap.recover_desk(self.settings, self.settings.desk())

    # What is there

    async def epoch(self) -> int:
        async with self.house.engine.connect() as connection:
            return int(await connection.scalar(sa.select(lease.c.epoch)) or 0)

    async def room_keys(self) -> set[tuple[str, str, bool]]:
        """(room, session, may be handed to colleagues who come later)"""
        query = sa.select(mx_megolm.c.room_id, mx_megolm.c.session_id, mx_megolm.c.shared_history)
        async with self.house.engine.connect() as connection:
            return {tuple(row) for row in await connection.execute(query)}

    async def has_saved_its_keys(self) -> bool:
        query = sa.select(sa.func.count()).select_from(mx_megolm).where(~mx_megolm.c.backed_up)
        async with self.house.engine.connect() as connection:
            return not await connection.scalar(query)

    def is_in_sets(self, *needles: str) -> list[str]:
        """Which of these can be read in the sets, unpacked, as text or in bytes."""
        unpacked = b"".join(_unpacked(file) for file in self._base.joinpath("backups").rglob("*.dump"))
        return [word for word in needles if word.encode() in unpacked or word.encode().hex().encode() in unpacked]


def _unpacked(dump: Path) -> bytes:
    command = [str(programs() / "pg_restore"), "--file=-", str(dump)]
    return subprocess.run(command, capture_output=True, check=True).stdout
