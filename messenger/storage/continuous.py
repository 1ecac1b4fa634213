"""A continuous backup of the embedded server: a copy of its files, and after it every byte of its write-ahead log as it
is written. From both the server is brought back as it was at any moment in between.

The copy holds the whole server: both databases. The log comes over a replication slot, so that none of it is missing
when the stream is cut for a while; the server keeps at most `MOST_KEPT` for it."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path

import asyncpg

from messenger.storage.backup_set import BadSet, new_folder, sha256_of
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.postgres_tools import Tools
from messenger.storage.server_programs import EmbeddedPostgresError

SLOT, MOST_KEPT = "stellwerk_backup", "8GB"
BASE, LOG, CHECKSUMS = "base", "wal", "backup_manifest"
RECOVERY_PATIENCE_S = 3600.0
_DROP_SLOT = f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{SLOT}'"  # noqa: S608
POLL_S = 0.2


async def make_base(server: EmbeddedPostgres, tools: Tools, folder: Path) -> Path:
    """Returns the file with the checksums of the copy. The log that the copy needs comes by `stream`."""
    new_folder(folder)
    await server.execute(f"ALTER SYSTEM SET max_slot_wal_keep_size = '{MOST_KEPT}'")
    await server.execute("SELECT pg_reload_conf()")
    await _renew_slot(server)
    (folder / LOG).mkdir(mode=0o700)
    await tools.run(
        "pg_basebackup",
        f"--pgdata={folder / BASE}",
        "--wal-method=none",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        "--no-password",
    )
    return folder / BASE / CHECKSUMS


async def end(server: EmbeddedPostgres) -> None:
    """From now on the server keeps the log for nobody. Raises BadSet while somebody streams it."""
    try:
        await server.execute(_DROP_SLOT)
    except asyncpg.ObjectInUseError:
        raise BadSet("the continuous backup runs: stop it first") from None


async def _renew_slot(server: EmbeddedPostgres) -> None:
    """From now on the server keeps the log for us. A slot of an older copy ends."""
    await server.execute(_DROP_SLOT)
    await server.execute(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")


@contextlib.asynccontextmanager
async def stream(tools: Tools, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Writes the log as it comes, until the block ends. Each part is on the disk before the server hears that it came.
    The process ends by itself only if something is wrong."""
    process = await tools.start(
        "pg_receivewal", f"--directory={folder / LOG}", f"--slot={SLOT}", "--synchronous", "--no-loop", "--no-password"
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def check_base(folder: Path) -> None:
    """The files of the copy are those that its list names, and the parts of the log follow each other. The list itself
    is a file of the set. Raises BadSet."""
    listed = json.loads((folder / BASE / CHECKSUMS).read_text())["Files"]
    for entry in listed:
        file = folder / BASE / _path(entry)
        if not file.is_file() or sha256_of(file) != entry["Checksum"]:
            raise BadSet(f"{file} is missing or was changed after the backup: do not use this set")
    _check_log(folder)


def _path(entry: Mapping[str, str]) -> str:
    """Names that are no UTF-8 are hexadecimal (PostgreSQL, "Backup Manifest Format")."""
    return entry["Path"] if "Path" in entry else os.fsdecode(bytes.fromhex(entry["Encoded-Path"]))


def _check_log(folder: Path) -> None:
    """The parts of the log follow each other. Their contents have checksums of their own."""
    parts = sorted(int(name[8:16], 16) * 256 + int(name[16:24], 16) for name in _parts(folder))
    if not parts:
        raise BadSet(f"{folder / LOG} is empty: the copy cannot be used without the log that was written meanwhile")
    missing = set(range(parts[0], parts[-1] + 1)) - set(parts)
    if missing:
        raise BadSet(
            f"{len(missing)} parts are missing in {folder / LOG}: nothing after the first of them can come back"
        )


def _parts(folder: Path) -> list[str]:
    """File names of 24 hexadecimal digits: time line, log, segment of 16 MB (PostgreSQL, "WAL internals")."""
    names = [file.name.removesuffix(".partial") for file in (folder / LOG).iterdir()]
    return [name for name in names if len(name) == 24]


def lay_out(server: EmbeddedPostgres, folder: Path, at: datetime | None) -> None:
    """Puts copy and log in the server's place, ready to be played forward: to `at`, or as far as the log goes."""
    shutil.copytree(folder / BASE, server.data)
    shutil.copytree(folder / LOG, server.folder / LOG)
    log = server.folder / LOG
    target = f"recovery_target_time = '{at.isoformat()}'\n" if at else ""
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f'restore_command = \'cp "{log}/%f" "%p" 2>/dev/null || cp "{log}/%f.partial" "%p" 2>/dev/null\'\n'
            f"{target}recovery_target_action = 'promote'\n"
        )
    (server.data / "recovery.signal").touch()
    server.adopt(server.folder)


async def play_forward(server: EmbeddedPostgres) -> None:
    """Starts the server and waits until it has come to its moment. Raises BadSet if the log does not go so far."""
    try:
        await server.start()
        async with asyncio.timeout(RECOVERY_PATIENCE_S):
            while await server.value("SELECT pg_is_in_recovery()"):
                await asyncio.sleep(POLL_S)
    except (EmbeddedPostgresError, OSError, asyncpg.PostgresError) as error:
        said = server.log.read_text()[-4000:] if server.log.exists() else ""
        if "before configured recovery target was reached" in said:
            raise BadSet("the log ends before that time: name an earlier one, or none for all there is") from None
        raise BadSet(f"the server cannot be brought back from this copy ({error}); {server.log} says why") from error
    for name in ("restore_command", "recovery_target_time", "recovery_target_action"):
        await server.execute(f"ALTER SYSTEM RESET {name}")
    await server.execute("SELECT pg_reload_conf()")
    shutil.rmtree(server.folder / LOG)
