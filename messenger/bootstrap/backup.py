"""`stellwerk backup` and `stellwerk restore`: from settings to a set and back.

Two kinds of set: the main database (with queues, crypto store and audit log), and the key database, whose sets are kept
for a shorter time, so that an erasure reaches them too. A key set that is younger than a main set opens all of it. Each
holds the erasure ledger of its time, so that whoever was erased is erased again before a restored database serves."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.acting import note
from messenger.bootstrap.backup_ledger import bring_ledger_back, ledger_after, pack_ledger
from messenger.bootstrap.database import Engines, open_engines, open_storage
from messenger.config import Settings
from messenger.queries import operations
from messenger.storage import migration
from messenger.storage.backup_set import (
    BadSet,
    FileOfSet,
    Manifest,
    check_files,
    described,
    new_folder,
    read_manifest,
    write_manifest,
)
from messenger.storage.dump import Moment, assert_empty, counts, dump, is_untouched, load, one_moment, server_version
from messenger.storage.erasures import ledger_positions
from messenger.storage.models.disaster import backup_set
from messenger.storage.postgres_tools import Tools, tools_for
from messenger.storage.root_keys import RootKeys

MAIN, KEYS, CONTINUOUS = "main", "keys", "continuous"
_SCHEMAS = {MAIN: migration.MAIN, KEYS: migration.KEYS}


async def back_up(settings: Settings, folder: Path) -> Manifest:
    """The main database. The service may be running. Raises BadSet, NoTool, ToolFailed, BadRootKey, SchemaIsOld."""
    return await _back_up(settings, folder, MAIN)


async def back_up_keys(settings: Settings, folder: Path) -> Manifest:
    """The key database; call it after `back_up`, so that no key is missing that the main set needs."""
    return await _back_up(settings, folder, KEYS)


def verify(settings: Settings, folder: Path) -> Manifest:
    """Reads the whole set. Raises BadSet and BadRootKey."""
    manifest = read_manifest(folder, RootKeys.read(settings.security.root_key_file))
    check_files(folder, manifest)
    return manifest


async def restore(settings: Settings, folder: Path, *, keys: Path | None = None, replace_empty: bool = False) -> int:
    """Into empty databases. `keys` is a set of the key database, if that is lost too. The desks in the result are not
    alive: `recover_desk` gives each a new device. Returns how many entries the erasure ledger has. Raises BadSet,
    LedgerDamaged and DatabaseInUse before anything is touched."""
    manifest = of_kind(settings, folder, MAIN)
    key_manifest = of_kind(settings, keys, KEYS) if keys is not None else None
    after = ledger_after(settings, [each for each in (folder, keys) if each is not None])
    async with open_engines(settings) as engines:
        await assert_empty(engines.main, replace_empty=replace_empty)
        if key_manifest is not None:
            await assert_empty(engines.keys, replace_empty=replace_empty)
        elif manifest.counts.get("data_key") and await is_untouched(engines.keys):
            raise BadSet(
                "the key database is empty too, so that nothing of this set would open: name its set, --keys DIR"
            )
        entries = bring_ledger_back(settings, after)
        if keys is not None and key_manifest is not None:
            await _load(settings, engines.keys, keys, key_manifest, replace_empty=replace_empty)
        await _load(settings, engines.main, folder, manifest, replace_empty=replace_empty)
        for each in filter(None, (manifest, key_manifest)):
            await remember(engines.main, each, made_at=each.made_at)
    await note_restore(settings, manifest)
    return entries


def restore_ledger(settings: Settings, folder: Path) -> int:
    """For a database that came back by other means. Raises BadSet and LedgerDamaged."""
    verify(settings, folder)
    return bring_ledger_back(settings, ledger_after(settings, [folder]))


async def note_restore(settings: Settings, manifest: Manifest) -> None:
    """In the restored audit log, so that a gap in it has its explanation."""
    async with open_storage(settings) as storage:
        await note(storage.engine, storage.keys, action="backup.restore", object=f"set:{manifest.id}")


async def last_backups(settings: Settings) -> Mapping[str, datetime]:
    """Of each kind the newest that the database knows of."""
    async with open_engines(settings) as engines:
        return await operations.last_backups(engines.main)


async def _back_up(settings: Settings, folder: Path, kind: str) -> Manifest:
    roots = RootKeys.read(settings.security.root_key_file)
    async with open_storage(settings) as storage, open_engines(settings) as engines:
        new_folder(folder)
        engine, file = _engine(engines, kind), folder / f"{kind}.dump"
        tools = await _tools(settings, engine, kind)
        async with one_moment(engine, has_desks=kind == MAIN) as moment:
            await dump(tools, file, snapshot=moment.snapshot)
        facts = {"desks": moment.desks, "erasures": await _erasures(engine)} if kind == MAIN else {}
        files = [described(file), *pack_ledger(settings, folder, roots.first)]
        schema = await migration.current(engine, _SCHEMAS[kind])
        manifest = _manifest(kind, schema or "", moment, tools, roots, files, facts)
        write_manifest(folder, manifest, roots.first)
        await remember(engines.main, manifest, made_at=manifest.made_at)
        await note(storage.engine, storage.keys, action=f"backup.{kind}", object=f"set:{manifest.id}")
    return manifest


async def _erasures(engine: AsyncEngine) -> int:
    """How far this database has applied the erasure ledger."""
    return max((await ledger_positions(engine)).values(), default=0)


def _manifest(
    kind: str,
    schema: str,
    moment: Moment,
    tools: Tools,
    roots: RootKeys,
    files: Sequence[FileOfSet],
    details: Mapping[str, Any],
) -> Manifest:
    return Manifest(
        id=uuid4(),
        kind=kind,
        made_at=moment.at,
        program=program(),
        schema=schema,
        postgres=tools.version,
        root_kid=roots.first.kid,
        counts=moment.counts,
        files=files,
        details=details,
    )


def of_kind(settings: Settings, folder: Path, kind: str) -> Manifest:
    manifest = verify(settings, folder)
    if manifest.kind != kind:
        raise BadSet(f"{folder} is a set of kind {manifest.kind}, needed is {kind}")
    if not migration.knows(manifest.schema, _SCHEMAS[kind]):
        raise BadSet(
            f"{folder} was made by a newer program ({manifest.program}, schema {manifest.schema}): install that one"
        )
    return manifest


async def _load(
    settings: Settings, engine: AsyncEngine, folder: Path, manifest: Manifest, *, replace_empty: bool
) -> None:
    await assert_empty(engine, replace_empty=replace_empty, drop=True)
    section = settings.database if manifest.kind == MAIN else settings.key_database
    await load_set(engine, folder, manifest, is_embedded=not section.address())


async def load_set(engine: AsyncEngine, folder: Path, manifest: Manifest, *, is_embedded: bool = True) -> None:
    """Into an empty database: brought to our schema, its rows counted. Raises BadSet, NoTool and ToolFailed."""
    tools = tools_for(_url(engine), await server_version(engine), is_embedded=is_embedded)
    await load(tools, folder / manifest.files[0].name, str(make_url(_url(engine)).database))
    found = await counts(engine)
    wanted = {name: count for name, count in manifest.counts.items() if name != "living_desk"}
    if wrong := sorted(name for name, count in wanted.items() if found.get(name) != count):
        raise BadSet(f"the restored tables {', '.join(wrong)} do not have the rows that the manifest counts")
    await migration.upgrade(engine, schema=_SCHEMAS[manifest.kind])


async def remember(engine: AsyncEngine, manifest: Manifest, *, made_at: datetime) -> None:
    """For who asks how old the last one is. A continuous one says again and again that it lives. A set does not know of
    itself: what is restored from it is told."""
    values = {"id": manifest.id, "kind": manifest.kind, "made_at": made_at, "bytes": manifest.bytes}
    new = insert(backup_set).values(**values)
    async with engine.begin() as connection:
        await connection.execute(new.on_conflict_do_update(index_elements=[backup_set.c.id], set_={"made_at": made_at}))


async def _tools(settings: Settings, engine: AsyncEngine, kind: str) -> Tools:
    section = settings.database if kind == MAIN else settings.key_database
    return tools_for(_url(engine), await server_version(engine), is_embedded=not section.address())


def _engine(engines: Engines, kind: str) -> AsyncEngine:
    return engines.main if kind == MAIN else engines.keys


def _url(engine: AsyncEngine) -> str:
    return engine.url.render_as_string(hide_password=False)


def program() -> str:
    """The version of this program."""
    try:
        return version("stellwerk")
    except PackageNotFoundError:
        return "unknown"
