"""The core as one process runs it, on a real PostgreSQL: the sync loop, the inbox, the timers and the outbox, wired as
`bootstrap` does. It can die at any step, lose its lines to the database at any step, and begin again on what is there.

Encryption is played: a room key is a row of the crypto store, and without it the words in an event count as
unreadable."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from messenger.app.deliver import Deliverer
from messenger.app.desk_ports import CryptoRow, DeskUnit
from messenger.app.hands import Hands, Organisation
from messenger.app.inspection.inspector import Inspector
from messenger.app.ports import StorageAway
from messenger.channels.errors import LeaseLost
from messenger.matrix.engine import Decrypted, SyncCrypto
from messenger.matrix.http import HomeserverClient, Unreachable
from messenger.matrix.invites import InvitePolicy
from messenger.matrix.sync import SyncLoop
from messenger.storage import leases
from messenger.storage.courier import Courier
from messenger.storage.database import connect
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import desk_key
from messenger.storage.encryption import Key
from messenger.storage.erasures import SqlErasureQueue
from messenger.storage.inbox_queue import SqlInboxQueue
from messenger.storage.models.queues import lease as leases_table
from messenger.storage.outbox import take_back_claims
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.storage.timers import fire_due
from messenger.storage.unit_of_work import SqlUnits
from messenger.workers.inbox import InboxWorker
from messenger.workers.outbox import OutboxWorker
from messenger.workers.supervise import Wake
from tests.property.core_erasing import Cleaning, eraser
from tests.property.core_outside import DESK, Chats, Files, Rooms
from tests.support.keyring import keys_of

NAMESPACE = UUID(int=9)
# What ends a step of a supervised worker, and is tried again.
PASSES = (StorageAway, Unreachable, SQLAlchemyError, OSError)
How = Literal["dies", "breaks", "commit"]


class Died(BaseException):
    """SIGKILL, as far as one process can play it: nothing of ours is caught by an `except Exception`."""


@dataclass(slots=True)
class Reaper:
    """Hears every step of the running program, and at the one that was chosen ends it or its lines to the database."""

    program: "Program | None" = None
    left: int = 0
    how: How = "dies"
    traps: dict[str, How] = field(default_factory=dict)  # at the step of this name, whenever it comes
    passed: Counter[str] = field(default_factory=Counter)
    ended_at: Counter[str] = field(default_factory=Counter)

    def arm(self, how: How, nth: int) -> None:
        self.how, self.left = how, nth

    def disarm(self) -> None:
        self.left = 0
        self.traps.clear()

    def step(self, name: str) -> None:
        """A crash point, or a call to the outside."""
        if self.program is None:
            return
        if self.program.is_dead:
            raise Died
        self.passed[name] += 1
        if name in self.traps:
            self._end(self.traps.pop(name), name, self.program)
        elif self.how != "commit":
            self._count(name)

    def commits(self) -> None:
        """A transaction is about to be committed."""
        if self.program is not None and not self.program.is_dead and self.how == "commit":
            self._count("commit")

    def _count(self, name: str) -> None:
        if not self.left or self.program is None:
            return
        self.left -= 1
        if not self.left:
            self._end(self.how, name, self.program)

    def _end(self, how: How, name: str, program: "Program") -> None:
        self.ended_at[f"{how}:{name}"] += 1
        match how:
            case "dies":
                program.die()
                raise Died
            case "breaks":
                program.break_lines()
            case "commit":  # what was asked is on its way, and no answer will come
                asyncio.get_running_loop().call_soon(program.break_lines)


class Quiet(Wake):
    """A wake that says that somebody would wait, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_quiet = False

    async def wait(self) -> None:
        self.is_quiet = True
        await asyncio.sleep(0)


@dataclass(slots=True)
class Outside:
    rooms: Rooms
    chats: Chats
    files: Files
    cleaning: Cleaning
    inspector: Inspector  # one child for a whole life: it remembers nothing


