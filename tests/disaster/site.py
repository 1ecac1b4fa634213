"""One installation, its backups, and the verbs that an operator types after a disaster."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from messenger.config import Settings
from messenger.storage.embedded import EmbeddedPostgres
from tests.crash.house import House


class Site:
    def __init__(self, house: House, server: EmbeddedPostgres, folder: Path) -> None:
        self.house, self.product, self._server, self._folder = house, house.product, server, folder
        self.database = str(make_url(house.product.database_url).database)

    @property
    def settings(self) -> Settings:
        return self.product.settings

    def set(self, name: str = "set") -> Path:
        return self._folder / "backups" / name

    async def types(self, *verb: str, succeeds: bool = True) -> str:
        """Runs `stellwerk …` as an operator would; returns all it says."""
        code, answer, remarks = await self._run(*verb)
        assert (code == 0) is succeeds, answer + remarks
        return answer + remarks

    async def asks(self, *verb: str) -> Any:
        """A verb's answer as JSON."""
        code, answer, remarks = await self._run(*verb, "--json")
        assert code == 0, answer + remarks
        return json.loads(answer)

    async def _run(self, *verb: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "messenger.cli", "--config", str(self.product.settings_file), *verb],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        )
        answer, remarks = await process.communicate()
        return process.returncode, answer.decode(), remarks.decode()

    async def destroy(self) -> None:
        """Nothing is left of both databases but their names."""
        await self.house.engine.dispose()
        for name in (self.database, f"{self.database}_keys"):
            await self._server.drop_database(name)
            await self._server.create_database(name)
