"""Canonical JSON and Ed25519 signatures of Matrix objects (Matrix spec, appendices: "Canonical JSON", "Signing
JSON")."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def ub64(raw: bytes) -> str:
    """Unpadded standard base64, the form of all keys and signatures in Matrix."""
    return b64encode(raw).decode().rstrip("=")


def unb64(text: str) -> bytes:
    """Padded or unpadded. Raises ValueError for anything that is not base64."""
    text = text.rstrip("=")
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """What a signature covers: sorted keys, no spaces, UTF-8, without `signatures` and `unsigned`."""
    signed = {key: part for key, part in value.items() if key not in ("signatures", "unsigned")}
    return json.dumps(signed, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def verify_signature(value: Any, user_id: str, public_key: str, key_id: str) -> bool:
    """Is `value` signed by `user_id` with the Ed25519 key `public_key`? `key_id` is what follows `ed25519:` in the
    name of the signature: a device id, or the public key itself for a cross-signing key. Never raises: the object is a
    stranger's."""
    try:
        signature = unb64(value["signatures"][user_id]["ed25519:" + key_id])
        Ed25519PublicKey.from_public_bytes(unb64(public_key)).verify(signature, canonical_json(value))
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, InvalidSignature):
        return False
    return True


def add_signature(value: dict[str, Any], user_id: str, key_id: str, signature: str) -> dict[str, Any]:
    """Puts a signature into the object itself and returns it. `key_id` is what follows `ed25519:`."""
    value.setdefault("signatures", {}).setdefault(user_id, {})["ed25519:" + key_id] = signature
    return value


def public_key_of(cross_signing_key: Any) -> str | None:
    """The one Ed25519 key of a cross-signing key object; None for anything malformed."""
    try:
        [(name, key)] = cross_signing_key["keys"].items()
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return key if isinstance(key, str) and name == "ed25519:" + key else None


def master_key_of(answer: Any, user_id: str) -> str | None:
    """The published master key of a user in a /keys/query answer. Whether it is the same as before is another
    question."""
    try:
        published = answer["master_keys"][user_id]
        belongs = published["user_id"] == user_id and "master" in published["usage"]
    except (KeyError, TypeError):
        return None
    return public_key_of(published) if belongs else None


def self_signing_key_of(answer: Any, user_id: str) -> str | None:
    """The user's self-signing key, if the master key in the same answer signed it."""
    master = master_key_of(answer, user_id)
    try:
        published = answer["self_signing_keys"][user_id]
        belongs = published["user_id"] == user_id and "self_signing" in published["usage"]
    except (KeyError, TypeError):
        return None
    if master is None or not belongs or not verify_signature(published, user_id, master, master):
        return None
    return public_key_of(published)


def owner_signed(answer: Any, user_id: str, device_id: str) -> str | None:
    """The user's master key, if master key -> self-signing key -> device holds in this /keys/query answer, else None.
    This is MSC4153's test; comparing the master key with the pinned one is the caller's part."""
    self_signing = self_signing_key_of(answer, user_id)
    try:
        device = answer["device_keys"][user_id][device_id]
        belongs = device["user_id"] == user_id and device["device_id"] == device_id
    except (KeyError, TypeError):
        return None
    if self_signing is None or not belongs or not verify_signature(device, user_id, self_signing, self_signing):
        return None
    return master_key_of(answer, user_id)