class PlayedCrypto:
    """`CryptoEngine`, as far as the sync loop uses it."""

    def __init__(self, store: SqlDeskStore) -> None:
        self._store, self._known, self._new = store, set[tuple[str, str]](), list[CryptoRow]()
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._lock:
            yield

    async def reload(self) -> None:
        async with self._store.unit() as unit:
            rows = await unit.read("mx_megolm")
        self._known, self._new = {(row.key["room_id"], row.key["session_id"]) for row in rows}, []

    async def prepare(self, batch: SyncCrypto) -> None:
        pass

    async def receive(self, unit: DeskUnit, batch: SyncCrypto) -> frozenset[tuple[str, str]]:
        learned = {(event["room_id"], event["session_id"]) for event in batch.to_device} - self._known
        self._known |= learned
        self._new += [_key_row(room, session) for room, session in sorted(learned)]
        return frozenset(learned)

    def heard(self) -> Sequence[Any]:
        return ()

    def suspicions(self) -> Sequence[Any]:
        return ()

    def reported(self, told: Sequence[Any]) -> None:
        pass

    def decrypt(self, room_id: str, event: Mapping[str, Any]) -> Decrypted:
        outer, session = event["content"], event["content"]["session_id"]
        if session and (room_id, session) not in self._known:
            return Decrypted(state="waiting_key", session_id=session, reason="no_session")
        return Decrypted(
            state="new",
            type="m.room.message",
            content=outer["plain"],
            sender_key=event["sender"],
            session_id=session or f"always-{event['sender']}",
            index=outer["index"],
            owner_signed=True,
        )

    async def load_sessions(
        self, unit: DeskUnit, wanted: Sequence[tuple[str, str]], senders: Collection[str] = ()
    ) -> None:
        pass

    async def flush(self, unit: DeskUnit) -> None:
        if self._new:
            await unit.write(self._new)
            self._new = []

    async def settle(self) -> None:
        pass


def _key_row(room: str, session: str) -> CryptoRow:
    clear = {"first_index": 0, "ed25519": "k", "received_ms": 0, "shared_history": False, "backed_up": False}
    key = {"room_id": room, "session_id": session, "sender_key": "k"}
    return CryptoRow(table="mx_megolm", key=key, clear={**clear, "imported": False}, secret=b"key")


class WatchedConnection(asyncpg.Connection):
    commits: Callable[[], None]

    def transaction(self, **options: Any) -> Any:
        return WatchedTransaction(super().transaction(**options), self.commits)


class WatchedTransaction:
    """Tells before it is committed."""

    def __init__(self, inner: Any, commits: Callable[[], None]) -> None:
        self.start, self.rollback = inner.start, inner.rollback
        self._inner, self._commits = inner, commits

    async def commit(self) -> None:
        self._commits()
        await self._inner.commit()


class Lines:
    """To the database of one life after another. An engine of its own for each process would put every statement
    together anew."""

    def __init__(self, url: str, *, pool_size: int, commits: Callable[[], None] = lambda: None) -> None:
        self.engine = connect(url, pool_size=pool_size)
        self._open: list[Any] = []
        self._kind = type("WatchedConnection", (WatchedConnection,), {"commits": staticmethod(commits)})
        sync_engine = self.engine.sync_engine
        sa.event.listen(sync_engine, "do_connect", self._to_this_life)
        sa.event.listen(sync_engine, "connect", self._keep)

    def move(self, url: str) -> None:
        self.engine.sync_engine.url = sa.make_url(url)

    def cut(self) -> None:
        """All at once, in the middle of whatever is asked."""
        for line in self._open:
            line.terminate()
        self._open.clear()

    def _to_this_life(self, dialect: object, record: object, arguments: object, parameters: dict[str, object]) -> None:
        parameters["database"] = self.engine.sync_engine.url.database
        parameters["connection_class"] = self._kind

    def _keep(self, connection: Any, record: object) -> None:
        self._open.append(connection.driver_connection)


