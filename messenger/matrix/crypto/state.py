"""What the engine holds in memory, and the one way to change it.

Everything here is a copy of committed rows plus, inside `exclusive`, changes on their way to the database. Nothing is
loaded before it is needed. When a transaction fails, `forget` throws all of it away: memory is never ahead of the
database, so a ratchet never skips."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nio.crypto import Session

from messenger.app.desk_ports import CryptoReading, CryptoRow, CryptoRows, DeskStore
from messenger.matrix.crypto.machine import SafeOlm
from messenger.matrix.crypto.records import (
    Device,
    Identity,
    InboundSession,
    OutboundSession,
    RoomSession,
    device_of,
    device_row,
    identity_of,
    identity_row,
    inbound_of,
    inbound_row,
    outbound_of,
    outbound_row,
    shared_row,
    tracked_row,
    withheld_row,
)
from messenger.matrix.crypto.store import MachineStore
from messenger.matrix.engine import MemoryLost
from messenger.matrix.suspicion import Suspicions

log = logging.getLogger(__name__)

Name = TypeVar("Name")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much stays in memory between batches. A batch may need more; then it gets it."""

    users: int = 5_000
    inbound_sessions: int = 2_000
    outbound_rooms: int = 2_000
    olm_peers: int = 5_000


@dataclass(slots=True)
class UserEntry:
    """One user's devices. `stale`: the homeserver said that they changed, or never told us. `changes` counts such
    news, so that an answer that was asked for before them does not silence them."""

    user_id: str
    tracked: bool = False
    stale: bool = True
    changes: int = 0
    asked_at: float = 0.0  # when /keys/query was last answered for this user
    asked_in: int = 0  # and in which round of `DeviceLists`
    retry_at: float = 0.0  # the user's server did not answer: not again before
    devices: dict[str, Device] = field(default_factory=dict)
    identity: Identity | None = None

    def active(self) -> list[Device]:
        return [device for device in self.devices.values() if not device.deleted]

    def by_curve25519(self, key: str, *, ed25519: str = "") -> Device | None:
        """Of several that claim the key, the one with this Ed25519 key. A deleted device still vouches for what it
        sent."""
        found = [device for device in self.devices.values() if device.curve25519 == key]
        return min(found, key=lambda device: (device.ed25519 != ed25519, device.deleted), default=None)

    @property
    def is_fresh(self) -> bool:
        return self.tracked and not self.stale


