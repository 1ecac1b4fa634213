"""`stellwerk serve`: everything that runs, started in order, ended in order."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from messenger.app.boards import renew_boards
from messenger.app.deliver import Deliverer
from messenger.app.hands import Hands, Organisation
from messenger.app.items import DeskIdentityChanged, DeviceLeftOut, TrustDoubted, TrustSettled, VerificationNews
from messenger.app.ports import StorageAway
from messenger.app.records import NewItem
from messenger.bootstrap.audit import Witness, poster
from messenger.bootstrap.database import Storage, open_storage
from messenger.bootstrap.desk import be_quiet, identify, log_in
from messenger.bootstrap.erasures import erasure_hands, reapply_erasures
from messenger.bootstrap.marks import DeskMarks
from messenger.bootstrap.versions import check_versions
from messenger.config import Desk, Settings
from messenger.matrix.chat_channel import MatrixChannel
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.desk import MatrixDesk
from messenger.matrix.engine import Doubt
from messenger.matrix.erasure import MatrixErasure
from messenger.matrix.http import HomeserverClient, MatrixError, Unreachable
from messenger.matrix.identity.cross_signing import SigningKey, sign_person
from messenger.matrix.identity.health import check_identity
from messenger.matrix.identity.key_backup import BackupChanged, KeyBackup
from messenger.matrix.identity.values import Identity
from messenger.matrix.media import MatrixMedia
from messenger.matrix.room_book import RoomBook
from messenger.matrix.sender import Encryptor, LeftOut, Sender, SentBefore
from messenger.matrix.sent_lookup import SentLookup
from messenger.matrix.sync import InvitePolicy, SyncLoop
from messenger.matrix.verification.sas import Side
from messenger.matrix.verification.verifier import News, Verifier
from messenger.matrix.verification.voice import MatrixVoice
from messenger.storage import leases
from messenger.storage.courier import Courier
from messenger.storage.desk_life import load_sent
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import desk_key
from messenger.storage.erasures import SqlErasureQueue
from messenger.storage.inbox_queue import SqlInboxQueue
from messenger.storage.key_upgrade import upgrade_keys
from messenger.storage.outbox import take_back_claims
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.storage.retention import Retention
from messenger.storage.sweep import sweep
from messenger.storage.timers import fire_due
from messenger.storage.unit_of_work import SqlUnits
from messenger.workers.erasure import ErasureWorker
from messenger.workers.inbox import InboxWorker
from messenger.workers.outbox import OutboxWorker
from messenger.workers.retention import RetentionWorker
from messenger.workers.supervise import Wake, for_ever

log = logging.getLogger(__name__)

# What comes in this process is hinted at; they look by themselves for what other processes write.
INBOX_WORKERS, INBOX_POLL_S = 3, 1.0
DRAIN_S = 20.0
LAST_CHECKPOINT_S = 3.0
BACKUP_EVERY_S = 1.0
IDENTITY_CHECK_EVERY_S = 300.0
MARK_EVERY_S = 60.0
TIMERS_EVERY_S, TIMERS_AT_ONCE = 1.0, 200
BOARDS_EVERY_S = 5.0
KEYS_EVERY_S = 5.0
FIRST_SWEEP_AFTER_S, SWEEP_EVERY_S = 600.0, 3600.0


class TooManyDesks(Exception):
    """The settings name more desks than one installation can serve yet."""


class DeskEnded(Exception):
    """A desk stopped by itself: another process took it over, or a worker could not go on. The log says which."""


async def serve(settings: Settings, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Runs until `stop`. Raises what makes a start impossible, in words for the operator, and DeskEnded."""
    if len(settings.matrix.desks) > 1:
        raise TooManyDesks("this version serves one desk for each database: give the others databases of their own")
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(open_storage(settings, is_serving=True))
        await reapply_erasures(storage, settings)
        for desk in settings.matrix.desks:
            await stack.enter_async_context(_running(storage, settings, desk, stop))
        if not stop.is_set():
            ready()
        await stop.wait()


