"""The account's current key backup version: who made it, and may we trust it (Matrix spec, client-server API,
"Server-side key backups", `m.megolm_backup.v1.curve25519-aes-sha2`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from messenger.matrix.batch import as_dict
from messenger.matrix.crypto.canonical import add_signature, ub64, verify_signature
from messenger.matrix.engine import OwnDevice
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.matrix.identity.cross_signing import SigningKey

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
SECRET_NAME = "m.megolm_backup.v1"  # noqa: S105 - the name of a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupVersion:
    """What the homeserver says; trust it only after `is_signed_by`."""

    version: str
    algorithm: str
    auth_data: Mapping[str, Any]
    count: int

    @property
    def public_key(self) -> str | None:
        key = self.auth_data.get("public_key")
        return key.rstrip("=") if isinstance(key, str) else None

    def is_signed_by(self, user_id: str, master_key: str) -> bool:
        return self.algorithm == ALGORITHM and verify_signature(self.auth_data, user_id, master_key, master_key)


async def current_backup(http: HomeserverClient) -> BackupVersion | None:
    """The newest version, or None if the account has none (deleted or never made)."""
    try:
        answer = as_dict(await http.call("GET", f"{CLIENT}/room_keys/version"))
    except MatrixError as error:
        if error.status == 404:
            return None
        raise
    auth_data, count = answer.get("auth_data"), answer.get("count")
    return BackupVersion(
        version=str(answer.get("version")),
        algorithm=str(answer.get("algorithm")),
        auth_data=auth_data if isinstance(auth_data, dict) else {},
        count=count if isinstance(count, int) else 0,
    )


async def create_backup(http: HomeserverClient, device: OwnDevice, master: SigningKey, private_key: bytes) -> str:
    """Makes a new, empty backup version, signed by the master key and the device. Returns its number."""
    auth_data: dict[str, Any] = {"public_key": public_key_of(private_key)}
    by_master, by_device = master.sign(auth_data), device.sign(auth_data)
    add_signature(auth_data, device.user_id, master.public, by_master)
    add_signature(auth_data, device.user_id, device.device_id, by_device)
    answer = await http.call("POST", f"{CLIENT}/room_keys/version", {"algorithm": ALGORITHM, "auth_data": auth_data})
    return str(answer["version"])


def public_key_of(private_key: bytes) -> str:
    public = X25519PrivateKey.from_private_bytes(private_key).public_key()
    return ub64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
