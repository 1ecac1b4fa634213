"""How a test person's device comes to the past of a room (MSC4268): its owner signs it, and whoever invites them sends
a bundle of room keys."""

import json
from collections.abc import Mapping
from typing import Any

import vodozemac
from nio.crypto import attachments

from messenger.matrix.http import CLIENT, HomeserverClient
from tests.support.device import Device, JsonDict, canonical_json
from tests.support.keys import persistently

MAX_BUNDLE_BYTES = 16 * 1024 * 1024


class _SigningKey:
    """An Ed25519 key: that of an Olm account which is used for nothing else."""

    def __init__(self) -> None:
        self._account = vodozemac.Account()
        self.public = self._account.ed25519_key.to_base64()

    def sign(self, user_id: str, value: Mapping[str, Any]) -> JsonDict:
        bare = {key: part for key, part in value.items() if key not in {"signatures", "unsigned"}}
        signatures = dict(value.get("signatures", {}).get(user_id, {}))
        signatures[f"ed25519:{self.public}"] = self._account.sign(canonical_json(bare)).to_base64()
        return {**value, "signatures": {user_id: signatures}}


async def cross_sign(server: HomeserverClient, device: Device) -> None:
    """Publishes an identity and signs the device with it. Synapse takes the first one without a password (MSC3967)."""
    user, master, self_signing = device.user_id, _SigningKey(), _SigningKey()
    body = {
        "master_key": _published(user, "master", master),
        "self_signing_key": master.sign(user, _published(user, "self_signing", self_signing)),
    }
    await persistently(lambda: server.call("POST", f"{CLIENT}/keys/device_signing/upload", body))
    signed = {user: {device.device_id: self_signing.sign(user, device.device_keys())}}
    await persistently(lambda: server.call("POST", f"{CLIENT}/keys/signatures/upload", signed))


def _published(user: str, usage: str, key: _SigningKey) -> JsonDict:
    return {"user_id": user, "usage": [usage], "keys": {f"ed25519:{key.public}": key.public}}


async def take_bundle(server: HomeserverClient, device: Device, content: Mapping[str, Any]) -> None:
    """Keeps the room keys of a bundle that came over Olm."""
    file = content["file"]
    sealed = await persistently(lambda: server.download(file["url"], max_bytes=MAX_BUNDLE_BYTES))
    data = attachments.decrypt_attachment(sealed, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
    for key in json.loads(data)["room_keys"]:
        exported = vodozemac.ExportedSessionKey(key["session_key"])
        device.keep_session(key["room_id"], vodozemac.InboundGroupSession.import_session(exported))