@asynccontextmanager
async def _running(storage: Storage, settings: Settings, desk: Desk, stop: asyncio.Event) -> AsyncIterator[None]:
    """A desk at work. If one of its workers ends, the whole service stops: the next process takes over."""
    lease = await _wait_for_lease(storage, settings, desk, stop)
    if lease is None:
        yield
        return
    process = DeskProcess(storage, settings, desk, lease)
    try:
        await process.start()
        workers = asyncio.create_task(process.work(), name=f"desk {desk.user_id}")
        workers.add_done_callback(lambda _: stop.set())
        try:
            yield
        finally:
            await process.stop(workers)
    finally:
        await process.close()
    if not workers.cancelled() and (cause := workers.exception()) is not None:
        raise DeskEnded(f"{desk.user_id} stopped by itself: see the log; the next process takes over") from cause


async def _wait_for_lease(storage: Storage, settings: Settings, desk: Desk, stop: asyncio.Event) -> leases.Lease | None:
    """A second process of the same desk waits here as its standby."""
    owner, lasting = f"{socket.gethostname()}:{os.getpid()}", timedelta(seconds=settings.limits.lease_seconds)
    waits = False
    while not stop.is_set():
        lease = await leases.acquire(storage.engine, f"desk:{desk.user_id}", owner, lasting)
        if lease is not None:
            return lease
        if not waits:
            log.info("another process is this desk; waiting as its standby", extra={"account": desk.user_id})
        waits = True
        await asyncio.sleep(min(1.0, settings.limits.lease_seconds / 3))
    return None


