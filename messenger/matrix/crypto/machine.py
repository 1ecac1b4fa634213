"""nio's Olm machine, made safe for what strangers send. We use its account, its Olm sessions and its way to open Olm
messages; its clients, its store, its lists of devices and its Megolm code stay unused."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import vodozemac
from nio.crypto import Olm, Session

from messenger.matrix.crypto.canonical import add_signature, canonical_json, ub64, unb64
from messenger.matrix.crypto.records import Device
from messenger.matrix.crypto.store import MachineStore

log = logging.getLogger(__name__)

OLM = "m.olm.v1.curve25519-aes-sha2"
MEGOLM = "m.megolm.v1.aes-sha2"
SESSIONS_PER_DEVICE = 10  # a peer that opens session after session pushes out its own old ones, nobody else's
POOL = 50  # one-time keys that the server shall hold


@dataclass(frozen=True, slots=True, kw_only=True)
class OlmPayload:
    """What came out of an Olm message: opened, addressed to us and claimed by the event's sender."""

    sender: str
    sender_key: str
    ed25519: str
    type: str
    content: Mapping[str, Any]


class SafeOlm(Olm):  # type: ignore[misc]  # nio has no types
    """One account's Olm machine."""

    store: MachineStore

    def __init__(self, user_id: str, device_id: str, store: MachineStore) -> None:
        # nio tells the log about senders and about the texts that it could not parse: not ours to keep.
        logging.getLogger("nio").setLevel(logging.CRITICAL)
        store.device_id = device_id
        self.wedged: set[tuple[str, str]] = set()  # (user id, sender key)
        self.signed_device_keys: Mapping[str, Any] | None = None
        self.was_misnamed = False  # the last message opened names another sender or recipient than its event
        super().__init__(user_id, device_id, store)
        self.curve25519: str = self.account.identity_keys["curve25519"]
        self.ed25519: str = self.account.identity_keys["ed25519"]

    def open(self, event: Mapping[str, Any]) -> OlmPayload | None:
        """Opens one m.room.encrypted to-device event. Raises for a malformed one: the caller counts and goes on. An
        event whose session is broken or unknown marks its sender as wedged."""
        sender, sender_key, message = _olm_message(event, self.curve25519)
        self.was_misnamed = False
        try:
            return self._payload(self.decrypt(sender, sender_key, message))
        except vodozemac.SessionCreationException:
            # It names a one-time key that we do not have (any more): the peer must start again.
            self._mark_device_for_unwedging(sender, sender_key)
            return None

    def _verify_olm_payload(self, sender: str, payload: dict[str, Any]) -> bool:
        self.was_misnamed = True
        is_right: bool = super()._verify_olm_payload(sender, payload)  # raises otherwise; `decrypt` makes it a None
        self.was_misnamed = not is_right
        return is_right

    def _payload(self, opened: Any) -> OlmPayload | None:
        return opened if isinstance(opened, OlmPayload) else None

    def _handle_olm_event(self, sender: str, sender_key: str, payload: dict[str, Any]) -> OlmPayload:
        return OlmPayload(
            sender=sender,
            sender_key=sender_key,
            ed25519=payload["keys"]["ed25519"],
            type=payload["type"],
            content=payload["content"],
        )

    def _mark_device_for_unwedging(self, sender: str, sender_key: str) -> None:
        self.wedged.add((sender, sender_key))

    def save_session(self, curve_key: str, session: Session) -> None:
        super().save_session(curve_key, session)
        sessions = self.session_store[curve_key]
        if len(sessions) > SESSIONS_PER_DEVICE:
            oldest = min(sessions, key=lambda old: old.use_time)
            sessions.remove(oldest)
            self.store.remove_session(curve_key, oldest)

    def newest_session(self, curve25519: str) -> Session | None:
        sessions = self.session_store[curve25519]
        return max(sessions, key=lambda session: session.use_time) if sessions else None

    def seal_for(self, device: Device, event_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """An m.room.encrypted to-device content. There must be a session. The ratchet moves: flush before the PUT."""
        session = self.newest_session(device.curve25519)
        assert session is not None
        kind, body = session.encrypt(self._olm_plaintext(device, event_type, content)).to_parts()
        self.save_session(device.curve25519, session)
        return {
            "algorithm": OLM,
            "sender_key": self.curve25519,
            "ciphertext": {device.curve25519: {"type": kind, "body": ub64(body)}},
        }

    def _olm_plaintext(self, device: Device, event_type: str, content: Mapping[str, Any]) -> str:
        payload = {
            "sender": self.user_id,
            "sender_device": self.device_id,
            "keys": {"ed25519": self.ed25519},
            "recipient": device.user_id,
            "recipient_keys": {"ed25519": device.ed25519},
            "type": event_type,
            "content": content,
        }
        if self.signed_device_keys:
            payload["sender_device_keys"] = self.signed_device_keys  # Matrix spec v1.15, MSC4147
        return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)

    def device_keys(self) -> dict[str, Any]:
        keys = {
            "algorithms": [OLM, MEGOLM],
            "device_id": self.device_id,
            "user_id": self.user_id,
            "keys": {f"curve25519:{self.device_id}": self.curve25519, f"ed25519:{self.device_id}": self.ed25519},
        }
        return self._signed(keys)

    def sign(self, value: Mapping[str, Any]) -> str:
        signature: str = self.account.sign(canonical_json(value).decode())
        return signature

    def keys_to_upload(self, on_server: int, *, new_fallback: bool = False) -> dict[str, Any]:
        """Body of /keys/upload. Keys of an upload whose answer never came are uploaded again unchanged: new ones under
        the same ids would be refused for ever."""
        if not self.account.one_time_keys["curve25519"]:
            self.account.generate_one_time_keys(max(POOL - on_server, 0))
        if new_fallback and not self._vodozemac.fallback_key:
            self._vodozemac.generate_fallback_key()
        self.save_account()
        keys = self.account.one_time_keys["curve25519"]
        body: dict[str, Any] = {
            "one_time_keys": {f"signed_curve25519:{key_id}": self._signed({"key": key}) for key_id, key in keys.items()}
        }
        if fallback := self._vodozemac.fallback_key:
            body["fallback_keys"] = {
                f"signed_curve25519:{key_id}": self._signed({"key": key.to_base64(), "fallback": True})
                for key_id, key in fallback.items()
            }
        return body if self.account.shared else {"device_keys": self.device_keys(), **body}

    def keys_were_uploaded(self) -> None:
        self.account.shared = True
        self.account.mark_keys_as_published()
        self.save_account()

    @property
    def _vodozemac(self) -> Any:
        """nio's wrapper offers no fallback keys (client-server API v1.2), and vodozemac's stub does not tell of its
        own. `fallback_key` is the one not yet uploaded; behind a new one the account still knows the one before."""
        return self.account._account

    def _signed(self, value: dict[str, Any]) -> dict[str, Any]:
        return add_signature(value, self.user_id, self.device_id, self.sign(value))


def _olm_message(event: Mapping[str, Any], own_key: str) -> tuple[str, str, Any]:
    content, sender = event["content"], event["sender"]
    sender_key, ours = content["sender_key"], content["ciphertext"][own_key]
    # Only the one canonical spelling of a key: another one would name another row.
    if content["algorithm"] != OLM or not isinstance(sender, str) or ub64(unb64(sender_key)) != sender_key:
        raise ValueError("not an Olm message")
    if ours["type"] == 0:
        return sender, sender_key, vodozemac.PreKeyMessage.from_base64(ours["body"])
    if ours["type"] == 1:
        return sender, sender_key, vodozemac.AnyOlmMessage.normal(unb64(ours["body"]))
    raise ValueError("unknown type of Olm message")
