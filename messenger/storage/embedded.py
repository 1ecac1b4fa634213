"""The embedded PostgreSQL: server programs from a wheel, one data folder, a unix socket, no TCP port.

Several processes may use one folder at the same time. Who uses it holds a shared lock on a file, and the last to leave
stops the server; the kernel gives up the lock of a killed process, so nothing needs to be repaired after a crash. A
server that a killed process left running is simply taken over by the next `start`.

Only the operating system's user who owns the folder (and root) may connect: `peer` authentication, never `trust`."""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

import asyncpg

from messenger.storage.server_programs import (
    VERSION,
    EmbeddedPostgresError,
    let_through,
    own_account,
    programs,
    server_account,
)

SUPERUSER = "postgres"
# sockaddr_un.sun_path holds 108 bytes with the final NUL (unix(7)); macOS has 104.
MAX_SOCKET_PATH = 103
RECOVERY_S = 60
POLL_S = 0.1

logger = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One data folder and the server on it. `settings` are server parameters; the first user of the folder decides."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._settings = dict(settings or {})
        self._programs = programs()
        self._account = own_account()
        self._in_use: IO[bytes] | None = None

    @property
    def socket_folder(self) -> Path:
        wanted = self.folder / "socket"
        if len(os.fsencode(wanted / ".s.PGSQL.5432")) <= MAX_SOCKET_PATH:
            return wanted
        short = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"stellwerk-pg-{os.geteuid()}-{short}"

    def uri(self, database: str = SUPERUSER) -> str:
        """A URL for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://{SUPERUSER}@/{quote(database)}?host={quote(str(self.socket_folder))}"

    async def start(self) -> None:
        """Starts the server unless it runs already, and registers this object as one of its users."""
        self._account = await asyncio.to_thread(server_account)
        await asyncio.to_thread(self._make_folders)
        async with _locked(self.folder / "start.lock"):
            if self._in_use is None:
                self._in_use = await asyncio.to_thread(_take, self.folder / "users.lock", fcntl.LOCK_SH)
            if not (self.data / "PG_VERSION").exists():
                await self._create_cluster()
            self._check_version()
            await self._admit()
            if not await self._is_running():
                # Also when a stale pid file names another process: PostgreSQL itself finds that out.
                await self._start_server()

    async def stop(self) -> None:
        """Leaves the server; stops it when nobody else uses it. Calling it twice does no harm."""
        if self._in_use is None:
            return
        async with _locked(self.folder / "start.lock"):
            in_use, self._in_use = self._in_use, None
            try:
                fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            else:
                if await self._run("pg_ctl", "stop", "-D", str(self.data), "-w", "-m", "fast", may_fail=True) != 0:
                    logger.warning(
                        "pg_ctl stopped nothing: no server, or see its log", extra={"folder": str(self.folder)}
                    )
            finally:
                in_use.close()

    async def crash(self) -> None:
        """Ends the server without a checkpoint, as after a power cut; `start` recovers from the write-ahead log."""
        await self._run("pg_ctl", "stop", "-D", str(self.data), "-w", "-m", "immediate")

    async def create_database(self, name: str, *, template: str | None = None) -> str:
        """Creates the database unless it exists; returns its URL."""
        clause = f" TEMPLATE {_quoted(template)}" if template else ""
        with contextlib.suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            await self.execute(f"CREATE DATABASE {_quoted(name)}{clause}")
        return self.uri(name)

    async def drop_database(self, *names: str) -> None:
        """Drops them together with the connections that are still open."""
        await self.execute(*(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)" for name in names))

    async def databases(self) -> frozenset[str]:
        connection = await self._connect()
        try:
            return frozenset(row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database"))
        finally:
            await connection.close()

    async def execute(self, *statements: str) -> None:
        """As superuser, each outside a transaction, in the maintenance database."""
        connection = await self._connect()
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def value(self, query: str) -> object:
        """One value, asked as superuser in the maintenance database."""
        connection = await self._connect()
        try:
            found: object = await connection.fetchval(query)
            return found
        finally:
            await connection.close()

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(host=str(self.socket_folder), user=SUPERUSER, database=SUPERUSER, timeout=10)

    def _make_folders(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        self.socket_folder.mkdir(exist_ok=True)
        for folder in (self.folder, self.data, self.socket_folder):
            self._own(folder)

    def _own(self, folder: Path) -> None:
        details = folder.lstat()
        if not stat.S_ISDIR(details.st_mode) or details.st_uid not in {os.geteuid(), self._account.uid}:
            raise EmbeddedPostgresError(f"{folder} belongs to somebody else: choose another data folder")
        if self._account.uid is not None and self._account.gid is not None:
            os.chown(folder, self._account.uid, self._account.gid)
        folder.chmod(0o700)

    async def _create_cluster(self) -> None:
        # The builtin locale sorts alike on every machine, whatever the C library thinks of the language.
        await self._run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            SUPERUSER,
            "--auth=peer",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        names = sorted({self._account.name, own_account().name})
        (self.data / "pg_ident.conf").write_text("".join(f'embedded "{name}" {SUPERUSER}\n' for name in names))

    async def _admit(self) -> None:
        """Who may connect: our own users, also for a stream of the write-ahead log."""
        file, wanted = self.data / "pg_hba.conf", "local all,replication all peer map=embedded\n"
        if not file.exists() or file.read_text() != wanted:
            file.write_text(wanted)
            await self._run("pg_ctl", "reload", "-D", str(self.data), may_fail=True)

    def adopt(self, folder: Path) -> None:
        """Gives a folder, with all that is in it, to the server's account, and to nobody else."""
        account = server_account()
        for path in (folder, *folder.rglob("*")):
            if account.uid is not None and account.gid is not None:
                os.chown(path, account.uid, account.gid)
            path.chmod(0o700 if path.is_dir() else 0o600)

    def _check_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != str(VERSION):
            raise EmbeddedPostgresError(
                f"{self.data} is of PostgreSQL {version}, this program brings {VERSION}: "
                "dump with the old program and restore, or choose a new data folder"
            )

    async def _is_running(self) -> bool:
        """A server that another user has just started, or that recovers from a crash, is waited for."""
        if await self._run("pg_ctl", "status", "-D", str(self.data), may_fail=True) != 0:
            return False
        give_up_at = time.monotonic() + RECOVERY_S
        while await self._run("pg_isready", "-q", "-h", str(self.socket_folder), may_fail=True) != 0:
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _start_server(self) -> None:
        options = [
            f"-k '{self.socket_folder}'",
            "-h ''",
            *(f"-c {key}={value}" for key, value in self._settings.items()),
        ]
        await self._run(
            "pg_ctl", "start", "-D", str(self.data), "-w", "-t", "120", "-l", str(self.log), "-o", " ".join(options)
        )

    async def _run(self, program: str, *arguments: str, may_fail: bool = False) -> int:
        """Runs one of the server's programs as the server's user; its output is kept out of the terminal."""
        code, output = await asyncio.to_thread(self._run_now, program, arguments)
        if code != 0 and not may_fail:
            raise EmbeddedPostgresError(f"{program} ended with {code}; see {self.log}\n{output[-2000:]}")
        return code

    def _run_now(self, program: str, arguments: tuple[str, ...]) -> tuple[int, str]:
        if self._account.uid is not None:  # each time: others may close a folder above ours while the server runs
            let_through(self.folder)
            let_through(self._programs)
        # A file, not a pipe: the server inherits it from pg_ctl and would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            account = self._account
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.data,
                user=account.uid,
                group=account.gid,
                extra_groups=None if account.uid is None else [],
                check=False,
            )
            output.seek(0)
            return done.returncode, output.read()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _take(path: Path, mode: int) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, mode)
    except BaseException:
        file.close()
        raise
    return file


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    file = await asyncio.to_thread(_take, path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        file.close()
