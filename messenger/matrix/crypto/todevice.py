"""Olm messages to devices: open sessions where there are none, seal, and put on the wire in small parts."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from weakref import WeakValueDictionary

from messenger.matrix.crypto.canonical import verify_signature
from messenger.matrix.crypto.records import Device, UserDevice
from messenger.matrix.crypto.state import CryptoState
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

DEVICES_PER_PUT = 20
PUTS_AT_ONCE = 16  # a burst of new rooms must not drown the homeserver
DEVICES_PER_CLAIM = 500
FIRST_RETRY_S, LAST_RETRY_S = 30.0, 3600.0
Messages = dict[str, dict[str, Any]]  # user id -> device id -> content


@dataclass(frozen=True, slots=True)
class Claim:
    """Who was asked for a one-time key, and what came back: signed by the device, or not at all."""

    asked: Collection[Device]
    keys: Mapping[UserDevice, str]
    error: MatrixError | Unreachable | None = None


class ToDevice:
    """Sends Olm messages. Remembers which devices had no one-time key, and asks them again with growing pauses."""

    def __init__(self, state: CryptoState, http: HomeserverClient) -> None:
        self._state, self._http = state, http
        self._locks: WeakValueDictionary[UserDevice, asyncio.Lock] = WeakValueDictionary()
        self._wire = asyncio.Semaphore(PUTS_AT_ONCE)
        self._tries: dict[UserDevice, tuple[int, float]] = {}

    def retry_at(self, device: Device) -> float:
        """When a device without session may be asked for a one-time key again; 0 = now."""
        if self._state.olm_session(device) is not None:
            return 0.0
        return self._tries.get(device.id, (0, 0.0))[1]

    @asynccontextmanager
    async def reaching(self, devices: Collection[Device], *, insist: bool = False) -> AsyncIterator[Claim]:
        """One-time keys for those devices that have no Olm session with us. As long as the block runs nobody else asks
        for the same devices: a colleague in many rooms has only fifty keys. `insist`: without regard to the pauses."""
        await self.load(devices)
        async with AsyncExitStack() as locks:
            for device in sorted(self._without_session(devices, insist), key=lambda device: device.id):
                await locks.enter_async_context(self._locks.setdefault(device.id, asyncio.Lock()))
            yield await self._asked(self._without_session(devices, insist))

    async def _asked(self, devices: Collection[Device]) -> Claim:
        try:
            return Claim(devices, await self.claim(devices) if devices else {})
        except (MatrixError, Unreachable) as error:
            return Claim(devices, {}, error)

    def _without_session(self, devices: Collection[Device], insist: bool) -> list[Device]:
        now = self._state.clock()
        lacking = [device for device in devices if self._state.olm_session(device) is None]
        return [device for device in lacking if insist or self.retry_at(device) <= now]

    async def load(self, devices: Collection[Device]) -> None:
        keys = {device.curve25519 for device in devices}
        if any(key not in self._state.olm_peers for key in keys):
            async with self._state.desk_store.look() as stored:
                await self._state.load_olm(stored, keys)

    async def claim(self, devices: Collection[Device]) -> Mapping[UserDevice, str]:
        """One-time keys of these devices, as the homeserver gave them. Network only; `open_sessions` uses them."""
        wanted, found = sorted(devices, key=lambda device: device.id), {}
        for start in range(0, len(wanted), DEVICES_PER_CLAIM):
            found.update(await self._claim_part(wanted[start : start + DEVICES_PER_CLAIM]))
        fp("olm_claimed")
        return found

    async def _claim_part(self, devices: Sequence[Device]) -> dict[UserDevice, str]:
        asked: dict[str, dict[str, str]] = defaultdict(dict)
        for device in devices:
            asked[device.user_id][device.device_id] = "signed_curve25519"
        answer = await self._http.call("POST", f"{CLIENT}/keys/claim", {"one_time_keys": asked})
        return {device.id: key for device in devices if (key := _claimed_key(answer, device)) is not None}

    def open_sessions(self, claim: Claim) -> None:
        """Inside `change`. A device whose key is missing, forged or unusable is put off."""
        for device in claim.asked if claim.error is None else ():
            if self._state.olm_session(device) is None and not self._open_session(device, claim.keys.get(device.id)):
                self._put_off(device)

    def _put_off(self, device: Device) -> None:
        tries = self._tries.get(device.id, (0, 0.0))[0]
        pause = min(FIRST_RETRY_S * 2 ** min(tries, 20), LAST_RETRY_S)
        self._tries[device.id] = tries + 1, self._state.clock() + pause
        self._state.no_session.add(device.curve25519)

    def renew_session(self, device: Device, claimed: Mapping[UserDevice, str]) -> bool:
        """Inside `change`: a new session beside the broken one."""
        return self._open_session(device, claimed.get(device.id))

    def _open_session(self, device: Device, key: str | None) -> bool:
        if key is None:
            return False
        try:
            self._state.machine.create_session(key, device.curve25519)
        except ValueError:
            log.warning("one_time_key_unusable", extra={"user_id": device.user_id, "device_id": device.device_id})
            return False
        self._state.olm_peers.setdefault(device.curve25519)
        self._tries.pop(device.id, None)
        self._state.no_session.discard(device.curve25519)
        return True

    def session_id(self, device: Device) -> str:
        """Of the session that `seal` would use; "" without one."""
        session = self._state.olm_session(device)
        return str(session.id) if session is not None else ""

    def seal(self, devices: Collection[Device], event_type: str, content: Mapping[str, Any]) -> list[Messages]:
        """Inside `change`: encrypted for every device that has a session, in parts for `put`."""
        reachable = [device for device in devices if self._state.olm_session(device) is not None]
        parts = []
        for start in range(0, len(reachable), DEVICES_PER_PUT):
            messages: Messages = defaultdict(dict)
            for device in reachable[start : start + DEVICES_PER_PUT]:
                messages[device.user_id][device.device_id] = self._state.machine.seal_for(device, event_type, content)
            parts.append(messages)
        return parts

    async def put(self, event_type: str, messages: Messages, *, about: str) -> set[UserDevice]:
        """Returns who got it. The transaction id follows from `about` and the devices: the homeserver drops a
        repeat."""
        devices = {(user, device) for user, by_device in messages.items() for device in by_device}
        name = "|".join(
            (self._state.user_id, self._state.device_id, event_type, about, *map("/".join, sorted(devices)))
        )
        txn = "k" + uuid5(NAMESPACE_URL, name).hex
        async with self._wire:
            await self._http.call("PUT", f"{CLIENT}/sendToDevice/" + path(event_type, txn), {"messages": messages})
        return devices

    async def put_all(
        self, event_type: str, parts: Sequence[Messages], *, about: str
    ) -> tuple[set[UserDevice], BaseException | None]:
        """Several parts at once. Returns who got it, and the first failure."""
        answers = await asyncio.gather(
            *(self.put(event_type, part, about=about) for part in parts), return_exceptions=True
        )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        reached = set().union(*(answer for answer in answers if isinstance(answer, set)))
        return reached, failures[0] if failures else None


def _claimed_key(answer: Any, device: Device) -> str | None:
    """The one-time key, if the device itself signed it."""
    try:
        [signed] = answer["one_time_keys"][device.user_id][device.device_id].values()
        key = signed["key"]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    signed_by_device = verify_signature(signed, device.user_id, device.ed25519, device.device_id)
    return key if signed_by_device and isinstance(key, str) else None
