"""Secret storage (Matrix spec, client-server API, "Secret storage", `m.secret_storage.v1.aes-hmac-sha2`): secrets in
the account data of the bot's own account, encrypted with the recovery key. The homeserver sees names and lengths
only."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from messenger.matrix.crypto.canonical import ub64, unb64
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path

ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2"
_CHECK_TEXT = bytes(32)


class WrongKey(ValueError):
    """The key does not open this secret, or the secret was changed by someone without the key."""


def encrypt_secret(key: bytes, name: str, plaintext: bytes) -> dict[str, str]:
    """Encrypts under keys that are derived from `key` and the secret's name, so a secret cannot be passed off as
    another."""
    cipher_key, mac_key = _derive(key, name)
    iv = bytearray(os.urandom(16))
    iv[8] &= 0x7F  # bit 63 is zero: some counter-mode libraries differ when it overflows
    ciphertext = _aes_ctr(cipher_key, bytes(iv), plaintext)
    return {"iv": ub64(bytes(iv)), "ciphertext": ub64(ciphertext), "mac": ub64(_mac(mac_key, ciphertext))}


def decrypt_secret(key: bytes, name: str, box: Mapping[str, Any]) -> bytes:
    """Raises WrongKey; the box is what the homeserver returned and may hold anything."""
    cipher_key, mac_key = _derive(key, name)
    try:
        iv, ciphertext, mac = (unb64(box[part]) for part in ("iv", "ciphertext", "mac"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise WrongKey(f"The secret {name!r} is damaged.") from error
    if len(iv) != 16 or not hmac.compare_digest(_mac(mac_key, ciphertext), mac):
        raise WrongKey(f"The key does not open the secret {name!r}.")
    return _aes_ctr(cipher_key, iv, ciphertext)


def key_description(key: bytes) -> dict[str, str]:
    """What is published about a storage key: enough to tell whether a key is the right one, no more."""
    check = encrypt_secret(key, "", _CHECK_TEXT)
    return {"algorithm": ALGORITHM, "name": "recovery key", "iv": check["iv"], "mac": check["mac"]}


def opens(key: bytes, description: Mapping[str, Any]) -> bool:
    """Is `key` the one that `description` speaks of? A description without check values fits no key here: we always
    write them, and a key that is not checked must not overwrite anything."""
    cipher_key, mac_key = _derive(key, "")
    try:
        iv, mac = unb64(description["iv"]), unb64(description["mac"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return False
    return len(iv) == 16 and hmac.compare_digest(_mac(mac_key, _aes_ctr(cipher_key, iv, _CHECK_TEXT)), mac)


class AccountData:
    """The account data of one user: small JSON objects by type."""

    def __init__(self, http: HomeserverClient, user_id: str) -> None:
        self._http, self._base = http, f"{CLIENT}/user/{path(user_id)}/account_data/"

    async def get(self, kind: str) -> Mapping[str, Any] | None:
        """None if it was never set, or is empty (the way to delete account data)."""
        try:
            content = await self._http.call("GET", self._base + path(kind))
        except MatrixError as error:
            if error.status == 404:
                return None
            raise
        return content if isinstance(content, dict) and content else None

    async def put(self, kind: str, content: Mapping[str, Any]) -> None:
        await self._http.call("PUT", self._base + path(kind), content)


class SecretStorage:
    """The account's default secret storage, opened with a key that was checked against its published description."""

    def __init__(self, data: AccountData, key: bytes, key_id: str) -> None:
        self._data, self._key, self.key_id = data, key, key_id

    async def read(self, name: str) -> bytes | None:
        """None if the secret is missing or was not encrypted for our key. Raises WrongKey if it is damaged. Secrets
        are stored as unpadded base64 of their bytes."""
        boxes = (await self._data.get(name) or {}).get("encrypted")
        box = boxes.get(self.key_id) if isinstance(boxes, dict) else None
        if box is None:
            return None
        try:
            return unb64(decrypt_secret(self._key, name, box).decode())
        except WrongKey:
            raise
        except ValueError as error:
            raise WrongKey(f"The secret {name!r} is damaged.") from error

    async def write(self, name: str, secret: bytes) -> None:
        await self._data.put(name, {"encrypted": {self.key_id: encrypt_secret(self._key, name, ub64(secret).encode())}})

    async def make_default(self) -> None:
        await self._data.put("m.secret_storage.default_key", {"key": self.key_id})


async def open_storage(data: AccountData, key: bytes) -> SecretStorage | None:
    """The account's storage, if there is one and `key` opens it."""
    key_id = await default_key_id(data)
    if key_id is None:
        return None
    description = await data.get("m.secret_storage.key." + key_id)
    return SecretStorage(data, key, key_id) if description and opens(key, description) else None


async def prepare_storage(data: AccountData, key: bytes) -> SecretStorage:
    """A new storage for `key`. Others find it only after `make_default`: call that when all secrets are in it."""
    # The id is derived from the key, so that a set-up that was interrupted finds its own unfinished storage again.
    key_id = _derive(key, "stellwerk storage id")[0].hex()
    name = "m.secret_storage.key." + key_id
    description = await data.get(name)
    if description is None or not opens(key, description):
        await data.put(name, key_description(key))
    return SecretStorage(data, key, key_id)


async def default_key_id(data: AccountData) -> str | None:
    key_id = (await data.get("m.secret_storage.default_key") or {}).get("key")
    return key_id if isinstance(key_id, str) else None


def _derive(key: bytes, name: str) -> tuple[bytes, bytes]:
    derived = HKDF(algorithm=hashes.SHA256(), length=64, salt=bytes(32), info=name.encode()).derive(key)
    return derived[:32], derived[32:]


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
