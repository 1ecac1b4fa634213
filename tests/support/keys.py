"""How a test person's device publishes its keys and hands room keys to the devices of others."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from tests.support.device import Device, JsonDict

T = TypeVar("T")

ONE_TIME_KEYS = 50
PATIENCE_S = 60.0


async def persistently(call: Callable[[], Awaitable[T]], *, patience_s: float = PATIENCE_S) -> T:
    """Repeats a call while the homeserver is away, busy or limits us: a person would press "retry"."""
    give_up_at = time.monotonic() + patience_s
    while True:
        try:
            return await call()
        except (Unreachable, MatrixError) as error:
            pause_s = _pause_s(error)
            if pause_s is None or time.monotonic() + pause_s > give_up_at:
                raise
            await asyncio.sleep(pause_s)


def _pause_s(error: Unreachable | MatrixError) -> float | None:
    """How long to wait before asking again; None if asking again is useless."""
    if isinstance(error, Unreachable) or error.status >= 500:
        return 0.2
    if error.status == 429:
        return error.retry_after.total_seconds() if error.retry_after else 1.0
    return None


class KeyExchange:
    """`unreached` are the (user, device) pairs that had no one-time key left: they cannot read what we sent."""

    def __init__(self, server: HomeserverClient, device: Device) -> None:
        self._server, self._device = server, device
        self._devices: dict[str, Mapping[str, JsonDict]] = {}  # published keys by user, by device id
        self._lock = asyncio.Lock()
        self.unreached: set[tuple[str, str]] = set()

    async def publish(self) -> None:
        body = {
            "device_keys": self._device.device_keys(),
            "one_time_keys": self._device.new_one_time_keys(ONE_TIME_KEYS),
        }
        await persistently(lambda: self._server.call("POST", f"{CLIENT}/keys/upload", body))

    async def replenish(self, left: int) -> None:
        if left < ONE_TIME_KEYS // 2:
            body = {"one_time_keys": self._device.new_one_time_keys(ONE_TIME_KEYS - left)}
            await self._server.call("POST", f"{CLIENT}/keys/upload", body)

    def forget_devices(self, users: Iterable[str]) -> None:
        """Their device lists have changed: asked for again before the next message."""
        for user in users:
            self._devices.pop(user, None)

    async def share(self, room_id: str, users: frozenset[str]) -> None:
        """Gives the room's current key to every device of these users that does not have it yet."""
        async with self._lock:
            await self._query(users)
            self._rotate_if_somebody_left(room_id, users)
            holders = self._device.outbound(room_id).holders
            wanting = [
                keys
                for user in users
                for keys in self._devices.get(user, {}).values()
                if (user, keys["device_id"]) not in holders and keys["device_id"] != self._device.device_id
            ]
            if not wanting:
                return
            await self._claim(wanting)
            reachable = [keys for keys in wanting if self._device.can_write_to(_curve25519(keys))]
            self.unreached |= {_pair(keys) for keys in wanting} - {_pair(keys) for keys in reachable}
            await self._hand_over(room_id, reachable)
            holders |= {_pair(keys) for keys in reachable}

    def _rotate_if_somebody_left(self, room_id: str, users: frozenset[str]) -> None:
        if any(user not in users for user, _ in self._device.outbound(room_id).holders):
            self._device.rotate(room_id)

    async def _query(self, users: frozenset[str]) -> None:
        unknown = [user for user in users if user not in self._devices]
        if not unknown:
            return
        body: JsonDict = {"device_keys": {user: [] for user in unknown}}
        answer = await persistently(lambda: self._server.call("POST", f"{CLIENT}/keys/query", body))
        for user in unknown:
            self._devices[user] = answer["device_keys"].get(user, {})

    async def _claim(self, wanting: list[JsonDict]) -> None:
        missing: dict[str, dict[str, str]] = {}
        for keys in wanting:
            if not self._device.can_write_to(_curve25519(keys)):
                missing.setdefault(keys["user_id"], {})[keys["device_id"]] = "signed_curve25519"
        if not missing:
            return
        answer = await persistently(
            lambda: self._server.call("POST", f"{CLIENT}/keys/claim", {"one_time_keys": missing})
        )
        for user, devices in answer["one_time_keys"].items():
            for device_id, one_time_keys in devices.items():
                for key in one_time_keys.values():
                    self._device.open_session(_curve25519(self._devices[user][device_id]), key["key"])

    async def _hand_over(self, room_id: str, devices: list[JsonDict]) -> None:
        messages: dict[str, dict[str, Any]] = {}
        for keys in devices:
            sealed = self._device.encrypt_to_device(keys, "m.room_key", self._device.room_key(room_id))
            messages.setdefault(keys["user_id"], {})[keys["device_id"]] = sealed
        if messages:
            url = f"{CLIENT}/sendToDevice/m.room.encrypted/" + path(uuid.uuid4().hex)
            await persistently(lambda: self._server.call("PUT", url, {"messages": messages}))


def _curve25519(keys: Mapping[str, Any]) -> str:
    return str(keys["keys"][f"curve25519:{keys['device_id']}"])


def _pair(keys: Mapping[str, Any]) -> tuple[str, str]:
    return keys["user_id"], keys["device_id"]
