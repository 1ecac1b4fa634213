"""PostgreSQL's own programs: those of the wheel for the embedded server, those of the machine for another one."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from messenger.storage.server_programs import VERSION, EmbeddedPostgresError, programs

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class NoTool(Exception):
    """A program of PostgreSQL is missing or too old for the server; the text says which to install."""


class ToolFailed(Exception):
    """One of PostgreSQL's programs ended with a failure; the text has its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The programs in one folder, and the server they talk to."""

    folder: Path
    version: int
    environment: Mapping[str, str]

    async def run(self, program: str, *arguments: str) -> str:
        """Raises ToolFailed. Returns what was printed."""
        process = await self.start(program, *arguments)
        printed, complaints = await process.communicate()
        if process.returncode:
            raise ToolFailed(f"{program} ended with {process.returncode}: {_last_words(complaints)}")
        return printed.decode(errors="replace")

    async def start(self, program: str, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(self.folder / program),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )


def tools_for(url: str, server_version: int, *, is_embedded: bool) -> Tools:
    """`server_version` is the major one. Raises NoTool."""
    for folder, version in _candidates():
        if version >= server_version and (folder == programs() or not is_embedded):
            return Tools(folder=folder, version=version, environment=connection_environment(url))
    raise NoTool(
        f"the database is PostgreSQL {server_version}, and no pg_dump of that version or a newer one is on this "
        f"machine: install postgresql-client-{server_version}"
    )


def connection_environment(url: str) -> dict[str, str]:
    """The address for PostgreSQL's programs. In the environment, because arguments are for everybody to read."""
    parts = make_url(url)
    host = parts.query.get("host") or parts.host
    values = {
        "PGHOST": host if isinstance(host, str) else None,
        "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.database,
        "PGSSLMODE": _text(parts.query.get("sslmode") or parts.query.get("ssl")),
        "PGAPPNAME": "stellwerk backup",
    }
    return {name: value for name, value in values.items() if value}


def _candidates() -> list[tuple[Path, int]]:
    """Of the machine first: a server that somebody else runs is best known to the programs that came with it."""
    found = []
    on_path = shutil.which("pg_dump")
    if on_path is not None and (version := _version(on_path)):
        found.append((Path(on_path).parent, version))
    with contextlib.suppress(EmbeddedPostgresError):
        found.append((programs(), VERSION))
    return found


def _version(program: str) -> int | None:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    said = _VERSION.search(done.stdout)
    return int(said[1]) if said else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _last_words(complaints: bytes) -> str:
    return complaints.decode(errors="replace").strip()[-600:]