class CryptoState:
    """Memory, lock and store of one desk. What saves is called inside `exclusive`."""

    def __init__(
        self,
        store: DeskStore,
        *,
        user_id: str,
        device_id: str,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.desk_store, self.user_id, self.device_id, self.clock = store, user_id, device_id, clock
        self.limits = limits or Limits()
        self.lock = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        self.generation = 0  # grows when memory is thrown away
        self.epoch = 0  # grows with every change of anybody's devices
        self._changed_in: dict[str, int] = {}
        self._unknown_before = 0
        self.no_session: set[str] = set()  # Curve25519 keys of devices that had no one-time key for us
        self.in_flight = 0  # sends that hold sessions across network calls
        self.signed_device_keys: Mapping[str, Any] | None = None
        self.suspicions = Suspicions()
        self.has_new_keys = False  # room keys of others came and are not in the key backup
        self.machine: SafeOlm
        self.forget()

    def forget(self) -> None:
        self.generation += 1
        self.everybody_changed()
        self.is_loaded = False
        self.users: dict[str, UserEntry] = {}
        self.inbound: dict[RoomSession, dict[str, InboundSession]] = {}
        self.withheld: dict[RoomSession, dict[str, str]] = {}
        self.outbound: dict[str, OutboundSession | None] = {}
        self.olm_peers: dict[str, None] = {}

    async def ensure_loaded(self) -> None:
        if not self.is_loaded:
            async with self.desk_store.look() as stored:
                rows = await stored.read("mx_account")
            self.load(rows[0] if rows else None)

    def load(self, account: CryptoRow | None) -> None:
        self.changes = MachineStore(account)
        self.machine = SafeOlm(self.user_id, self.device_id, self.changes)
        self.machine.signed_device_keys = self.signed_device_keys
        self.is_loaded = True

    def still(self, generation: int) -> None:
        if generation != self.generation or not self.is_loaded:
            raise MemoryLost("crypto memory was reloaded meanwhile")

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """What changed inside must be flushed and committed inside. If that fails, or was forgotten, memory is too."""
        async with self.lock:
            self._holder = asyncio.current_task()
            try:
                await self.ensure_loaded()
                yield
                if not self.changes.is_clean:
                    log.error("crypto_changes_not_flushed")
                    self.forget()
            except MemoryLost:  # found at once, before anything changed
                raise
            except BaseException:
                self.forget()
                raise
            finally:
                self._holder = None

    async def reload(self) -> None:
        """Never beside somebody else's commit: what is read then would be older than what it saves."""
        if self._holder is asyncio.current_task():
            self.forget()
        else:
            async with self.lock:
                self.forget()
        await self.ensure_loaded()

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Ratchets and lists may change inside; they are committed when it ends well and forgotten when it does not."""
        async with self.exclusive():
            yield
            rows = self.changes.take()
            if rows and all(row.table == "mx_megolm_out" and not row.removed for row in rows):
                await self.desk_store.save_ratchets(rows)
            elif rows:
                async with self.desk_store.unit() as unit:
                    await unit.write(rows)

    async def flush(self, unit: CryptoRows) -> None:
        rows = self.changes.take()
        if rows:
            await unit.write(rows)

    def trim(self) -> None:
        """Drops what was not used lately. Never while a send holds sessions or a change waits for its flush: a session
        that is loaded twice is two ratchets."""
        if self.in_flight or self.lock.locked() or not self.is_loaded or not self.changes.is_clean:
            return
        for peer in _drop_oldest(self.olm_peers, self.limits.olm_peers):
            self.machine.session_store._entries.pop(peer, None)
        for pair in _drop_oldest(self.inbound, self.limits.inbound_sessions):
            self.withheld.pop(pair, None)
        _drop_oldest(self.outbound, self.limits.outbound_rooms)
        _drop_oldest(self.users, self.limits.users)

    def has(self, user_ids: Collection[str], pairs: Collection[RoomSession], sender_keys: Collection[str]) -> bool:
        """Is all of this in memory?"""
        return (
            all(user in self.users for user in user_ids)
            and all(pair in self.inbound for pair in pairs)
            and all(key in self.olm_peers for key in sender_keys)
        )

    async def load_users(self, rows: CryptoReading, user_ids: Collection[str]) -> None:
        wanted = _missing(self.users, user_ids)
        if not wanted:
            return
        where, generation = [{"user_id": user_id} for user_id in wanted], self.generation
        tracked = await rows.read("mx_tracked", where)
        devices = await rows.read("mx_device", where)
        identities = await rows.read("mx_identity", where)
        self.still(generation)
        entries = {user_id: UserEntry(user_id) for user_id in wanted}
        for row in tracked:
            entries[row.key["user_id"]].tracked, entries[row.key["user_id"]].stale = True, row.clear["stale"]
        for device in map(device_of, devices):
            entries[device.user_id].devices[device.device_id] = device
        for identity in map(identity_of, identities):
            entries[identity.user_id].identity = identity
        _add(self.users, entries)

    async def load_inbound(self, rows: CryptoReading, pairs: Collection[RoomSession]) -> None:
        wanted = _missing(self.inbound, pairs)
        if not wanted:
            return
        where, generation = [{"room_id": room, "session_id": session} for room, session in wanted], self.generation
        sessions = await rows.read("mx_megolm", where)
        withheld = await rows.read("mx_withheld", where)
        self.still(generation)
        found: dict[RoomSession, dict[str, InboundSession]] = {pair: {} for pair in wanted}
        codes: dict[RoomSession, dict[str, str]] = {}
        for row in sessions:
            session = inbound_of(row, self.changes.pickle_key.raw)
            found[session.pair][session.sender_key] = session
        for row in withheld:
            codes.setdefault((row.key["room_id"], row.key["session_id"]), {})[row.key["user_id"]] = row.clear["code"]
        _add(self.inbound, found)
        _add(self.withheld, codes)

    async def load_olm(self, rows: CryptoReading, sender_keys: Collection[str]) -> None:
        wanted = _missing(self.olm_peers, sender_keys)
        if not wanted:
            return
        generation = self.generation
        found = await rows.read("mx_olm", [{"sender_key": key} for key in wanted])
        self.still(generation)
        fresh = {key for key in wanted if key not in self.olm_peers}
        for row in found:
            if row.key["sender_key"] in fresh:
                self.machine.session_store.add(row.key["sender_key"], self.changes.session_of(row))
        self.olm_peers.update(dict.fromkeys(fresh))

    async def load_outbound(self, rows: CryptoReading, rooms: Collection[str]) -> None:
        wanted = _missing(self.outbound, rooms)
        if not wanted:
            return
        where, generation = [{"room_id": room} for room in wanted], self.generation
        sessions = await rows.read("mx_megolm_out", where)
        shared = {row.key["room_id"]: row for row in await rows.read("mx_megolm_shared", where)}
        self.still(generation)
        found: dict[str, OutboundSession | None] = dict.fromkeys(wanted)
        for row in sessions:
            room = row.key["room_id"]
            found[room] = outbound_of(row, shared.get(room), self.changes.pickle_key.raw)
        _add(self.outbound, found)

    def changed(self, user_id: str) -> None:
        self.epoch += 1
        self._changed_in[user_id] = self.epoch

    def everybody_changed(self) -> None:
        self.epoch += 1
        self._unknown_before = self.epoch
        self._changed_in = {}

    def is_unchanged(self, user_ids: Iterable[str], *, since: int) -> bool:
        """Did nothing happen to these users' devices after the moment when `epoch` was `since`?"""
        changed = self._changed_in
        return since >= self._unknown_before and all(changed.get(user, 0) <= since for user in user_ids)

    def user(self, user_id: str) -> UserEntry:
        return self.users.setdefault(user_id, UserEntry(user_id))

    def olm_session(self, device: Device) -> Session | None:
        return self.machine.newest_session(device.curve25519)

    def save_device(self, device: Device) -> None:
        self.changed(device.user_id)
        self.user(device.user_id).devices[device.device_id] = device
        self.changes.mark("mx_device", *device.id, row=lambda: device_row(device))

    def save_identity(self, identity: Identity) -> None:
        self.changed(identity.user_id)
        self.user(identity.user_id).identity = identity
        self.changes.mark("mx_identity", identity.user_id, row=lambda: identity_row(identity))

    def save_tracking(self, user_id: str, *, stale: bool) -> None:
        self.changed(user_id)
        entry = self.user(user_id)
        entry.tracked, entry.stale = True, stale
        self.changes.mark("mx_tracked", user_id, row=lambda: tracked_row(user_id, stale=entry.stale))

    def untrack(self, user_id: str) -> None:
        self.changed(user_id)
        entry = self.user(user_id)
        entry.tracked, entry.stale = False, True
        self.changes.mark("mx_tracked", user_id, row=lambda: tracked_row(user_id, stale=True, removed=True))

    def save_inbound(self, session: InboundSession) -> None:
        pickle_key = self.changes.pickle_key.raw
        self.inbound.setdefault(session.pair, {})[session.sender_key] = session
        self.has_new_keys |= not session.backed_up and session.user_id not in (None, self.user_id)
        self.changes.mark("mx_megolm", *session.pair, session.sender_key, row=lambda: inbound_row(session, pickle_key))

    def replace_inbound(self, session: InboundSession) -> None:
        """Against the rule of the lowest index: the stored session is not the sender's."""
        row = CryptoRow(
            table="mx_megolm",
            removed=True,
            key={"room_id": session.room_id, "session_id": session.megolm.session_id, "sender_key": session.sender_key},
        )
        self.changes.mark("mx_megolm", *session.pair, session.sender_key, "removed", row=lambda: row)
        self.save_inbound(session)

    def save_outbound(self, session: OutboundSession, *, lists: bool) -> None:
        """`lists`: who has the key changed too, not only the ratchet."""
        pickle_key = self.changes.pickle_key.raw
        self.outbound[session.room_id] = session
        self.changes.mark("mx_megolm_out", session.room_id, row=lambda: outbound_row(session, pickle_key))
        if lists:
            self.changes.mark("mx_megolm_shared", session.room_id, row=lambda: shared_row(session))

    def save_withheld(self, pair: RoomSession, user_id: str, code: str) -> None:
        self.withheld.setdefault(pair, {})[user_id] = code
        self.changes.mark("mx_withheld", *pair, user_id, row=lambda: withheld_row(pair, user_id, code))


def _missing(cache: dict[Name, Value], wanted: Iterable[Name]) -> list[Name]:
    """Names that are not in the cache; those that are move to its young end."""
    missing: dict[Name, None] = {}
    for name in wanted:
        if name in cache:
            cache[name] = cache.pop(name)
        else:
            missing[name] = None
    return list(missing)


def _add(cache: dict[Name, Value], found: dict[Name, Value]) -> None:
    """What came meanwhile by another way is newer than what was read."""
    for name, value in found.items():
        cache.setdefault(name, value)


def _drop_oldest(cache: dict[Name, Value], limit: int) -> list[Name]:
    dropped = list(cache)[: max(len(cache) - limit, 0)]
    for name in dropped:
        del cache[name]
    return dropped
