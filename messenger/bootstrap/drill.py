"""`stellwerk drill`: would this backup really come back? Restores a set into a server of its own that is thrown away
afterwards, opens every message in it, and says how long all that took. Nothing of the installation is touched, and no
homeserver is asked."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.backup import KEYS, MAIN, load_set, of_kind
from messenger.bootstrap.database import DATABASE, KEY_DATABASE
from messenger.config import Settings
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.encryption import CannotOpen, KeyDestroyed, KeyMissing
from messenger.storage.messages import body_place
from messenger.storage.models.conversations import message
from messenger.storage.root_keys import RootKeys
from messenger.storage.subject_keys import SubjectKeys

PAGE = 1_000


@dataclass(slots=True, kw_only=True)
class Drilled:
    """`erased` are messages whose key was destroyed on purpose; `unreadable` are none that may be."""

    made_at: datetime
    bytes: int
    rows: int
    opened: int = 0
    erased: int = 0
    unreadable: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


async def drill(settings: Settings, folder: Path, *, keys: Path) -> Drilled:
    """Raises BadSet and BadRootKey, as a restore would."""
    done: Drilled | None = None
    with tempfile.TemporaryDirectory(prefix="stellwerk-drill-") as place, _measured() as seconds:
        with _step(seconds, "verify"):
            main, key_set = of_kind(settings, folder, MAIN), of_kind(settings, keys, KEYS)
        done = Drilled(made_at=main.made_at, bytes=main.bytes + key_set.bytes, rows=sum(main.counts.values()))
        done.seconds = seconds
        server = EmbeddedPostgres(Path(place) / "postgres")
        await server.start()
        try:
            database, key_database = [connect(await server.create_database(name)) for name in (DATABASE, KEY_DATABASE)]
            with _step(seconds, "restore"):
                await load_set(key_database, keys, key_set)
                await load_set(database, folder, main)
            with _step(seconds, "open"):
                await _open_all(database, key_database, RootKeys.read(settings.security.root_key_file), done)
            for engine in (database, key_database):
                await engine.dispose()
        finally:
            await server.stop()
    return done


async def _open_all(main: AsyncEngine, keys: AsyncEngine, roots: RootKeys, done: Drilled) -> None:
    data_keys = DataKeys(main, SubjectKeys(keys, roots))
    query = sa.select(message.c.id, message.c.conversation_id, message.c.enc_body).order_by(message.c.id)
    async with main.connect() as connection:
        async for row in await connection.stream(query.execution_options(yield_per=PAGE)):
            try:
                await data_keys.open(row.enc_body, where=body_place(row.conversation_id, row.id))
                done.opened += 1
            except KeyDestroyed:
                done.erased += 1
            except (CannotOpen, KeyMissing, LookupError):
                done.unreadable += 1


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    seconds: dict[str, float] = {}
    with _step(seconds, "all"):
        yield seconds


@contextmanager
def _step(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 1)
