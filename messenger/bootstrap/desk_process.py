"""The parts of one serving desk: put together in order, at work side by side, ended in order."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from messenger.app.deliver import Deliverer
from messenger.app.hands import Hands, Organisation
from messenger.app.inspection.inspector import Inspector
from messenger.app.outside_ports import NO_SCANNER
from messenger.app.ports import StorageAway
from messenger.bootstrap.audit import Witness
from messenger.bootstrap.checkpoint_room import CheckpointRoom
from messenger.bootstrap.database import Storage
from messenger.bootstrap.desk import be_quiet, identify, log_in, patiently
from messenger.bootstrap.erasures import erasure_hands
from messenger.bootstrap.housekeeping import Housekeeping
from messenger.bootstrap.identity_care import IdentityCare
from messenger.bootstrap.listening import Listening
from messenger.bootstrap.marks import DeskMarks
from messenger.bootstrap.outlets import outlets
from messenger.bootstrap.pace import pace
from messenger.bootstrap.reports import Reports
from messenger.bootstrap.scanning import ScannerWatch, scanner_of
from messenger.bootstrap.versions import check_versions
from messenger.channels.errors import ChannelError
from messenger.config import Desk, Settings
from messenger.matrix.chat_channel import MatrixChannel
from messenger.matrix.chat_door import MatrixDoor
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.desk import MatrixDesk
from messenger.matrix.erasure import MatrixErasure
from messenger.matrix.http import HomeserverClient, MatrixError, Unreachable
from messenger.matrix.invites import InvitePolicy
from messenger.matrix.media import MatrixMedia
from messenger.matrix.room_book import RoomBook
from messenger.matrix.sender import Encryptor, Sender
from messenger.matrix.sent_lookup import SentLookup
from messenger.matrix.sync import SyncLoop
from messenger.matrix.verification.sas import Side
from messenger.matrix.verification.verifier import KEY_GRACE_S, Verifier
from messenger.matrix.verification.voice import MatrixVoice
from messenger.observability import metrics
from messenger.observability.health import Health
from messenger.observability.time import utc_now
from messenger.storage import leases
from messenger.storage.clock import QueueClock
from messenger.storage.courier import Courier
from messenger.storage.database import guarded
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import desk_key
from messenger.storage.erasures import SqlErasureQueue
from messenger.storage.floods import SqlBuckets
from messenger.storage.inbox_queue import SqlInboxQueue
from messenger.storage.outbox import take_back_claims
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.storage.retention import Retention
from messenger.storage.sent_again import load_sent
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
PACE_EVERY_S = 1.0


class DeskProcess:
    """One desk under its lease."""

    def __init__(self, storage: Storage, settings: Settings, desk: Desk, lease: leases.Lease) -> None:
        self._base, self._tenure = storage.engine, leases.Tenure(settings.limits.lease_seconds)
        storage = replace(storage, engine=guarded(storage.engine, self._tenure.assured))
        self._storage, self._settings, self._lease = storage, settings, lease
        self._desk, self._account = desk, desk.user_id
        self._http = HomeserverClient(settings.matrix.homeserver, outlets=outlets(settings))
        self._admin = HomeserverClient(settings.matrix.homeserver, token=settings.privacy.admin_token())
        self._max_file_bytes = settings.limits.attachment_max_mb * 1_000_000
        self._inspector = Inspector(max_bytes=self._max_file_bytes)
        self._scanner = scanner_of(settings)
        self._inbox_wake, self._outbox_wake = Wake(INBOX_POLL_S), Wake()
        self._units = SqlUnits(storage.engine, storage.keys, namespace=storage.namespace, desk=self._account)
        self._reports = Reports(self._units, self._storage.engine, self._account, self._inbox_wake)
        self._pace, self._buckets = pace(settings), SqlBuckets(storage.engine)
        self._clock = QueueClock(storage.engine)
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Logs in, opens the Olm machine, signs the device. The lease is kept from the first moment on."""
        renew = for_ever("lease", self._renew, longest_pause_s=self._renewal_pause_s)
        self._keeper = asyncio.create_task(renew, name="lease")
        await check_versions(self._http)
        login = await patiently(lambda: log_in(self._storage, self._settings, self._desk))
        self._http.token, self._device = login.token, login.device_id
        self._marks = DeskMarks(self._http, self._storage.engine, self._lease, self._account)
        await patiently(self._marks.check)
        await patiently(self._open_engine)
        identity = await patiently(
            lambda: identify(self._storage, self._settings, self._desk, self._http, self._engine, login)
        )
        tell = self._reports.findings
        self._care = IdentityCare(self._http, self._engine, identity, self._account, tell=tell)
        await patiently(lambda: be_quiet(self._http))
        await self._pace.load(self._buckets, utc_now())
        await self._clock.look()
        await take_back_claims(self._storage.engine, desk=self._account)
        await self._wire_sending(identity.master_key)
        self._wire_handling()
        self._wire_upkeep()
        await self._reports.identity(identity.master_key)
        async with self._units.look() as unit:
            self._sender.remember_doubts(await unit.trust.doubted_rooms(self._account))

    async def work(self) -> None:
        """Every worker for ever. Returns never; raises LeaseLost."""
        async with asyncio.TaskGroup() as group:
            for name, step in self._steps().items():
                group.create_task(for_ever(name, step), name=name)
            group.create_task(self._watch_keeper(), name="lease watch")

    async def stop(self, workers: "asyncio.Task[None]") -> None:
        """Lets what is on its way end, then stops. What does not end in time is taken up again by the next process. A
        desk whose workers have ended already has nothing to wait for."""
        if workers.done():
            return
        try:
            self._outbox.pause()
            for worker in self._inbox:
                worker.pause()
            async with asyncio.timeout(DRAIN_S):
                await self._outbox.drain()
        except TimeoutError:
            log.warning("not everything ended in time; it is taken up again")
        workers.cancel()
        await asyncio.gather(workers, return_exceptions=True)
        await self._last_checkpoint()

    def watched_by(self, health: Health) -> None:
        """What readiness asks of a desk at work."""
        health.watch("lease", self._lease_code)
        health.watch("homeserver", self._listening.code)
        sync = self._listening.sync
        metrics.SYNC_LAG.of(desk=self._account).set_function(lambda: time.monotonic() - sync.heard_at)

    async def _lease_code(self) -> str:
        return "expired" if self._tenure.is_over else ""

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await leases.release(self._base, self._lease)
        await self._inspector.close()
        await self._http.close()
        await self._admin.close()

    async def _open_engine(self) -> None:
        key = await desk_key(self._storage.keys, self._account)
        self._store = SqlDeskStore(
            self._storage.engine, self._storage.keys, account=self._account, key=key, lease=self._lease
        )
        self._engine = NioEngine(self._http, self._store, user_id=self._account, device_id=self._device)
        await self._engine.start()
        self._book = RoomBook(self._http, self._store)

    async def _wire_sending(self, master_key: str) -> None:
        """What speaks to the homeserver."""
        sent_before = await load_sent(self._storage.engine, self._account)
        self._encryptor = Encryptor(self._engine)
        self._sender = Sender(
            self._http,
            self._book,
            self._encryptor,
            on_left_out=self._reports.left_out,
            on_doubts=self._reports.doubts,
            sent_before=sent_before,
        )
        self._lookup = SentLookup(self._http, self._engine, self._store, sent_before=sent_before)
        self._verifier = self._make_verifier(master_key)

    def _wire_handling(self) -> None:
        """What takes things in, decides, and sends what follows."""
        engine, keys, device = self._storage.engine, self._storage.keys, self._device
        self._hands = self._make_hands()
        self._outbox_queue = SqlOutboxQueue(
            engine,
            keys,
            desk=self._account,
            device=device,
            lease=self._lease,
            holds_answers=True,
            latest=self._clock.latest,
        )
        self._outbox = OutboxWorker(
            self._outbox_queue,
            Deliverer(self._hands),
            device=device,
            wake=self._outbox_wake,
            after=self._inbox_wake,
            has_begun=False,
        )
        self._inbox = [
            InboxWorker(self._units, SqlInboxQueue(engine, keys), wake=self._inbox_wake, pace=self._pace)
            for _ in range(INBOX_WORKERS)
        ]
        self._units.send_by(Courier(hand=self._outbox, lease=self._lease, device=device))
        self._listening = Listening(
            self._make_sync(), self._outbox_queue, self._marks, self._care, begin=self._outbox.begin
        )

    def _wire_upkeep(self) -> None:
        storage, settings = self._storage, self._settings
        self._house = Housekeeping(
            storage, self._hands, clock=self._clock, inbox=self._inbox_wake, outbox=self._outbox_wake
        )
        room = settings.audit.room
        post = CheckpointRoom(self._http, self._book, room).post if room else None
        self._witness = Witness(storage, settings, post=post)
        self._retention = RetentionWorker(Retention(storage.engine, storage.keys).run)
        self.erasures = ErasureWorker(
            SqlErasureQueue(storage.engine), erasure_hands(storage, settings, self._desk, rooms=self._erasing())
        )

    def _make_hands(self) -> Hands:
        settings, media = self._settings, MatrixMedia(self._http)
        organisation = Organisation(name=settings.server.organisation, languages=_languages(settings))
        channel = MatrixChannel(self._http, self._sender, media, self._lookup, account=self._account)
        desk = MatrixDesk(
            self._http,
            self._sender,
            media,
            self._book,
            self._engine,
            self._lookup,
            verify=self._verifier.ask,
            vouch=self._care.vouch,
        )
        return Hands(
            units=self._units,
            desk=desk,
            channel=channel,
            door=MatrixDoor(self._http, account=self._account, organisation=organisation.name),
            files=media,
            organisation=organisation,
            max_file_bytes=self._max_file_bytes,
            inspector=self._inspector,
            scanner=self._scanner or NO_SCANNER,
        )

    def _make_verifier(self, master_key: str) -> Verifier:
        """It proves the desk's device and its identity."""
        name = f"ed25519:{self._device}"
        keys = {name: self._engine.device_keys()["keys"][name], f"ed25519:{master_key}": master_key}
        ours, voice = Side(user_id=self._account, device_id=self._device), MatrixVoice(self._http, self._sender)
        return Verifier(
            ours,
            keys,
            voice=voice,
            book=self._engine,
            tell=self._reports.verification,
            unended=self._reports.unended,
            key_grace_s=KEY_GRACE_S,
        )

    def _make_sync(self) -> SyncLoop:
        matrix = self._settings.matrix
        invites = InvitePolicy(
            frozenset(matrix.allowed_servers),
            per_minute=matrix.invites_per_minute,
            not_ours=frozenset(filter(None, [self._settings.audit.room])),
        )
        return SyncLoop(
            self._http,
            self._engine,
            self._store,
            invites=invites,
            on_rooms=self._book.forget,
            on_batch=self._inbox_wake.hint,
            on_verification=self._verifier.hear,
            on_own_keys=self._care.look_again,
        )

    def _erasing(self) -> MatrixErasure:
        return MatrixErasure(
            http=self._http,
            engine=self._engine,
            store=self._store,
            lookup=self._lookup,
            backup=self._care.backup,
            book=self._book,
            admin=self._admin if self._admin.token else None,
        )

    def _steps(self) -> dict[str, Callable[[], Awaitable[object]]]:
        """Worker by worker, what it repeats."""
        watch = ScannerWatch(self._scanner, self._outbox_queue, self._outbox_wake) if self._scanner else None
        return {
            **({"scanner": watch.step} if watch else {}),
            "sync": self._listening.step,
            "mark": self._listening.mark,
            **{f"inbox {number}": worker.step for number, worker in enumerate(self._inbox)},
            "outbox": self._outbox.step,
            "settle": self._outbox_queue.step,
            "encryptor": self._encryptor.step,
            "verification": self._verifier.step,
            "left out": self._reports.report_left_out,
            "doubts": self._reports.report_doubts,
            "backup": self._care.back_up,
            "identity": self._care.check,
            "timers": self._house.fire_timers,
            "boards": self._house.renew_boards,
            "floods": self._house.renew_floods,
            "pace": self._keep_pace,
            "keys": self._house.keep_keys,
            "audit": self._witness.step,
            "retention": self._retention.step,
            "erasures": self.erasures.step,
        }

    async def _keep_pace(self) -> None:
        await self._pace.save(self._buckets, utc_now())
        await asyncio.sleep(PACE_EVERY_S)

    async def _renew(self) -> None:
        await self._tenure.renew(self._base, self._lease)
        await asyncio.sleep(self._renewal_pause_s)

    @property
    def _renewal_pause_s(self) -> float:
        return self._settings.limits.lease_seconds / leases.RENEWALS

    async def _watch_keeper(self) -> None:
        assert self._keeper is not None
        await asyncio.shield(self._keeper)

    async def _last_checkpoint(self) -> None:
        """What was added until the end has its witness, too; a stop must not hang on it."""
        try:
            async with asyncio.timeout(LAST_CHECKPOINT_S):
                await self._witness.write()
        except (OSError, TimeoutError, StorageAway, SQLAlchemyError, MatrixError, Unreachable, ChannelError) as error:
            log.warning("no last checkpoint of the audit log", extra={"error": type(error).__name__})


def _languages(settings: Settings) -> tuple[str, ...]:
    return tuple(dict.fromkeys([settings.i18n.default, *settings.i18n.languages]))
