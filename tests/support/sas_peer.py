"""The other end of a verification, written from the specification with `cryptography` alone: nothing of the product's
calculations is used, so that both can be compared. Its keys are fixed if it is given a seed."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHMS = {
    "key_agreement_protocols": ["curve25519-hkdf-sha256"],
    "hashes": ["sha256"],
    "message_authentication_codes": ["hkdf-hmac-sha256.v2", "hkdf-hmac-sha256"],
    "short_authentication_string": ["emoji", "decimal"],
}
CHOSEN = {
    "key_agreement_protocol": "curve25519-hkdf-sha256",
    "hash": "sha256",
    "message_authentication_code": "hkdf-hmac-sha256.v2",
    "short_authentication_string": ["emoji", "decimal"],
}


class SasPeer:
    def __init__(self, user_id: str, device_id: str, seed: bytes = bytes(range(32))) -> None:
        self.user_id, self.device_id = user_id, device_id
        self._private = X25519PrivateKey.from_private_bytes(seed)
        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = b64(raw)
        self._shared = b""

    def commitment_to(self, start: Mapping[str, Any]) -> str:
        text = json.dumps(start, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return b64(hashlib.sha256((self.public + text).encode()).digest())

    def agree(self, their_key: str) -> None:
        raw = base64.b64decode(their_key + "=" * (-len(their_key) % 4))
        self._shared = self._private.exchange(X25519PublicKey.from_public_bytes(raw))

    def emoji(self, starter: tuple[str, str, str], accepter: tuple[str, str, str], id: str) -> tuple[int, ...]:
        info = "|".join(("MATRIX_KEY_VERIFICATION_SAS", *starter, *accepter, id))
        bits = int.from_bytes(self._derived(info, 6), "big") >> 6
        return tuple(bits >> 6 * (6 - n) & 63 for n in range(7))

    def decimals(self, starter: tuple[str, str, str], accepter: tuple[str, str, str], id: str) -> tuple[int, ...]:
        info = "|".join(("MATRIX_KEY_VERIFICATION_SAS", *starter, *accepter, id))
        bits = int.from_bytes(self._derived(info, 5), "big") >> 1
        return tuple((bits >> 13 * (2 - n) & 0x1FFF) + 1000 for n in range(3))

    def mac(self, keys: Mapping[str, str], receiver: tuple[str, str], id: str) -> dict[str, Any]:
        base = "MATRIX_KEY_VERIFICATION_MAC" + self.user_id + self.device_id + "".join(receiver) + id
        return {
            "mac": {name: self._mac(base + name, key) for name, key in keys.items()},
            "keys": self._mac(base + "KEY_IDS", ",".join(sorted(keys))),
        }

    def checks(self, content: Mapping[str, Any], keys: Mapping[str, str], sender: tuple[str, str], id: str) -> bool:
        base = "MATRIX_KEY_VERIFICATION_MAC" + "".join(sender) + self.user_id + self.device_id + id
        macs = {name: self._mac(base + name, key) for name, key in keys.items()}
        ids = self._mac(base + "KEY_IDS", ",".join(sorted(keys)))
        return bool(content["mac"] == macs and content["keys"] == ids)

    def _mac(self, info: str, text: str) -> str:
        return b64(hmac.new(self._derived(info, 32), text.encode(), hashlib.sha256).digest())

    def _derived(self, info: str, length: int) -> bytes:
        return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info.encode()).derive(self._shared)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
