"""An installation with its settings and a database of its own, for the rights of a person; rooms are played."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger import bootstrap
from messenger.app.erasure_ports import Ended, Erasure, Found, NotNow, Target
from messenger.bootstrap.database import Storage, open_storage
from messenger.bootstrap.erasures import erasure_hands
from messenger.bootstrap.rights import PersonsRights
from messenger.config import Settings
from messenger.storage import erasures, migration
from messenger.storage.database import connect
from messenger.storage.erasures import SqlErasureQueue
from messenger.storage.models import whole_schema
from messenger.storage.models.rights import erasure
from messenger.workers.erasure import ErasureWorker
from tests.integration.staff_desk import DESK, StaffDesk
from tests.support.databases import key_database_of, make_database

BEN = "@ben:x"


@dataclass
class PlayedRooms:
    """Implements `ErasureRooms`: remembers what it was asked, refuses where the desk has no power."""

    powerless: frozenset[str] = frozenset()
    stands: dict[str, Found] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    away: int = 0

    async def look(self, target: Target) -> Found:
        self.looked.append(target.subject)
        return self.stands.get(target.room, Found())

    async def redact(self, target: Target) -> Ended:
        if self.away:
            self.away -= 1
            raise NotNow("homeserver", seconds=0)
        if target.room in self.powerless:
            return Ended(target=target, fate="impossible", code="no_power")
        self.redacted.append(target.subject)
        return Ended(target=target, fate="done")

    async def remove_media(self, target: Target) -> Ended:
        self.removed.append(target.subject)
        return Ended(target=target, fate="done")

    async def forget_keys(self, rooms: Sequence[str], people: Sequence[str]) -> None:
        self.forgotten += [*rooms, *people]

    async def leave(self, room: str) -> None:
        self.left.append(room)


@dataclass
class RightsHouse:
    settings: Settings
    storage: Storage
    desk: StaffDesk
    rights: PersonsRights
    rooms: PlayedRooms

    @property
    def engine(self) -> AsyncEngine:
        return self.storage.engine

    async def erase(self, address: str, by: str = "dora") -> Erasure:
        """Ordered and carried out to its end."""
        id = await self.rights.erase(address, by)
        await self.work_off()
        return await erasures.get(self.engine, id)

    async def work_off(self) -> None:
        hands = erasure_hands(self.storage, self.settings, self.settings.desk(), rooms=self.rooms)
        queue = SqlErasureQueue(self.engine)
        worker = ErasureWorker(queue, hands)
        while (due := await queue.next_due()) is not None or await self.has_open():
            if due is not None:
                await worker.take(due)

    async def has_open(self) -> bool:
        async with self.engine.begin() as connection:
            return bool(await connection.scalar(sa.select(sa.func.count()).where(erasure.c.done_at.is_(None))))

    async def rows_with(self, *needles: str) -> list[str]:
        """Tables with a row that names one of these."""
        found = set()
        async with self.engine.begin() as connection:
            for table in whole_schema().sorted_tables:
                for row in await connection.execute(sa.select(table)):
                    if any(needle in str(value) for needle in needles for value in row):
                        found.add(table.name)
        return sorted(found)


def settings_for(folder: Path, database_url: str, *, keys_url: str = "", **privacy: object) -> Settings:
    """The key database is the one of this database, unless it is named."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "root.key").exists():
        bootstrap.write_root_key(folder / "root.key")
    lines = "\n".join(f"{name} = {str(value).lower()}" for name, value in privacy.items())
    file = folder / f"{database_url.rsplit('/', 1)[-1].split('?')[0]}.toml"
    file.write_text(
        f'[server]\ndata_dir = "var"\n[database]\nurl = "{database_url}"\n'
        f'[key_database]\nurl = "{keys_url or key_database_of(database_url)}"\n'
        '[matrix]\nhomeserver = "http://127.0.0.1:1"\n'
        f'[[matrix.desks]]\nuser_id = "{DESK}"\npassword = "x"\n[privacy]\n{lines}\n'
    )
    file.chmod(0o600)
    return Settings.load(file)


async def _provide_keys(url: str) -> None:
    with contextlib.suppress(ProgrammingError):  # it is there already
        await make_database(url)
    engine = connect(url)
    await migration.upgrade(engine, schema=migration.KEYS)
    await engine.dispose()


@asynccontextmanager
async def open_rights_house(settings: Settings) -> AsyncIterator[RightsHouse]:
    await _provide_keys(settings.key_database.address())
    async with open_storage(settings) as storage:
        desk = StaffDesk(storage.engine, keys=storage.keys, namespace=storage.namespace)
        yield RightsHouse(settings, storage, desk, PersonsRights(storage, settings), PlayedRooms())
