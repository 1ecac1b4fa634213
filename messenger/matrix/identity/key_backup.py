"""The bot's room keys in the homeserver's key backup. They are the archive of all conversations: a desk that lost its
database reads them back with the recovery key.

Anybody who knows the backup's public key, so at least the homeserver, can put entries into it. Each entry therefore
carries, inside its ciphertext, a proof made with the backup's PRIVATE key; `restore` takes only entries that have it.
Other clients ignore the additional field."""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import vodozemac
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from messenger.matrix.batch import as_dict, as_list, is_room_id
from messenger.matrix.crypto.canonical import canonical_json, ub64, unb64
from messenger.matrix.engine import OwnDevice, RoomKey
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path
from messenger.matrix.identity.backup_version import current_backup
from messenger.matrix.identity.values import Identity

MEGOLM = "m.megolm.v1.aes-sha2"
PROOF = "net.stellwerk.backup_proof"
WHOLE_LIMIT = 20_000  # sessions that fit into one answer (about 1 kB each)

log = logging.getLogger(__name__)


class BackupChanged(Exception):
    """The account's key backup is not the one this desk made. No key was written or read. Find out who replaced or
    deleted it; then start the desk once with the recovery key."""


class KeyBackup:
    def __init__(self, http: HomeserverClient, device: OwnDevice, identity: Identity) -> None:
        self._http, self._device, self._identity = http, device, identity
        self._alone = asyncio.Lock()  # what is being written must not come after what was deleted

    async def upload_pending(self, limit: int = 500) -> int:
        """Backs up sessions that are not in the backup yet; returns how many (0: all done). Safe to repeat: the
        homeserver keeps the better copy. Raises BackupChanged; MatrixError and Unreachable mean: later."""
        async with self._alone:
            return await self._upload(limit)

    async def _upload(self, limit: int) -> int:
        keys = await self._device.keys_to_back_up(limit)
        if not keys:
            return 0
        rooms: dict[str, Any] = {}
        for key in keys:
            room = rooms.setdefault(key.room_id, {"sessions": {}})
            room["sessions"][key.session_id] = seal_entry(key, self._identity)
        await self._call("PUT", "", {"rooms": rooms})
        await self._device.mark_backed_up(keys)
        return len(keys)

    async def restore(self, rooms: Sequence[str] = ()) -> int:
        """Imports what the backup holds; returns how many sessions were new or better. `rooms` names further rooms to
        look at when the backup is so large that it is read room by room (the rooms the account has joined are always
        read)."""
        backup = await current_backup(self._http)
        if backup is None or not self._is_ours(backup.version, backup.public_key):
            raise BackupChanged(f"expected version {self._identity.backup_version}")
        if not backup.is_signed_by(self._identity.user_id, self._identity.master_key):
            raise BackupChanged("not signed by the master key")
        if backup.count <= WHOLE_LIMIT:
            return await self._import(as_dict(await self._call("GET", "")).get("rooms"))
        answer = as_dict(await self._http.call("GET", f"{CLIENT}/joined_rooms"))
        joined = [room for room in as_list(answer.get("joined_rooms")) if is_room_id(room)]
        return sum([await self._restore_room(room) for room in dict.fromkeys([*joined, *rooms])])

    async def forget_room(self, room_id: str) -> None:
        """All of a room's sessions. One that was deleted already counts as done."""
        async with self._alone:
            await self._call("DELETE", "/" + path(room_id))

    async def forget(self, room_id: str, session_id: str) -> None:
        """Removes one session from the backup: part of erasing a conversation."""
        await self._call("DELETE", "/" + path(room_id, session_id))

    def _is_ours(self, version: str, public_key: str | None) -> bool:
        return version == self._identity.backup_version and public_key == self._identity.backup_public_key

    async def _restore_room(self, room_id: str) -> int:
        return await self._import({room_id: await self._call("GET", "/" + path(room_id))})

    async def _import(self, rooms: Any) -> int:
        entries = list(_entries(rooms))
        keys = [key for room, session, entry in entries if (key := open_entry(room, session, entry, self._identity))]
        if len(keys) < len(entries):
            log.warning(
                "key backup: %d of %d entries are damaged or not ours and were left out",
                len(entries) - len(keys),
                len(entries),
            )
        return await self._device.import_keys(keys) if keys else 0

    async def _call(self, method: str, suffix: str, body: Any = None) -> Any:
        query = {"version": self._identity.backup_version}
        try:
            return await self._http.call(method, f"{CLIENT}/room_keys/keys{suffix}", body, query=query)
        except MatrixError as error:
            # 403: a newer version exists. 404: this version was deleted. Never answered with a new version of our own.
            if error.errcode == "M_WRONG_ROOM_KEYS_VERSION" or (method == "PUT" and error.status == 404):
                raise BackupChanged(f"version {self._identity.backup_version} is no longer the current one") from error
            raise