class DeskProcess:
    """The parts of one desk, wired."""

    def __init__(self, storage: Storage, settings: Settings, desk: Desk, lease: leases.Lease) -> None:
        self._storage, self._settings, self._desk, self._lease = storage, settings, desk, lease
        self._lasting = timedelta(seconds=settings.limits.lease_seconds)
        self._http = HomeserverClient(settings.matrix.homeserver)
        self._admin = HomeserverClient(settings.matrix.homeserver, token=settings.privacy.admin_token())
        self._keeper: asyncio.Task[None] | None = None
        self._is_cut_off = False
        self._are_keys_upgraded = False
        self._sweep_at = time.monotonic() + FIRST_SWEEP_AFTER_S

    async def start(self) -> None:
        """Logs in, opens the Olm machine, signs the device. The lease is kept from the first moment on."""
        self._keeper = asyncio.create_task(for_ever("lease", self._renew), name="lease")
        await check_versions(self._http)
        login = await log_in(self._storage, self._settings, self._desk)
        self._http.token = login.token
        self._marks = DeskMarks(self._http, self._storage.engine, self._lease, self._desk.user_id)
        await self._marks.check()
        key = await desk_key(self._storage.keys, self._desk.user_id)
        self._store = SqlDeskStore(
            self._storage.engine, self._storage.keys, account=self._desk.user_id, key=key, lease=self._lease
        )
        self._engine = NioEngine(self._http, self._store, user_id=self._desk.user_id, device_id=login.device_id)
        await self._engine.start()
        self._identity: Identity = await identify(
            self._storage, self._settings, self._desk, self._http, self._engine, login
        )
        await be_quiet(self._http)
        await take_back_claims(self._storage.engine, desk=self._desk.user_id)
        self._wire(login.device_id, await load_sent(self._storage.engine, self._desk.user_id))
        await self._announce_identity()
        async with self._units.look() as unit:
            self._sender.remember_doubts(await unit.trust.doubted_rooms(self._desk.user_id))

    def _wire(self, device_id: str, sent_before: SentBefore) -> None:
        engine, keys, account = self._storage.engine, self._storage.keys, self._desk.user_id
        inbox_wake, outbox_wake = Wake(INBOX_POLL_S), Wake()
        self._inbox_wake, self._outbox_wake = inbox_wake, outbox_wake
        book = RoomBook(self._http, self._store)
        self._encryptor, media = Encryptor(self._engine), MatrixMedia(self._http)
        self._left_out: asyncio.Queue[LeftOut] = asyncio.Queue()
        self._doubts: asyncio.Queue[tuple[str, frozenset[Doubt]]] = asyncio.Queue()
        self._sender = sender = Sender(
            self._http,
            book,
            self._encryptor,
            on_left_out=self._left_out.put_nowait,
            on_doubts=lambda room, doubts: self._doubts.put_nowait((room, doubts)),
            sent_before=sent_before,
        )
        lookup = SentLookup(self._http, self._engine, self._store, sent_before=sent_before)
        organisation = Organisation(name=self._settings.server.organisation, languages=_languages(self._settings))
        self._verifier = self._make_verifier(sender, device_id)
        channel = MatrixChannel(self._http, sender, media, lookup, account=account, organisation=organisation.name)
        self._units = units = SqlUnits(engine, keys, namespace=self._storage.namespace, desk=account)
        self._outbox_queue = SqlOutboxQueue(
            engine, keys, desk=account, device=device_id, lease=self._lease, holds_answers=True
        )
        self._hands = hands = Hands(
            units=units,
            desk=MatrixDesk(
                self._http, sender, media, book, self._engine, lookup, verify=self._verifier.ask, vouch=self._vouch
            ),
            channel=channel,
            door=channel,
            files=media,
            organisation=organisation,
            max_file_bytes=self._settings.limits.attachment_max_mb * 1_000_000,
        )
        self._outbox = OutboxWorker(
            self._outbox_queue, Deliverer(hands), device=device_id, wake=outbox_wake, after=inbox_wake
        )
        self._inbox = [InboxWorker(units, SqlInboxQueue(engine, keys), wake=inbox_wake) for _ in range(INBOX_WORKERS)]
        units.send_by(Courier(hand=self._outbox, lease=self._lease, device=device_id))
        invites = InvitePolicy(
            frozenset(self._settings.matrix.allowed_servers),
            per_minute=self._settings.matrix.invites_per_minute,
            not_ours=frozenset(filter(None, [self._settings.audit.room])),
        )
        self._sync = SyncLoop(
            self._http,
            self._engine,
            self._store,
            invites=invites,
            on_rooms=book.forget,
            on_batch=inbox_wake.hint,
            on_verification=self._verifier.hear,
        )
        self._backup = KeyBackup(self._http, self._engine, self._identity)
        self._witness = Witness(self._storage, self._settings, post=poster(self._http, self._settings.audit.room))
        self._retention = RetentionWorker(Retention(engine, keys).run)
        self.erasures = ErasureWorker(
            SqlErasureQueue(engine), erasure_hands(self._storage, self._settings, self._desk, rooms=self._rooms(book))
        )

    def _rooms(self, book: RoomBook) -> MatrixErasure:
        return MatrixErasure(
            http=self._http,
            engine=self._engine,
            store=self._store,
            backup=self._backup,
            book=book,
            admin=self._admin if self._admin.token else None,
        )

    def _make_verifier(self, sender: Sender, device_id: str) -> Verifier:
        """It proves the desk's device and its identity."""
        master, name = self._identity.master_key, f"ed25519:{device_id}"
        keys = {name: self._engine.device_keys()["keys"][name], f"ed25519:{master}": master}
        ours = Side(user_id=self._desk.user_id, device_id=device_id)
        voice = MatrixVoice(self._http, sender)
        return Verifier(ours, keys, voice=voice, book=self._engine, tell=self._tell_verification)

    async def _vouch(self, person: str, master_key: str) -> None:
        """Best effort: what counts while this database lives is in it."""
        seed = self._identity.user_signing_seed
        signed = seed is not None and await sign_person(
            self._http, self._desk.user_id, SigningKey(seed), person, master_key
        )
        if not signed:
            log.warning("a person is trusted, but not signed for later devices", extra={"account": self._desk.user_id})

    async def _announce_identity(self) -> None:
        account, master = self._desk.user_id, self._identity.master_key
        async with self._units() as unit:
            if await unit.trust.announce(account, master):
                item = DeskIdentityChanged(account=account, master=master)
                new = NewItem(
                    source="identity", source_id=f"{account}|{master}|{uuid4().hex}", lane="identity", item=item
                )
                await unit.inbox.add([new])

    async def _tell_verification(self, news: News) -> None:
        shown = news.short_string
        item = VerificationNews(
            account=self._desk.user_id,
            id=news.id,
            user=news.user_id,
            room=news.room,
            emoji=shown.emoji if shown else (),
            decimals=shown.decimals if shown else (),
            is_over=news.is_over,
            code=news.code,
            by_us=news.by_us,
            master=news.master,
        )
        source_id = f"{news.user_id}|{news.id}|{'over' if news.is_over else 'compare'}"
        new = NewItem(source="verification", source_id=source_id, lane=f"verification:{news.user_id}", item=item)
        async with self._units() as unit:
            await unit.inbox.add([new])
        self._inbox_wake.hint()

    async def work(self) -> None:
        """Every worker for ever. Returns never; raises LeaseLost."""
        async with asyncio.TaskGroup() as group:
            steps: dict[str, Callable[[], Awaitable[object]]] = {
                "sync": self._sync_once,
                "encryptor": self._encryptor.step,
                "outbox": self._outbox.step,
                "settle": self._outbox_queue.step,
                "backup": self._back_up,
                "timers": self._fire_timers,
                "boards": self._renew_boards,
                "identity": self._check_identity,
                "left out": self._report_left_out,
                "audit": self._witness.step,
                "keys": self._keep_keys,
                "erasures": self.erasures.step,
                "retention": self._retention.step,
                "doubts": self._report_doubts,
                "verification": self._verifier.step,
                "mark": self._mark,
            }
            for name, step in steps.items():
                group.create_task(for_ever(name, step), name=name)
            for number, worker in enumerate(self._inbox):
                group.create_task(for_ever(f"inbox {number}", worker.step), name=f"inbox {number}")
            group.create_task(self._watch_keeper(), name="lease watch")

    async def stop(self, workers: "asyncio.Task[None]") -> None:
        """Lets what is on its way end, then stops. What does not end in time is taken up again by the next process. A
        desk whose workers have ended already has nothing to wait for."""
        if workers.done():
            return
        try:
            self._outbox.pause()
            async with asyncio.timeout(DRAIN_S):
                await self._outbox.drain()
        except TimeoutError:
            log.warning("not everything ended in time; it is taken up again")
        workers.cancel()
        await asyncio.gather(workers, return_exceptions=True)
        await self._last_checkpoint()

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await leases.release(self._storage.engine, self._lease)
        await self._http.close()
        await self._admin.close()

    async def _last_checkpoint(self) -> None:
        """What was added until the end has its witness, too; a stop must not hang on it."""
        try:
            async with asyncio.timeout(LAST_CHECKPOINT_S):
                await self._witness.write()
        except (OSError, TimeoutError, StorageAway, SQLAlchemyError, MatrixError, Unreachable) as error:
            log.warning("no last checkpoint of the audit log", extra={"error": type(error).__name__})

    async def _renew(self) -> None:
        await leases.renew(self._storage.engine, self._lease, self._lasting)
        await asyncio.sleep(self._lasting.total_seconds() / 3)

    async def _watch_keeper(self) -> None:
        assert self._keeper is not None
        await asyncio.shield(self._keeper)

    async def _sync_once(self) -> None:
        """Every answer after a failure says that the homeserver is back: nothing waits any longer for it."""
        try:
            await self._sync.once()
        except Exception:
            self._is_cut_off = True
            raise
        await self._outbox_queue.hear()
        if self._is_cut_off:
            await self._marks.step()  # it may be another homeserver than the one that went away
            await self._outbox_queue.hurry()
            self._is_cut_off = False
        if self._engine.takes_note_of_new_keys():
            await self._save_new_keys()

    async def _save_new_keys(self) -> None:
        """Before the next /sync makes the homeserver forget what it has just handed over: whoever loses the database
        must find each room key in one of the two places. What fails here the backup's own worker repeats, and tells."""
        with contextlib.suppress(MatrixError, Unreachable, BackupChanged):
            await self._backup.upload_pending()

    async def _back_up(self) -> None:
        """A device that has just been signed anew first takes back what earlier ones have left."""
        if self._identity.mode == "restored":
            await self._backup.restore()
            self._identity = replace(self._identity, mode="unchanged")
        if not await self._backup.upload_pending():
            await asyncio.sleep(BACKUP_EVERY_S)

    async def _fire_timers(self) -> None:
        """Many may be due at once: all that were paused until the morning."""
        fired = TIMERS_AT_ONCE
        while fired == TIMERS_AT_ONCE:
            fired = await fire_due(self._storage.engine, self._storage.keys, most=TIMERS_AT_ONCE)
            if fired:
                self._inbox_wake.hint()
        await asyncio.sleep(TIMERS_EVERY_S)

    async def _renew_boards(self) -> None:
        if await renew_boards(self._hands):
            self._outbox_wake.hint()
        await asyncio.sleep(BOARDS_EVERY_S)

    async def _keep_keys(self) -> None:
        """Keys of an older version come under those of their persons, once; what another process has destroyed is
        forgotten, also while nobody asks for it."""
        if not self._are_keys_upgraded:
            if done := await upgrade_keys(self._storage.engine, self._storage.keys):
                log.info("keys of an older version are upgraded", extra={"count": done})
            self._are_keys_upgraded = True
        await self._storage.keys.subjects.notice_destroyed()
        if time.monotonic() > self._sweep_at:
            swept = await sweep(self._storage.engine, self._storage.keys)
            log.info("swept", extra={"count": sum(asdict(swept).values())})
            self._sweep_at = time.monotonic() + SWEEP_EVERY_S
        await asyncio.sleep(KEYS_EVERY_S)

    async def _report_left_out(self) -> None:
        """The inbox takes each report once, also over restarts."""
        room, user, device, code = await self._left_out.get()
        item = DeviceLeftOut(account=self._desk.user_id, room=room, user=user, device=device, code=code)
        new = NewItem(source="left out", source_id=f"{room}|{user}|{device}|{code}", lane=f"left out:{room}", item=item)
        async with self._units() as unit:
            await unit.inbox.add([new])

    async def _mark(self) -> None:
        await asyncio.sleep(MARK_EVERY_S)
        await self._marks.step()

    async def _report_doubts(self) -> None:
        """The table of alerts takes each once, as long as it is open."""
        room, doubts = await self._doubts.get()
        account = self._desk.user_id
        items: list[TrustDoubted | TrustSettled] = [
            TrustDoubted(account=account, room=room, user=each.user, cause=each.cause, device=each.device, key=each.key)
            for each in sorted(doubts, key=lambda each: (each.user, each.device, each.cause))
        ]
        items = items or [TrustSettled(account=account, room=room)]
        new = [NewItem(source="trust", source_id=uuid4().hex, lane=f"trust:{room}", item=item) for item in items]
        async with self._units() as unit:
            await unit.inbox.add(new)
        self._inbox_wake.hint()

    async def _check_identity(self) -> None:
        for finding in await check_identity(self._http, self._engine, self._identity):
            if finding.level != "ok":
                log.warning(
                    "identity", extra={"account": self._desk.user_id, "code": finding.code, "state": finding.level}
                )
        await asyncio.sleep(IDENTITY_CHECK_EVERY_S)


def _languages(settings: Settings) -> tuple[str, ...]:
    return tuple(dict.fromkeys([settings.i18n.default, *settings.i18n.languages]))
