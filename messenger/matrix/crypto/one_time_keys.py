"""The pool of one-time keys on the server, and new Olm sessions for peers whose old one is broken."""

import logging
from collections import deque
from collections.abc import Sequence

from messenger.matrix.crypto.records import Device
from messenger.matrix.crypto.state import CryptoState
from messenger.matrix.crypto.todevice import ToDevice
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.matrix.suspicion import Suspicion
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

REFILL_BELOW = 25
# The account knows the present fallback key and the one before it: whoever has claimed the latter has this long to be
# heard. Until then the homeserver gives out the used one again, so nobody is kept out.
FALLBACK_KEPT_S = 3600.0
UNWEDGE_EVERY_S = 3600.0
# So many refills an hour no honest crowd needs; from then on there is one at a time. The fallback key serves meanwhile.
MANY_FILLS, COUNTED_S, SLOW_FILL_S = 10, 3600.0, 30.0
MAX_UNWEDGED_AT_ONCE = 100


class StoreIsOlder(Exception):
    """The homeserver knows keys of this device that our store does not: the store was restored from an old copy, or
    another process uses the device. Its Olm account must not be used again: log in for a new device, then cross-sign
    it."""


class KeyPool:
    """Keeps enough one-time keys on the server, and a fallback key for when a wave of devices has taken them all: it is
    replaced when it was used. Saved BEFORE the upload; an upload whose answer was lost is repeated unchanged. One
    upload at a time."""

    def __init__(self, state: CryptoState, http: HomeserverClient) -> None:
        self._state, self._http = state, http
        self.on_server: int | None = None
        self._is_fallback_used = False
        self._fallback_at = -FALLBACK_KEPT_S
        self._fills: deque[float] = deque(maxlen=MANY_FILLS)

    def hear_of_fallback(self, unused: Sequence[str] | None) -> None:
        """What /sync says. A server that says nothing knows no such keys."""
        if unused is not None:
            self._is_fallback_used = "signed_curve25519" not in unused

    @property
    def is_low(self) -> bool:
        is_short = self.on_server is not None and self.on_server < REFILL_BELOW
        return self._wants_fallback or (is_short and not self._must_wait)

    @property
    def _are_many(self) -> bool:
        return len(self._fills) == MANY_FILLS and self._state.clock() - self._fills[0] < COUNTED_S

    @property
    def _must_wait(self) -> bool:
        return self._are_many and self._state.clock() - self._fills[-1] < SLOW_FILL_S

    @property
    def _wants_fallback(self) -> bool:
        return self._is_fallback_used and self._state.clock() - self._fallback_at >= FALLBACK_KEPT_S

    async def fill(self) -> None:
        """Raises StoreIsOlder, MatrixError or Unreachable; repeated at the next batch."""
        state = self._state
        async with state.change():
            body = state.machine.keys_to_upload(self.on_server or 0, new_fallback=self._wants_fallback)
        generation = state.generation
        fp("otk_saved")
        answer = await self._upload(body)
        fp("otk_uploaded")
        async with state.change():
            state.still(generation)
            state.machine.keys_were_uploaded()
        if "fallback_keys" in body:
            self._is_fallback_used, self._fallback_at = False, state.clock()
        self._fills.append(state.clock())
        if self._are_many:
            state.suspicions.add(Suspicion(cause="one_time_keys", user=state.user_id))
        self.on_server = int(answer.get("one_time_key_counts", {}).get("signed_curve25519", 0))

    async def _upload(self, body: dict[str, object]) -> dict[str, dict[str, int]]:
        try:
            answer: dict[str, dict[str, int]] = await self._http.call("POST", f"{CLIENT}/keys/upload", body)
        except MatrixError as error:
            if error.status == 400 and "already exists" in str((error.body or {}).get("error", "")):
                raise StoreIsOlder("one-time keys clash: this device needs a new login") from error
            raise
        return answer


class Unwedger:
    """Opens a new Olm session where messages could not be decrypted any more, and says so with an m.dummy (Matrix spec,
    "Recovering from undecryptable messages"). At most once an hour for a device."""

    def __init__(self, state: CryptoState, to_device: ToDevice) -> None:
        self._state, self._to_device = state, to_device
        self._last: dict[tuple[str, str], float] = {}

    async def settle(self) -> None:
        state = self._state
        marked, state.machine.wedged = state.machine.wedged, set()
        devices = [device for peer in marked if (device := self._due(*peer)) is not None][:MAX_UNWEDGED_AT_ONCE]
        try:
            if devices:
                await self._renew(devices)
        except BaseException:
            state.machine.wedged |= marked
            for device in devices:
                self._last.pop(device.id, None)
            raise

    def _due(self, user_id: str, sender_key: str) -> Device | None:
        entry, now = self._state.users.get(user_id), self._state.clock()
        device = entry.by_curve25519(sender_key) if entry else None
        if device is None or device.deleted or user_id == self._state.user_id:
            return None
        if now - self._last.get(device.id, -UNWEDGE_EVERY_S) < UNWEDGE_EVERY_S:
            return None
        self._last[device.id] = now
        return device

    async def _renew(self, devices: list[Device]) -> None:
        state = self._state
        generation = state.generation
        await self._to_device.load(devices)
        claimed = await self._to_device.claim(devices)
        async with state.change():
            state.still(generation)
            renewed = [device for device in devices if self._to_device.renew_session(device, claimed)]
            parts = self._to_device.seal(renewed, "m.dummy", {})
        sessions = "|".join(session.id for device in renewed if (session := state.olm_session(device)))
        for part in parts:
            await self._to_device.put("m.room.encrypted", part, about="dummy|" + sessions)
        log.info("olm_sessions_renewed", extra={"devices": len(renewed)})