def seal_entry(key: RoomKey, identity: Identity) -> dict[str, Any]:
    """One session as the backup stores it."""
    payload: dict[str, Any] = {
        "algorithm": MEGOLM,
        "forwarding_curve25519_key_chain": list(key.forwarding_chain),
        "sender_key": key.sender_key,
        "sender_claimed_keys": {"ed25519": key.ed25519},
        "session_key": key.session_key,
        "m.shared_history": key.shared_history,
    }
    payload[PROOF] = _proof(payload, key.room_id, key.session_id, identity)
    recipient = vodozemac.Curve25519PublicKey.from_base64(identity.backup_public_key)
    # Only the attributes are safe: the tuple of `to_base64` has another order than its documentation says.
    sealed = vodozemac.PkEncryption.from_key(recipient).encrypt(json.dumps(payload).encode())
    return {
        "first_message_index": key.first_index,
        "forwarded_count": len(key.forwarding_chain),
        "is_verified": True,
        "session_data": {
            "ciphertext": ub64(sealed.ciphertext),
            "mac": ub64(sealed.mac),
            "ephemeral": ub64(sealed.ephemeral_key),
        },
    }


def open_entry(room_id: str, session_id: str, entry: Any, identity: Identity) -> RoomKey | None:
    """None for anything that is damaged or that this identity did not write."""
    try:
        payload = _decrypted(entry["session_data"], identity)
        proof = payload.pop(PROOF)
        if not hmac.compare_digest(str(proof), _proof(payload, room_id, session_id, identity)):
            return None
        return _room_key(room_id, session_id, entry, payload)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _room_key(room_id: str, session_id: str, entry: Mapping[str, Any], payload: Mapping[str, Any]) -> RoomKey:
    return RoomKey(
        room_id=room_id,
        session_id=session_id,
        sender_key=payload["sender_key"],
        ed25519=payload["sender_claimed_keys"]["ed25519"],
        session_key=payload["session_key"],
        first_index=_index(entry["first_message_index"]),
        forwarding_chain=tuple(payload["forwarding_curve25519_key_chain"]),
        shared_history=payload["m.shared_history"] is True,
    )


def _index(claimed: Any) -> int:
    """Outside of the proof: the homeserver may write anything there, and a good key is not lost by it."""
    return claimed if type(claimed) is int and 0 <= claimed < 1 << 32 else 0


def _decrypted(data: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    secret = vodozemac.Curve25519SecretKey.from_bytes(identity.backup_private_key)
    sealed = vodozemac.Message(unb64(data["ciphertext"]), unb64(data["mac"]), unb64(data["ephemeral"]))
    payload = json.loads(vodozemac.PkDecryption.from_key(secret).decrypt(sealed))
    if not isinstance(payload, dict):
        raise TypeError("a backup entry is a JSON object")
    return payload


def _proof(payload: Mapping[str, Any], room_id: str, session_id: str, identity: Identity) -> str:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"stellwerk key backup proof").derive(
        identity.backup_private_key
    )
    covered = canonical_json({"payload": payload, "room_id": room_id, "session_id": session_id})
    return ub64(hmac.new(key, covered, hashlib.sha256).digest())


def _entries(rooms: Any) -> Iterator[tuple[str, str, Any]]:
    for room_id, room in _items(rooms):
        for session_id, entry in _items(room.get("sessions") if isinstance(room, dict) else None):
            yield room_id, session_id, entry


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()
