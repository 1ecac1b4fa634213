"""`stellwerk recover-desk`: a desk whose database was restored goes on with a new device.

The Olm account in a backup is never used to send: its ratchets and one-time keys have been used since. In this order,
each step safe to repeat: what still waits for the old device is read, a new device is made and signed with the desk's
identity, the room keys come back from the homeserver's backup, all other devices are deleted, and what the homeserver
has is compared with what the database says. Until the last step is done, the desk stays unable to serve."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from messenger.bootstrap.acting import note
from messenger.bootstrap.catching_up import catch_up, homeserver_lost_since, invitations_of_the_lost
from messenger.bootstrap.database import Storage, open_storage
from messenger.bootstrap.desk import client, identify, log_in_with_password
from messenger.bootstrap.erasures import ledger, reapply_erasures
from messenger.bootstrap.versions import check_versions
from messenger.config import Desk, Settings
from messenger.matrix.batch import as_dict, as_list, as_text, parse
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.desk_mark import Mark, read_mark, write_mark
from messenger.matrix.engine import SyncCrypto
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.matrix.identity.key_backup import BackupChanged, KeyBackup
from messenger.matrix.identity.values import Identity, IdentityLocked
from messenger.matrix.sent_index import joined_rooms, sent_since
from messenger.storage import desk_life, leases, sent_again
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import DeskLogin, desk_key, load_login, save_login

log = logging.getLogger(__name__)

# The homeserver's clock and ours may differ by so much.
CLOCKS_DIFFER = timedelta(minutes=15)
LEASE = timedelta(minutes=5)
MOST_BATCHES = 10_000


class CannotRecover(Exception):
    """The desk cannot be recovered now; the text says why."""


@dataclass(slots=True, kw_only=True)
class Recovered:
    """What was done, for the operator."""

    account: str
    device_id: str = ""
    fingerprint: str = ""
    deleted_devices: list[str] = field(default_factory=list)
    keys_drained: int = 0
    keys_restored: int = 0
    sent_before: int = 0
    sent_again: int = 0
    chats_found: int = 0
    homeserver_lost_since: datetime | None = None
    remarks: list[str] = field(default_factory=list)


async def recover_desk(settings: Settings, desk: Desk, *, ledger_is_lost: bool = False) -> Recovered:
    """Needs the desk's password. `ledger_is_lost`: the erasure ledger is shorter than the homeserver has seen it, and
    nobody has a longer one. Raises CannotRecover, IdentityLocked, MatrixError and Unreachable; then it is called
    again."""
    async with open_storage(settings) as storage, _lease(storage, desk) as held:
        await reapply_erasures(storage, settings)  # of an erased person nothing is sent again
        login = await load_login(storage.engine, storage.keys, desk.user_id)
        if login is None:
            raise CannotRecover(f"{desk.user_id} has never been started here: `stellwerk serve` starts it")
        async with client(settings) as http:
            await check_versions(http)
            recovery = _Recovery(storage, settings, desk, held, http)
            return await recovery.run(login, ledger_is_lost=ledger_is_lost)


@asynccontextmanager
async def _lease(storage: Storage, desk: Desk) -> AsyncIterator[leases.Lease]:
    """Nobody else is the desk meanwhile, and no process of before can be again."""
    owner = f"recover-desk on {socket.gethostname()}:{os.getpid()}"
    lease = await leases.acquire(storage.engine, f"desk:{desk.user_id}", owner, LEASE)
    if lease is None:
        raise CannotRecover(f"a process is {desk.user_id} at the moment: stop `stellwerk serve` everywhere first")
    lease = await desk_life.raise_epoch(storage.engine, lease)
    try:
        yield lease
    finally:
        await leases.release(storage.engine, lease)


class _Recovery:
    def __init__(
        self, storage: Storage, settings: Settings, desk: Desk, lease: leases.Lease, http: HomeserverClient
    ) -> None:
        self._storage, self._settings, self._desk, self._lease, self._http = storage, settings, desk, lease, http
        self._account, self._report = desk.user_id, Recovered(account=desk.user_id)

    async def run(self, old: DeskLogin, *, ledger_is_lost: bool) -> Recovered:
        key = await desk_key(self._storage.keys, self._account)
        self._store = SqlDeskStore(
            self._storage.engine, self._storage.keys, account=self._account, key=key, lease=self._lease
        )
        newest = await desk_life.newest_work(self._storage.engine)
        await self._drain(old)
        login = await self._new_device(old)
        await self._check_ledger(is_lost=ledger_is_lost)
        engine = NioEngine(self._http, self._store, user_id=self._account, device_id=login.device_id)
        await engine.start()
        identity = await self._identity(engine, login)
        await self._restore_keys(engine, identity)
        await self._delete_other_devices(login.device_id)
        await self._compare(engine, newest)
        await self._live(newest)
        return self._report

    async def _drain(self, old: DeskLogin) -> None:
        """Room keys that were sent to the old device and that nobody has read: without them what people wrote meanwhile
        would stay unreadable. The old Olm account reads, here for the last time, and answers nothing."""
        self._http.token = old.token
        engine = NioEngine(self._http, self._store, user_id=self._account, device_id=old.device_id)
        try:
            await self._read_waiting(engine, await self._store.cursor())
        except MatrixError as error:
            if error.status not in (401, 403):
                raise
            self._report.remarks.append("the old device is gone already: what waited for it cannot be read")
        finally:
            self._http.token = ""

    async def _read_waiting(self, engine: NioEngine, since: str | None) -> None:
        for _ in range(MOST_BATCHES):
            query = {"filter": '{"room":{"rooms":[]},"presence":{"types":[]}}', "timeout": "0"}
            answer = await self._http.call("GET", f"{CLIENT}/sync", query=query | ({"since": since} if since else {}))
            batch = parse(answer)
            if batch is None or not batch.to_device:
                return
            crypto = SyncCrypto(to_device=batch.to_device)
            await engine.prepare(crypto)
            async with engine.exclusive(), self._store.unit() as unit:
                self._report.keys_drained += len(await engine.receive(unit, crypto))
                await engine.flush(unit)
            since = batch.next_batch

    async def _new_device(self, old: DeskLogin) -> DeskLogin:
        login = replace(await log_in_with_password(self._settings, self._desk), identity=old.identity)
        await save_login(self._storage.engine, self._storage.keys, login)
        self._http.token, self._report.device_id = login.token, login.device_id
        return login

    async def _check_ledger(self, *, is_lost: bool) -> None:
        """Whoever was erased after the backup is named by a ledger that is as long as the homeserver has seen it."""
        entries = await asyncio.to_thread(ledger(self._settings).entries)
        missing = (await read_mark(self._http, self._account)).erasures - len(entries)
        if missing > 0 and not is_lost:
            whom = "1 person was" if missing == 1 else f"{missing} people were"
            raise CannotRecover(
                f"{whom} erased whom {self._settings.erasure_ledger_file()} does not name: with this "
                "database they would come back. Bring your newest copy of that file, then run this again. If there is "
                "none: --ledger-is-lost, and the audit log says so"
            )
        if missing > 0:
            forgotten = "erasure is forgotten" if missing == 1 else "erasures are forgotten"
            self._report.remarks.append(f"{missing} {forgotten}: whoever was erased is here again")
            await note(
                self._storage.engine, self._storage.keys, action="erasure.forgotten", object=f"erasures:{missing}"
            )

    async def _identity(self, engine: NioEngine, login: DeskLogin) -> Identity:
        """The identity in the database, or the account's own by its recovery key if that was changed since."""
        try:
            identity = await identify(self._storage, self._settings, self._desk, self._http, engine, login)
        except IdentityLocked as locked:
            if not self._settings.recovery_key_file(self._desk).exists():
                raise
            self._report.remarks.append(f"the recovery key was used: {locked}")
            identity = await self._identity_by_recovery_key(engine, login)
        self._report.fingerprint = identity.fingerprint
        return identity

    async def _identity_by_recovery_key(self, engine: NioEngine, login: DeskLogin) -> Identity:
        login = replace(login, identity=None)
        return await identify(self._storage, self._settings, self._desk, self._http, engine, login)

    async def _restore_keys(self, engine: NioEngine, identity: Identity) -> None:
        try:
            self._report.keys_restored = await KeyBackup(self._http, engine, identity).restore()
        except BackupChanged as changed:
            self._report.remarks.append(f"no room keys came back from the homeserver: {changed}")

    async def _delete_other_devices(self, own: str) -> None:
        """Also logs out whoever works with a copy of our database."""
        found = as_dict(await self._http.call("GET", f"{CLIENT}/devices"))
        others = [as_text(as_dict(device).get("device_id")) for device in as_list(found.get("devices"))]
        others = [device for device in others if device and device != own]
        if others:
            await self._delete(others)
        self._report.deleted_devices = others

    async def _delete(self, devices: list[str]) -> None:
        body = {"devices": devices}
        try:
            await self._http.call("POST", f"{CLIENT}/delete_devices", body)
        except MatrixError as error:
            if error.status != 401:
                raise
            session = as_text(as_dict(error.body).get("session"))
            auth = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": self._account},
                "password": self._desk.read_password(),
                "session": session,
            }
            await self._http.call("POST", f"{CLIENT}/delete_devices", {**body, "auth": auth})

    async def _compare(self, engine: NioEngine, newest: datetime | None) -> None:
        """What the homeserver has and we do not know of is not sent again; what it has lost is."""
        account, database = self._account, self._storage.engine
        lost_since = await homeserver_lost_since(self._http, database, account)
        since = min((moment for moment in (newest, lost_since) if moment is not None), default=None)
        rooms = await joined_rooms(self._http)
        if since is not None:
            index = await sent_since(self._http, account, since - CLOCKS_DIFFER, rooms)
            events = [
                sent_again.SentEvent(txn=txn, room_id=room, event_id=event)
                for txn, (room, event) in index.by_txn.items()
            ]
            await sent_again.save_sent(database, account, events)
            self._report.sent_before = len(events)
        if lost_since is not None and since is not None:
            self._report.homeserver_lost_since = lost_since
            # Before what was lost is forgotten: who is asked again would not know any more that anything was.
            await catch_up(self._http, engine, self._store, since=lost_since - CLOCKS_DIFFER)
            self._report.sent_again = await sent_again.send_again(
                database, self._storage.keys, account, since=lost_since, events=index.events, txns=index.by_txn
            )
        self._report.chats_found = await invitations_of_the_lost(self._http, self._storage, account, rooms)

    async def _live(self, newest: datetime | None) -> None:
        """The last step: from here on `stellwerk serve` takes the desk."""
        database, account = self._storage.engine, self._account
        theirs = await read_mark(self._http, account)
        number = await desk_life.raise_mark(database, self._lease, account, beyond=theirs.number)
        erasures = len(await asyncio.to_thread(ledger(self._settings).entries))
        await write_mark(self._http, account, Mark(number=number, run="recover-desk", erasures=erasures))
        async with database.begin() as connection:
            await leases.fence(connection, self._lease)
            await desk_life.give_life(connection, account)
        await note(database, self._storage.keys, action="desk.recover", object=f"device:{self._report.device_id}")
        log.info("desk recovered", extra={"account": account, "device_id": self._report.device_id})
