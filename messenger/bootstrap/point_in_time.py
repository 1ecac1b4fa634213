"""`stellwerk backup continuous` and `stellwerk restore --at`: the embedded server as it was at any moment."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from messenger.bootstrap.backup import CONTINUOUS, note_restore, program, remember
from messenger.bootstrap.backup_ledger import bring_ledger_back, ledger_after, pack_ledger
from messenger.bootstrap.database import DATABASE, open_engines, open_storage
from messenger.bootstrap.erasures import ledger
from messenger.config import Settings
from messenger.observability.time import utc_now
from messenger.storage import continuous, migration
from messenger.storage.backup_companions import LEDGER, SIGNING_KEY, refresh
from messenger.storage.backup_set import (
    MANIFEST,
    BadSet,
    Manifest,
    described,
    read_manifest,
    write_manifest,
)
from messenger.storage.database import connect
from messenger.storage.dump import DatabaseInUse, counts
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.models.disaster import living_desk
from messenger.storage.postgres_tools import Tools, tools_for
from messenger.storage.root_keys import RootKeys
from messenger.storage.server_programs import VERSION

SEEN_EVERY_S = 60.0
LEDGER_EVERY_S = 1.0


class NotEmbedded(Exception):
    """A database that somebody else runs has continuous backups of its own; the text says how."""


class StreamEnded(Exception):
    """The stream of the write-ahead log was cut; the text says what to do."""


async def back_up_continuously(
    settings: Settings, folder: Path, *, stop: asyncio.Event, ready: Callable[[Manifest], None]
) -> None:
    """A first copy unless the folder holds one, then the log until `stop`. Raises NotEmbedded, BadSet, StreamEnded."""
    _assert_embedded(settings)
    roots = RootKeys.read(settings.security.root_key_file)
    server = _server(settings)
    async with open_storage(settings), open_engines(settings) as engines:
        tools = tools_for(server.uri(DATABASE), VERSION, is_embedded=True)
        if not (folder / MANIFEST).exists():
            schema = await migration.current(engines.main) or ""
            await _begin(server, tools, folder, roots, schema, await counts(engines.main))
        if not (folder / SIGNING_KEY).exists():
            pack_ledger(settings, folder, roots.first)
        manifest = read_manifest(folder, roots)
        async with continuous.stream(tools, folder) as process:
            ready(manifest)
            while not stop.is_set():
                await remember(engines.main, manifest, made_at=utc_now())
                await _wait(settings, stop, process, folder)


async def end_continuous_backup(settings: Settings) -> None:
    """It is wanted no more: what it has stays, nobody waits for it. Raises NotEmbedded and BadSet."""
    _assert_embedded(settings)
    async with open_storage(settings):
        await continuous.end(_server(settings))


async def _begin(
    server: EmbeddedPostgres, tools: Tools, folder: Path, roots: RootKeys, schema: str, rows: Mapping[str, int]
) -> None:
    made_at = utc_now()
    checksums = await continuous.make_base(server, tools, folder)
    manifest = Manifest(
        id=uuid4(),
        kind=CONTINUOUS,
        made_at=made_at,
        program=program(),
        schema=schema,
        postgres=VERSION,
        root_kid=roots.first.kid,
        counts=rows,
        files=[described(checksums, name=f"{continuous.BASE}/{checksums.name}")],
    )
    write_manifest(folder, manifest, roots.first)


async def _wait(settings: Settings, stop: asyncio.Event, process: asyncio.subprocess.Process, folder: Path) -> None:
    """A minute, or until the stream ends or shall end. Who is erased meanwhile is in its ledger a second later."""
    ended, told = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
    for _ in range(int(SEEN_EVERY_S / LEDGER_EVERY_S)):
        if _size(settings.erasure_ledger_file()) != _size(folder / LEDGER):
            await asyncio.to_thread(refresh, folder, ledger(settings))
        done, _ = await asyncio.wait({ended, told}, timeout=LEDGER_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        if done:
            break
    for task in (ended, told):
        task.cancel()
    if process.returncode is not None and not stop.is_set():
        assert process.stderr is not None
        said = (await process.stderr.read()).decode(errors="replace").strip()[-400:]
        raise StreamEnded(
            f"the stream ended ({said}). Start it again with the same folder; if that is refused, with a new one"
        )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def verify_continuous(folder: Path) -> None:
    """What `verify` does not: the copy's own checksums, and no gap in the log. Raises BadSet."""
    continuous.check_base(folder)


async def restore_to(settings: Settings, folder: Path, at: datetime | None) -> int:
    """Beside the place where the server shall be; moved there when all is done and its desks are dead. Returns how many
    entries the erasure ledger has. Raises BadSet, LedgerDamaged, DatabaseInUse and NotEmbedded before anything is
    touched."""
    _assert_embedded(settings)
    manifest = read_manifest(folder, RootKeys.read(settings.security.root_key_file))
    if at is not None and at < manifest.made_at:
        raise BadSet(f"this copy begins at {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC: before that, take another set")
    verify_continuous(folder)
    place = _server(settings).folder
    if (place / "data" / "PG_VERSION").exists():
        raise DatabaseInUse(f"{place} holds a server, and a restore never overwrites one: move that folder away first")
    entries = bring_ledger_back(settings, ledger_after(settings, [folder]))
    draft = EmbeddedPostgres(place.with_name(f"{place.name}.restoring"))
    shutil.rmtree(draft.folder, ignore_errors=True)
    draft.folder.mkdir(parents=True)
    continuous.lay_out(draft, folder, at)
    try:
        await continuous.play_forward(draft)
        await _end_desks(draft)
    finally:
        await draft.stop()
    shutil.rmtree(place, ignore_errors=True)
    draft.folder.rename(place)
    await note_restore(settings, manifest)
    return entries


async def _end_desks(server: EmbeddedPostgres) -> None:
    engine = connect(server.uri(DATABASE))
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.delete(living_desk))
    finally:
        await engine.dispose()


def _server(settings: Settings) -> EmbeddedPostgres:
    return EmbeddedPostgres(settings.server.data_dir / "postgres")


def _assert_embedded(settings: Settings) -> None:
    if settings.database.address():
        raise NotEmbedded(
            "your PostgreSQL is not run by Stellwerk: make its continuous backups with its own tools (pg_basebackup "
            "and pg_receivewal, or pgBackRest). The manual has the recipe, and recover-desk works after them too"
        )
