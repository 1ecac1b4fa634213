"""An Olm device for test people: the whole of Matrix's end-to-end encryption that a peer needs, on vodozemac alone.

It shares no code with the product (which uses another Olm machine), does no I/O and keeps everything in memory, so that
it is both an independent witness and fast enough for load tests."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import vodozemac

OLM = "m.olm.v1.curve25519-aes-sha2"
MEGOLM = "m.megolm.v1.aes-sha2"
ROTATE_AFTER_MESSAGES = 100

JsonDict = dict[str, Any]


@dataclass(slots=True)
class OutboundRoomKey:
    """Our Megolm session of one room; `holders` are the (user, device) pairs that have its key."""

    session: vodozemac.GroupSession = field(default_factory=vodozemac.GroupSession)
    holders: set[tuple[str, str]] = field(default_factory=set)


class Device:
    def __init__(self, user_id: str, device_id: str) -> None:
        self.user_id, self.device_id = user_id, device_id
        self._account = vodozemac.Account()
        self._olm: dict[str, list[vodozemac.Session]] = {}  # by the other side's Curve25519 key, newest first
        self._inbound: dict[tuple[str, str], vodozemac.InboundGroupSession] = {}
        self._outbound: dict[str, OutboundRoomKey] = {}

    @property
    def curve25519(self) -> str:
        return self._account.curve25519_key.to_base64()

    @property
    def ed25519(self) -> str:
        return self._account.ed25519_key.to_base64()

    def sign(self, value: Mapping[str, Any]) -> JsonDict:
        """Returns the value with our signature in it (spec, "Signing JSON")."""
        bare = {key: part for key, part in value.items() if key not in {"signatures", "unsigned"}}
        signature = self._account.sign(canonical_json(bare)).to_base64()
        return {**value, "signatures": {self.user_id: {f"ed25519:{self.device_id}": signature}}}

    def device_keys(self) -> JsonDict:
        keys = {f"curve25519:{self.device_id}": self.curve25519, f"ed25519:{self.device_id}": self.ed25519}
        return self.sign(
            {"user_id": self.user_id, "device_id": self.device_id, "algorithms": [OLM, MEGOLM], "keys": keys}
        )

    def new_one_time_keys(self, count: int) -> JsonDict:
        """Signed keys for /keys/upload. They count as published at once: a lost upload only wastes them."""
        self._account.generate_one_time_keys(count)
        keys = {
            f"signed_curve25519:{key_id}": self.sign({"key": key.to_base64()})
            for key_id, key in self._account.one_time_keys.items()
        }
        self._account.mark_keys_as_published()
        return keys

    # Olm: one device to another

    def can_write_to(self, curve25519: str) -> bool:
        return bool(self._olm.get(curve25519))

    def open_session(self, curve25519: str, one_time_key: str) -> None:
        session = self._account.create_outbound_session(
            vodozemac.Curve25519PublicKey.from_base64(curve25519),
            vodozemac.Curve25519PublicKey.from_base64(one_time_key),
        )
        self._olm.setdefault(curve25519, []).insert(0, session)

    def encrypt_to_device(self, their_keys: Mapping[str, Any], event_type: str, content: Mapping[str, Any]) -> JsonDict:
        """An m.room.encrypted content for the device with these published keys; there must be an Olm session."""
        user_id, device_id = their_keys["user_id"], their_keys["device_id"]
        curve25519 = their_keys["keys"][f"curve25519:{device_id}"]
        plain = {
            "type": event_type,
            "content": content,
            "sender": self.user_id,
            "sender_device": self.device_id,
            "keys": {"ed25519": self.ed25519},
            "recipient": user_id,
            "recipient_keys": {"ed25519": their_keys["keys"][f"ed25519:{device_id}"]},
        }
        kind, body = self._olm[curve25519][0].encrypt(canonical_json(plain)).to_parts()
        ciphertext = {curve25519: {"type": kind, "body": unpadded(body)}}
        return {"algorithm": OLM, "sender_key": self.curve25519, "ciphertext": ciphertext}

    def receive_to_device(self, event: Mapping[str, Any]) -> JsonDict | None:
        """Opens an Olm message and keeps the room key in it. Returns the plain event, or None if it is not for us."""
        content = event.get("content", {})
        own = content.get("ciphertext", {}).get(self.curve25519) if content.get("algorithm") == OLM else None
        if own is None:
            return None
        plain: JsonDict = json.loads(self._open_olm(content["sender_key"], own["type"], own["body"]))
        if plain["type"] in {"m.room_key", "m.forwarded_room_key"}:
            self._keep_room_key(plain)
        return plain

    def _open_olm(self, sender_key: str, kind: int, body: str) -> bytes:
        message = vodozemac.AnyOlmMessage.from_parts(kind, from_base64(body))
        sessions = self._olm.setdefault(sender_key, [])
        for session in sessions:
            try:
                return session.decrypt(message)
            except vodozemac.OlmDecryptionException:
                continue
        if kind != 0:
            raise vodozemac.OlmDecryptionException("no session opens this message")
        sender = vodozemac.Curve25519PublicKey.from_base64(sender_key)
        session, plaintext = self._account.create_inbound_session(sender, vodozemac.PreKeyMessage.from_base64(body))
        sessions.insert(0, session)
        return plaintext

    def _keep_room_key(self, plain: Mapping[str, Any]) -> None:
        content = plain["content"]
        if plain["type"] == "m.room_key":
            session = vodozemac.InboundGroupSession(vodozemac.SessionKey(content["session_key"]))
        else:
            exported = vodozemac.ExportedSessionKey(content["session_key"])
            session = vodozemac.InboundGroupSession.import_session(exported)
        self.keep_session(content["room_id"], session)

    def keep_session(self, room_id: str, session: vodozemac.InboundGroupSession) -> None:
        known = self._inbound.get((room_id, session.session_id))
        if known is None or session.first_known_index < known.first_known_index:
            self._inbound[room_id, session.session_id] = session

    # Megolm: one device to a room

    def outbound(self, room_id: str) -> OutboundRoomKey:
        """The room's current key, renewed when it has served long enough."""
        current = self._outbound.get(room_id)
        if current is None or current.session.message_index >= ROTATE_AFTER_MESSAGES:
            current = self._outbound[room_id] = OutboundRoomKey()
            self.keep_session(room_id, vodozemac.InboundGroupSession(current.session.session_key))
        return current

    def rotate(self, room_id: str) -> None:
        self._outbound.pop(room_id, None)

    def room_key(self, room_id: str) -> JsonDict:
        """The content of m.room_key, at the index of the next message."""
        session = self.outbound(room_id).session
        return {
            "algorithm": MEGOLM,
            "room_id": room_id,
            "session_id": session.session_id,
            "session_key": session.session_key.to_base64(),
        }

    def encrypt(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> JsonDict:
        session = self.outbound(room_id).session
        message = session.encrypt(canonical_json({"type": event_type, "content": content, "room_id": room_id}))
        sealed: JsonDict = {
            "algorithm": MEGOLM,
            "sender_key": self.curve25519,
            "device_id": self.device_id,
            "session_id": session.session_id,
            "ciphertext": message.to_base64(),
        }
        if "m.relates_to" in content:  # spec, "Forming relationships": relations stay outside the encryption
            sealed["m.relates_to"] = content["m.relates_to"]
        return sealed

    def decrypt(self, room_id: str, content: Mapping[str, Any]) -> JsonDict | None:
        """The plain event inside an m.room.encrypted content, or None while its key is missing or it cannot be
        opened."""
        session_id = content.get("session_id")
        session = self._inbound.get((room_id, session_id)) if isinstance(session_id, str) else None
        if session is None:
            return None
        try:
            opened = session.decrypt(vodozemac.MegolmMessage.from_base64(content["ciphertext"]))
        except (vodozemac.MegolmDecryptionException, vodozemac.DecodeException, TypeError):
            return None
        plain: JsonDict = json.loads(opened.plaintext)
        return plain


def new_device_id() -> str:
    return "T" + secrets.token_hex(5).upper()


def canonical_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
