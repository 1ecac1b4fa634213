"""A device with nothing but keys: enough of `OwnDevice` to test identity and key backup without an engine. The keys
are real (vodozemac) and a homeserver accepts them."""

from collections.abc import Mapping, Sequence
from typing import Any

import vodozemac

from messenger.matrix.crypto.canonical import add_signature, canonical_json
from messenger.matrix.engine import RoomKey
from messenger.matrix.http import CLIENT, HomeserverClient

ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]


class KeyedDevice:
    """`pending` are sessions to back up, `imported` what came back from the backup."""

    def __init__(self, user_id: str, device_id: str) -> None:
        self.user_id, self.device_id = user_id, device_id
        self.signed_device_keys: Mapping[str, Any] | None = None
        self.pending: list[RoomKey] = []
        self.imported: list[RoomKey] = []
        self._account = vodozemac.Account()

    def sign(self, value: Mapping[str, Any]) -> str:
        return self._account.sign(canonical_json(value)).to_base64()

    def device_keys(self) -> dict[str, Any]:
        keys = {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": ALGORITHMS,
            "keys": {
                f"curve25519:{self.device_id}": self._account.curve25519_key.to_base64(),
                f"ed25519:{self.device_id}": self._account.ed25519_key.to_base64(),
            },
        }
        return add_signature(keys, self.user_id, self.device_id, self.sign(keys))

    async def publish(self, http: HomeserverClient, *, one_time_keys: int = 0) -> None:
        body = {"device_keys": self.device_keys(), "one_time_keys": self._fresh_one_time_keys(one_time_keys)}
        await http.call("POST", f"{CLIENT}/keys/upload", body)
        self._account.mark_keys_as_published()

    async def keys_to_back_up(self, limit: int) -> Sequence[RoomKey]:
        return self.pending[:limit]

    async def mark_backed_up(self, keys: Sequence[RoomKey]) -> None:
        self.pending = [key for key in self.pending if key not in keys]

    async def import_keys(self, keys: Sequence[RoomKey]) -> int:
        self.imported.extend(keys)
        return len(keys)

    def _fresh_one_time_keys(self, count: int) -> dict[str, Any]:
        self._account.generate_one_time_keys(count)
        signed: dict[str, Any] = {}
        for key_id, public in self._account.one_time_keys.items():
            key = {"key": public.to_base64()}
            signed[f"signed_curve25519:{key_id}"] = add_signature(key, self.user_id, self.device_id, self.sign(key))
        return signed


def megolm_session(room_id: str, *, sender: KeyedDevice, shared_history: bool = True) -> RoomKey:
    """A fresh inbound session, as the engine would hand it to the backup."""
    outbound = vodozemac.GroupSession()
    inbound = vodozemac.InboundGroupSession(outbound.session_key)
    exported, keys = inbound.export_at(inbound.first_known_index), sender.device_keys()["keys"]
    assert exported is not None
    return RoomKey(
        room_id=room_id,
        session_id=inbound.session_id,
        sender_key=keys[f"curve25519:{sender.device_id}"],
        ed25519=keys[f"ed25519:{sender.device_id}"],
        first_index=inbound.first_known_index,
        session_key=exported.to_base64(),
        shared_history=shared_history,
    )