class Program:
    def __init__(self, lines: Lines, root: Key, outside: Outside, reaper: Reaper, *, device: str = "D") -> None:
        self._lines, self._root, self._outside, self._reaper, self._device = lines, root, outside, reaper, device
        self.is_dead = False
        self._death = asyncio.Event()
        self.engine = lines.engine

    def break_lines(self) -> None:
        self._lines.cut()

    def die(self) -> None:
        self.is_dead = True
        self.break_lines()
        self._death.set()

    async def start(self) -> None:
        """As a process that takes the desk over."""
        engine, keys = self.engine, keys_of(self.engine, self._root)
        self._outside.rooms.server.line.device = self._device
        over = leases_table.update().values(until=sa.func.now() - timedelta(seconds=1))
        async with engine.begin() as connection:
            await connection.execute(over)
        lease = await leases.acquire(engine, f"desk:{DESK}", "test", timedelta(hours=1))
        assert lease is not None
        await take_back_claims(engine, desk=DESK)
        store = SqlDeskStore(engine, keys, account=DESK, key=await desk_key(keys, DESK), lease=lease)
        crypto = PlayedCrypto(store)
        await crypto.reload()
        units = SqlUnits(engine, keys, namespace=NAMESPACE, desk=DESK)
        self._queue = SqlOutboxQueue(engine, keys, desk=DESK, device=self._device, lease=lease, holds_answers=True)
        self._outbox_wake, self._inbox_wake, self._has_heard = Quiet(), Quiet(), False
        deliverer = Deliverer(self._hands(units))
        self._outbox = OutboxWorker(
            self._queue, deliverer, device=self._device, wake=self._outbox_wake, after=self._inbox_wake
        )
        units.send_by(Courier(hand=self._outbox, lease=lease, device=self._device))
        self._inbox = InboxWorker(units, SqlInboxQueue(engine, keys), wake=self._inbox_wake)
        self._timers = lambda: fire_due(engine, keys)
        self._erasures = SqlErasureQueue(engine)
        self._eraser = eraser(engine, keys, self._outside.cleaning, namespace=NAMESPACE)
        self._sync = SyncLoop(
            cast(HomeserverClient, self._outside.rooms.server),
            cast(Any, crypto),
            store,
            invites=InvitePolicy(),
            on_rooms=lambda rooms: None,
            on_batch=lambda: None,
        )
        self._settling = asyncio.create_task(self._settle(), name="settle")

    def _hands(self, units: SqlUnits) -> Hands:
        out = self._outside
        organisation = Organisation(name="Linden Health")
        return Hands(
            units=units,
            desk=out.rooms,
            channel=out.chats,
            door=out.rooms,
            files=out.files,
            inspector=out.inspector,
            organisation=organisation,
        )

    async def work(self) -> bool:
        """A turn of each worker. Returns False if it has died."""
        self._reaper.program = self
        turn = asyncio.create_task(self._turn())
        death = asyncio.create_task(self._death.wait())
        try:
            await asyncio.wait([turn, death], return_when=asyncio.FIRST_COMPLETED)
            if not self.is_dead:
                await turn
        finally:
            death.cancel()
            if self.is_dead:
                await self.bury(turn)
            self._reaper.program = None
        return not self.is_dead

    async def bury(self, *tasks: "asyncio.Task[Any]") -> None:
        """Nothing of it does anything any more."""
        self.is_dead = True
        self.break_lines()
        left = [*tasks, self._settling, *self._outbox._running]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.engine.dispose()

    async def stop(self) -> None:
        """As at SIGTERM, with nothing on its way."""
        await self.bury()

    async def _turn(self) -> None:
        self._sync._asked_at = -60.0  # the distance that it keeps from its last question is over
        await self._passing(lambda: self._sync.once(timeout_ms=0))
        if not self._has_heard:
            await self._passing(self._hear)
        await self._passing(self._timers)
        await self._handle()
        await self._send()
        await self._passing(self._erase)

    async def _hear(self) -> None:
        await self._queue.hear()
        self._has_heard = True

    async def _handle(self) -> None:
        self._inbox_wake.is_quiet = False
        while not self._inbox_wake.is_quiet:
            if not await self._passing(self._inbox.step):
                return
            await self._outbox.drain()  # the answers of the homeserver come in the same order in every run

    async def _send(self) -> None:
        while True:
            if not await self._passing(self._outbox.step) or not self._outbox._running:
                return
            await self._outbox.drain()

    async def _erase(self) -> None:
        while (due := await self._erasures.next_due()) is not None:
            await self._eraser.take(due)

    async def _settle(self) -> None:
        while True:
            await self._queue.step()

    async def _passing(self, step: Callable[[], Awaitable[object]]) -> bool:
        """As the supervised edge, which logs and tries again."""
        try:
            await step()
        except LeaseLost:
            raise
        except PASSES:
            return False
        return True
