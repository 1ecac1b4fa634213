"""`NioEngine`: the encryption of one desk behind the narrow doors `CryptoEngine` and `OwnDevice`. It only puts the
parts together; what each of them promises stands in its own file."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from messenger.app.desk_ports import CryptoReading, CryptoRow, CryptoTable, DeskStore, DeskUnit
from messenger.matrix.crypto import decryption, forgetting
from messenger.matrix.crypto.backup_keys import BackupKeys
from messenger.matrix.crypto.devices import DeviceLists
from messenger.matrix.crypto.history import HistorySharing
from messenger.matrix.crypto.inbound import Receiver, as_set, authors_of, senders_of, sessions_of, without_session
from messenger.matrix.crypto.one_time_keys import KeyPool, StoreIsOlder, Unwedger
from messenger.matrix.crypto.outgoing import Outgoing
from messenger.matrix.crypto.records import Identity, RoomSession
from messenger.matrix.crypto.sharing import RoomKeys
from messenger.matrix.crypto.state import CryptoState, Limits
from messenger.matrix.crypto.store import without_olm_account
from messenger.matrix.crypto.todevice import ToDevice
from messenger.matrix.engine import (
    Decrypted,
    DevicePolicy,
    HistoryShared,
    MemoryLost,
    RoomKey,
    Sealed,
    SendRequest,
    SyncCrypto,
)
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable
from messenger.matrix.suspicion import Suspicion
from messenger.matrix.verification.heard import Heard
from messenger.matrix.verification.sas import PublicKeys
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

KEYS_AT_ONCE = 500  # of an import, between two looks at the rest of the world
ASK_AGAIN_S = 10.0  # about a user whose device we do not find in a fresh list
TABLES_OF_A_DEVICE: tuple[CryptoTable, ...] = ("mx_olm", "mx_megolm_out", "mx_megolm_shared")


class NioEngine:
    """One bot account's Olm machine. One process at a time: every unit of `store` is fenced."""

    def __init__(
        self,
        http: HomeserverClient,
        store: DeskStore,
        *,
        user_id: str,
        device_id: str,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.user_id, self.device_id, self._http, self._store = user_id, device_id, http, store
        self._state = CryptoState(store, user_id=user_id, device_id=device_id, limits=limits, clock=clock)
        self._lists, self._to_device = DeviceLists(self._state, http), ToDevice(self._state, http)
        self._receiver, self._pool = Receiver(self._state), KeyPool(self._state, http)
        self._unwedger, self._backup = Unwedger(self._state, self._to_device), BackupKeys(self._state)
        self._room_keys = RoomKeys(self._state, self._lists, self._to_device)
        self._outgoing = Outgoing(self._state, self._room_keys)
        self._history = HistorySharing(self._state, http, self._lists, self._to_device)
        self._wanted: set[str] = set()  # authors whose device is unknown
        self._quiet_until = 0.0  # until then (time.monotonic) the homeserver is not asked for devices
        self._news: set[RoomSession] = set()  # sessions to be tried again, found outside of a batch
        self._reported: set[RoomSession] = set()  # news that went into a transaction which is not known to be committed
        self._prepared: tuple[SyncCrypto | None, int] = None, 0
        self._last_trouble = ""

    async def start(self) -> None:
        await self._leave_old_device()
        await self._state.ensure_loaded()
        await self._check_published_keys()
        if not self._state.machine.account.shared:
            await self._pool.fill()
        await self._lists.refresh([self.user_id], force=True)

    async def reload(self) -> None:
        await self._state.reload()

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        return self._state.exclusive()

    async def _leave_old_device(self) -> None:
        """A new login is a new device with a new Olm account; the sessions of the old one are of no use to it."""
        async with self._store.unit() as unit:
            accounts = await unit.read("mx_account")
            if not accounts or accounts[0].clear["device_id"] == self.device_id:
                return
            log.warning(
                "new_device", extra={"device_id": self.device_id, "old_device_id": accounts[0].clear["device_id"]}
            )
            rows = [row for table in TABLES_OF_A_DEVICE for row in await unit.read(table)]
            await unit.write([CryptoRow(table=row.table, key=row.key, removed=True) for row in rows])
            await unit.write([without_olm_account(accounts[0], device_id=self.device_id)])
        self._state.forget()

    async def _check_published_keys(self) -> None:
        answer = await self._http.call(
            "POST", f"{CLIENT}/keys/query", {"device_keys": {self.user_id: [self.device_id]}}
        )
        published = answer.get("device_keys", {}).get(self.user_id, {}).get(self.device_id, {}).get("keys", {})
        allowed = {self._state.machine.ed25519} | (set() if self._state.machine.account.shared else {None})
        if published.get(f"ed25519:{self.device_id}") not in allowed:
            raise StoreIsOlder("the homeserver shows other keys for this device: log in for a new device")

    async def prepare(self, batch: SyncCrypto) -> None:
        self._trim()
        self._prepared = batch, self._lists.rounds
        users, keys = senders_of(batch.to_device)
        authors = authors_of(batch) | self._wanted | without_session(batch.to_device)
        await self._state.ensure_loaded()
        if not self._state.has(self._users_of(batch, users | authors), sessions_of(batch), keys):
            async with self._store.look() as stored:
                await self._load(stored, batch, users | authors, keys)
        await self._look_up(authors, batch)
        await self._find_news()

    async def _look_up(self, authors: set[str], batch: SyncCrypto) -> None:
        """A homeserver that asks for a pause gets it. Meanwhile what is known must do: a message of a device that is
        not known waits, and keeps nobody else waiting."""
        if time.monotonic() < self._quiet_until:
            self._wanted |= self._not_fresh(authors)
            return
        try:
            await self._refresh_lists(authors, batch)
        except MatrixError as error:
            if not error.is_throttled:
                raise
            if not self._quiet_until:
                log.warning("device_lists_throttled", extra={"device_id": self.device_id})
            self._quiet_until = time.monotonic() + error.pause.total_seconds()
            self._wanted |= self._not_fresh(authors)
        else:
            self._quiet_until = 0.0
            self._wanted.clear()

    def _not_fresh(self, authors: set[str]) -> set[str]:
        return {user for user in authors if not self._state.user(user).is_fresh}

    async def _refresh_lists(self, authors: set[str], batch: SyncCrypto) -> None:
        await self._lists.refresh((authors | {self.user_id}) & _names(batch.changed), force=True)
        await self._lists.refresh(authors | {self.user_id})
        await self._lists.refresh({user for user in authors if self._lacks_device(user, batch)}, force=True)

    async def _load(
        self, stored: CryptoReading, batch: SyncCrypto, users: Collection[str], keys: Collection[str]
    ) -> None:
        await self._state.load_users(stored, self._users_of(batch, users))
        await self._state.load_olm(stored, keys)
        await self._state.load_inbound(stored, sessions_of(batch))

    def _users_of(self, batch: SyncCrypto, users: Collection[str]) -> set[str]:
        return {*users, *_names(batch.changed), *_names(batch.left), self.user_id}

    def _lacks_device(self, user_id: str, batch: SyncCrypto) -> bool:
        """Is an event of this user from a device that a list, not quite new, does not show?"""
        entry, now = self._state.user(user_id), self._state.clock()
        if user_id == self.user_id or now - entry.asked_at < ASK_AGAIN_S or now < entry.retry_at:
            return False
        keys = [event["content"].get("sender_key") for _, event in batch.events if _is_from(event, user_id)]
        return user_id in self._wanted or any(isinstance(key, str) and not entry.by_curve25519(key) for key in keys)

    async def _find_news(self) -> None:
        """Sessions of devices that we know only now: what they sent can be bound."""
        learned, self._lists.learned = self._lists.learned, []
        if learned:
            async with self._store.look() as stored:
                rows = await stored.read("mx_megolm", [{"sender_key": device.curve25519} for device in learned])
            self._news |= {(row.key["room_id"], row.key["session_id"]) for row in rows}

    async def receive(self, unit: DeskUnit, batch: SyncCrypto) -> frozenset[RoomSession]:
        users, keys = senders_of(batch.to_device)
        await self._load(unit, batch, users | authors_of(batch), keys)
        news = await self._receiver.take(unit, batch.to_device)
        fp("todevice_saved")
        if batch.one_time_keys is not None:  # 0 is a number: strangers took them all
            self._pool.on_server = batch.one_time_keys
        self._pool.hear_of_fallback(batch.unused_fallback_keys)
        self._follow_lists(batch)
        self._reported = set(self._news)
        return frozenset(news | self._reported)

    def _follow_lists(self, batch: SyncCrypto) -> None:
        prepared, since = self._prepared
        for user_id in _names(batch.changed):
            entry = self._state.user(user_id)
            entry.changes += 1
            # What `prepare` asked for this very batch is newer than the news in it.
            if entry.tracked and not (batch is prepared and entry.asked_in > since):
                self._state.save_tracking(user_id, stale=True)
        for user_id in _names(batch.left):
            if self._state.user(user_id).tracked:
                self._state.untrack(user_id)

    def heard(self) -> Sequence[Heard]:
        return tuple(self._receiver.heard)

    def decrypt(self, room_id: str, event: Mapping[str, Any]) -> Decrypted:
        decrypted = decryption.decrypt(self._state, room_id, event)
        if decrypted.reason == "unknown_device":
            self._wanted.add(event["sender"])
        return decrypted

    async def load_sessions(
        self, stored: CryptoReading, wanted: Sequence[RoomSession], senders: Collection[str] = ()
    ) -> None:
        """`senders` are the parked events' authors; their devices are loaded too."""
        await self._state.load_inbound(stored, wanted)
        owners = {
            session.user_id for pair in wanted for session in self._state.inbound[pair].values() if session.user_id
        }
        await self._state.load_users(stored, owners.union(senders))

    def suspicions(self) -> Sequence[Suspicion]:
        return self._state.suspicions.waiting()

    def reported(self, told: Sequence[Suspicion]) -> None:
        self._state.suspicions.reported(told)

    async def flush(self, unit: DeskUnit) -> None:
        await self._state.flush(unit)

    async def settle(self) -> None:
        self._news -= self._reported
        self._reported = set()
        try:
            await self._state.ensure_loaded()
            if self._pool.is_low:
                await self._pool.fill()
            await self._unwedger.settle()
        except (MatrixError, Unreachable, MemoryLost, StoreIsOlder) as error:
            self._complain(error)
        else:
            self._last_trouble = ""

    def _complain(self, error: Exception) -> None:
        """Once for each kind of trouble: it is tried again with every batch."""
        trouble, self._last_trouble = self._last_trouble, str(error)
        if trouble != self._last_trouble:
            level = logging.CRITICAL if isinstance(error, StoreIsOlder) else logging.WARNING
            log.log(level, "crypto_upkeep_failed", extra={"device_id": self.device_id, "reason": str(error)})

    def is_ready(self, request: SendRequest) -> bool:
        """True: `encrypt` needs no network for this request."""
        return self._room_keys.unreached(request) is not None

    async def encrypt(self, requests: Sequence[SendRequest]) -> Sequence[Sealed | BaseException]:
        return await self._outgoing.encrypt(requests)

    async def share_history(
        self, room_id: str, user_id: str, *, policy: DevicePolicy = "cross-signed-tofu"
    ) -> HistoryShared:
        return await self._history.share(room_id, user_id, policy)

    async def keys_of(self, user_id: str, device_id: str) -> PublicKeys | None:
        """What is published now; whoever asks wants to find out whether it is theirs."""
        await self._lists.refresh([user_id])
        if device_id not in self._state.user(user_id).devices:
            await self._lists.refresh([user_id], force=True)
        entry = self._state.user(user_id)
        device, identity = entry.devices.get(device_id), entry.identity
        if device is None or device.deleted:
            return None
        return PublicKeys(device=device.ed25519, master=(identity.changed_to or identity.pinned) if identity else None)

    async def devices_of(self, user_id: str) -> Sequence[str]:
        await self._lists.refresh([user_id])
        return sorted(device.device_id for device in self._state.user(user_id).active())

    def foreign_devices(self) -> list[str]:
        """Devices of the bot's own account that are not this one: an alarm. They never get a key."""
        entry = self._state.users.get(self.user_id)
        return sorted(device.device_id for device in entry.active()) if entry else []

    async def changed_identities(self) -> Sequence[str]:
        """Users whose master key changed: paused under the strict policies until `approve_identity`."""
        async with self._store.look() as stored:
            rows = await stored.read("mx_identity", [{"changed": True}])
        return sorted(row.key["user_id"] for row in rows)

    async def approve_identity(self, user_id: str, *, verified: bool = False, key: str = "") -> str | None:
        """A person looked: the user's present master key is theirs. `verified` also satisfies the policy of that name.
        If it is not the `key` that they looked at, nothing changes: whoever showed another one meanwhile is doubted
        anew."""
        await self._lists.refresh([user_id])
        async with self._state.change():
            identity = self._state.user(user_id).identity
            shown = (identity.changed_to or identity.pinned) if identity else None
            if identity is None or shown is None or (key and shown != key):
                return None
            self._state.save_identity(
                Identity(user_id=user_id, pinned=shown, seen_ms=identity.seen_ms, verified=verified)
            )
            return shown

    async def trust_device(self, user_id: str, device_id: str) -> None:
        await self._lists.load([user_id])
        async with self._state.change():
            device = self._state.user(user_id).devices.get(device_id)
            if device is not None:
                self._state.save_device(replace(device, trusted=True, blocked=False))

    async def block_device(self, user_id: str, device_id: str, *, blocked: bool = True) -> None:
        """Takes a device out of all further keys, whatever the policy."""
        await self._lists.load([user_id])
        async with self._state.change():
            device = self._state.user(user_id).devices.get(device_id)
            if device is not None:
                self._state.save_device(replace(device, blocked=blocked))

    @property
    def refused(self) -> Mapping[str, int]:
        """To-device events that were dropped since the start, by reason: a metric."""
        return dict(self._receiver.dropped)

    @property
    def signed_device_keys(self) -> Mapping[str, Any] | None:
        return self._state.signed_device_keys

    @signed_device_keys.setter
    def signed_device_keys(self, keys: Mapping[str, Any] | None) -> None:
        self._state.signed_device_keys = keys
        if self._state.is_loaded:
            self._state.machine.signed_device_keys = keys

    def device_keys(self) -> dict[str, Any]:
        return self._state.machine.device_keys()

    def sign(self, value: Mapping[str, Any]) -> str:
        return self._state.machine.sign(value)

    def takes_note_of_new_keys(self) -> bool:
        """Have others given us room keys since the last call?"""
        has_new, self._state.has_new_keys = self._state.has_new_keys, False
        return has_new

    async def keys_to_back_up(self, limit: int) -> Sequence[RoomKey]:
        return await self._backup.to_back_up(limit)

    async def mark_backed_up(self, keys: Sequence[RoomKey]) -> None:
        await self._backup.mark(keys)

    async def forget(self, rooms: Collection[str], people: Collection[str]) -> None:
        self._backup.drop(rooms)
        await forgetting.forget(self._state, rooms, people)
        self._room_keys.forget(set(self._state.outbound))

    async def import_keys(self, keys: Sequence[RoomKey]) -> int:
        taken = 0
        for start in range(0, len(keys), KEYS_AT_ONCE):
            sessions = await self._backup.take_back(keys[start : start + KEYS_AT_ONCE])
            self._news |= {session.pair for session in sessions}
            taken += len(sessions)
        return taken

    def _trim(self) -> None:
        self._state.trim()
        self._room_keys.forget(set(self._state.outbound))


def _names(values: Sequence[Any]) -> set[str]:
    return set().union(*map(as_set, values))


def _is_from(event: Any, user_id: str) -> bool:
    return isinstance(event, Mapping) and event.get("sender") == user_id and isinstance(event.get("content"), Mapping)
