"""Who has which devices, and who of them may get a key (Matrix spec, "Tracking the device list for a user"; MSC4153).

A device counts only with its own signature. Its keys never change: another pair of keys under a known device id is
refused and reported. A user's master key is pinned at first sight; another one later pauses that user under the strict
policies."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from messenger.matrix.crypto.canonical import master_key_of, owner_signed, ub64, unb64, verify_signature
from messenger.matrix.crypto.records import Device, Identity
from messenger.matrix.crypto.state import CryptoState, UserEntry
from messenger.matrix.engine import DevicePolicy, Doubt
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.matrix.suspicion import Suspicion

log = logging.getLogger(__name__)

USERS_PER_QUERY = 250
DEVICES_PER_USER = 500  # a homeserver could invent any number, and each costs a one-time key
RETRY_FAILED_SERVER_S = 60.0
MAX_ID_LENGTH = 255
HTTP_BAD_REQUEST = 400


class DeviceLists:
    """Keeps the device lists of the users we meet."""

    def __init__(self, state: CryptoState, http: HomeserverClient) -> None:
        self._state, self._http = state, http
        self.learned: list[Device] = []  # new since the last batch: their parked messages can be tried again
        self.conflicts = 0
        self.rounds = 0  # numbers the answers of /keys/query

    async def refresh(self, user_ids: Collection[str], *, force: bool = False) -> None:
        """Asks for users whose list is unknown or stale (or all of them). Raises MatrixError or Unreachable if our own
        homeserver fails; a remote server that fails leaves its users stale."""
        await self.load(user_ids)
        now, users, generation = self._state.clock(), self._state.users, self._state.generation
        due = sorted(user for user in user_ids if force or _needs_query(users[user], now))
        for start in range(0, len(due), USERS_PER_QUERY):
            await self._query_surely(due[start : start + USERS_PER_QUERY], generation)

    async def load(self, user_ids: Collection[str]) -> None:
        await self._state.ensure_loaded()
        if any(user not in self._state.users for user in user_ids):
            async with self._state.desk_store.look() as stored:
                await self._state.load_users(stored, user_ids)

    async def _query_surely(self, user_ids: Sequence[str], generation: int) -> None:
        """One user id that the homeserver refuses must not keep the others, or the whole batch, waiting."""
        try:
            await self._query(user_ids, generation)
        except MatrixError as error:
            if error.status != HTTP_BAD_REQUEST:
                raise
            if len(user_ids) == 1:
                self._put_off(self._state.user(user_ids[0]))
                return
            for part in (user_ids[: len(user_ids) // 2], user_ids[len(user_ids) // 2 :]):
                await self._query_surely(part, generation)

    def _put_off(self, entry: UserEntry) -> None:
        entry.retry_at = self._state.clock() + RETRY_FAILED_SERVER_S
        self._state.changed(entry.user_id)
        log.warning("device_list_unreachable", extra={"user_id": entry.user_id})

    async def _query(self, user_ids: Sequence[str], generation: int) -> None:
        state = self._state
        state.still(generation)
        asked = {user: state.users[user].changes for user in user_ids}
        answer = await self._http.call("POST", f"{CLIENT}/keys/query", {"device_keys": {user: [] for user in user_ids}})
        async with state.change():
            state.still(generation)
            self.rounds += 1
            for user in user_ids:
                self._learn_user(state.users[user], answer, was_current=state.users[user].changes == asked[user])

    def _learn_user(self, entry: UserEntry, answer: Any, *, was_current: bool) -> None:
        state, now = self._state, self._state.clock()
        if _server_failed(answer, entry.user_id):
            self._put_off(entry)
            return
        if entry.user_id == state.user_id:
            self._check_own_device(answer)
        self._learn_identity(entry, answer)
        self._learn_devices(entry, answer)
        entry.asked_at, entry.asked_in, entry.retry_at = now, self.rounds, 0.0
        if was_current or not entry.tracked:
            state.save_tracking(entry.user_id, stale=not was_current)

    def _check_own_device(self, answer: Any) -> None:
        own = read_device(answer, self._state.user_id, self._state.device_id)
        if own is not None and own.ed25519 != self._state.machine.ed25519:
            self.conflicts += 1
            log.critical("own_device_replaced", extra={"device_id": own.device_id})
            self._state.suspicions.add(_suspects(own))

    def _learn_identity(self, entry: UserEntry, answer: Any) -> None:
        state, master, known = self._state, master_key_of(answer, entry.user_id), entry.identity
        if master is None:
            return
        if known is None:
            state.save_identity(Identity(user_id=entry.user_id, pinned=master, seen_ms=int(state.clock() * 1000)))
        elif master != known.pinned and master != known.changed_to:
            log.warning("identity_changed", extra={"user_id": entry.user_id})
            state.save_identity(replace(known, changed_to=master))
        elif master == known.pinned and known.changed_to is not None:
            state.save_identity(replace(known, changed_to=None))

    def _learn_devices(self, entry: UserEntry, answer: Any) -> None:
        published = list(self._published(answer, entry))
        for device in published:
            self._learn_device(entry, device)
        present = {device.device_id for device in published}
        for device in entry.active():
            if device.device_id not in present:
                self._state.save_device(replace(device, deleted=True))

    def _published(self, answer: Any, entry: UserEntry) -> Iterable[Device]:
        devices = _mapping(_mapping(answer, "device_keys"), entry.user_id)
        for device_id in list(devices)[:DEVICES_PER_USER]:
            device = read_device(answer, entry.user_id, device_id)
            if device is not None and device.id != (self._state.user_id, self._state.device_id):
                yield device

    def _learn_device(self, entry: UserEntry, device: Device) -> None:
        known = entry.devices.get(device.device_id)
        if known is None:
            device = replace(device, late=entry.tracked and bool(entry.devices))
            self.learned.append(device)
        elif (known.ed25519, known.curve25519) != (device.ed25519, device.curve25519):
            self.conflicts += 1
            log.error("device_keys_changed", extra={"user_id": device.user_id, "device_id": device.device_id})
            self._state.suspicions.add(_suspects(device))
            device = known
        else:
            device = replace(device, blocked=known.blocked, late=known.late, trusted=known.trusted)
        if device != known:
            self._state.save_device(device)


def _suspects(device: Device) -> Suspicion:
    return Suspicion(cause="changed_keys", user=device.user_id, device=device.device_id)


def read_device(answer: Any, user_id: str, device_id: Any) -> Device | None:
    """One device of a /keys/query answer, if it is well-formed and signed by itself."""
    raw = _mapping(_mapping(_mapping(answer, "device_keys"), user_id), device_id)
    keys = _mapping(raw, "keys")
    try:
        ed25519, curve25519 = _key(keys[f"ed25519:{device_id}"]), _key(keys[f"curve25519:{device_id}"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if raw.get("user_id") != user_id or raw.get("device_id") != device_id or len(device_id) > MAX_ID_LENGTH:
        return None
    if not verify_signature(raw, user_id, ed25519, device_id):
        return None
    name = _mapping(raw, "unsigned").get("device_display_name")
    return Device(
        user_id=user_id,
        device_id=device_id,
        ed25519=ed25519,
        curve25519=curve25519,
        name=name[:MAX_ID_LENGTH] if isinstance(name, str) else "",
        master=owner_signed(answer, user_id, device_id),
    )


def is_owner_signed(device: Device, identity: Identity | None) -> bool:
    """Signed by the master key that we pinned, and that key is still the published one."""
    return identity is not None and identity.changed_to is None and device.master == identity.pinned


def refusal(device: Device, identity: Identity | None, policy: DevicePolicy) -> str | None:
    """None: this device may have the key. Otherwise the code of m.room_key.withheld (Matrix spec,
    "m.room_key.withheld")."""
    if device.blocked:
        return "m.blacklisted"
    if policy == "any" or device.trusted:
        return None
    if not is_owner_signed(device, identity):
        return "m.unverified"
    if policy == "verified" and not (identity and identity.verified):
        return "m.unverified"
    return None


def doubts(user: UserEntry, policy: DevicePolicy) -> Iterable[Doubt]:
    """What a person must decide before anything leaves where this user reads. A device without its owner's signature is
    left out quietly where it was there from the start, or where the owner signs none; a NEW one beside those that are
    signed may have been added by somebody else. Under `any` every device gets keys, so nothing is won by waiting."""
    identity = user.identity
    if policy == "any" or identity is None:
        return
    if identity.changed_to is not None:
        yield Doubt(user=user.user_id, cause="identity_changed", key=identity.changed_to)
        return
    for device in user.active():
        if device.late and not (device.blocked or device.trusted or is_owner_signed(device, identity)):
            yield Doubt(user=user.user_id, cause="unsigned_device", device=device.device_id, key=device.ed25519)


def _needs_query(entry: UserEntry, now: float) -> bool:
    return not entry.is_fresh and now >= entry.retry_at


def _server_failed(answer: Any, user_id: str) -> bool:
    asked_users = _mapping(answer, "device_keys")
    return user_id not in asked_users and user_id.partition(":")[2] in _mapping(answer, "failures")


def _mapping(value: Any, name: Any) -> Mapping[str, Any]:
    part = value.get(name) if isinstance(value, Mapping) and isinstance(name, str) else None
    return part if isinstance(part, Mapping) else {}


def _key(text: Any) -> str:
    """A 32-byte key in its one canonical spelling."""
    raw = unb64(text)
    if len(raw) != 32 or ub64(raw) != text:
        raise ValueError("not a public key")
    return str(text)
