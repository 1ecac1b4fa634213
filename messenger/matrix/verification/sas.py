"""The calculations of SAS verification (Matrix spec v1.16, "Short Authentication String (SAS) verification"). Only the
present forms: `curve25519-hkdf-sha256`, `sha256` and `hkdf-hmac-sha256.v2`. The older MAC, whose base64 was wrong, is
neither offered nor taken."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import vodozemac

from messenger.matrix.crypto.canonical import ub64

METHOD = "m.sas.v1"
KEY_AGREEMENT, HASH, MAC = "curve25519-hkdf-sha256", "sha256", "hkdf-hmac-sha256.v2"
SHORT_STRINGS = ("decimal", "emoji")
MOST_KEYS = 50  # in one MAC message; people have a device key and a master key


class MacMismatch(Exception):
    """A key of the other side is not the one that we know, or the proof is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One end of a verification."""

    user_id: str
    device_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What we know of the other side: Ed25519 keys, unpadded base64. `master` is the one that is published now."""

    device: str
    master: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortString:
    """What people compare: seven numbers of emoji, three numbers of four digits."""

    emoji: tuple[int, ...]
    decimals: tuple[int, ...]


def commitment(public_key: str, start: Mapping[str, Any]) -> str:
    """Binds whoever accepts to a key that is told only later."""
    text = json.dumps(start, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return ub64(hashlib.sha256(public_key.encode() + text.encode()).digest())


def short_string(
    secret: vodozemac.EstablishedSas, *, starter: Side, starter_key: str, accepter: Side, accepter_key: str, id: str
) -> ShortString:
    parts = (
        "MATRIX_KEY_VERIFICATION_SAS",
        *(starter.user_id, starter.device_id, starter_key),
        *(accepter.user_id, accepter.device_id, accepter_key),
        id,
    )
    found = secret.bytes("|".join(parts))
    return ShortString(emoji=tuple(found.emoji_indices), decimals=tuple(found.decimals))


def proof(
    secret: vodozemac.EstablishedSas, keys: Mapping[str, str], *, sender: Side, receiver: Side, id: str
) -> dict[str, Any]:
    """The content of `m.key.verification.mac`. `keys`: key id -> public key."""
    info = _mac_info(sender, receiver, id)
    return {
        "mac": {name: secret.calculate_mac(key, info + name) for name, key in keys.items()},
        "keys": secret.calculate_mac(",".join(sorted(keys)), info + "KEY_IDS"),
    }


def check_proof(
    secret: vodozemac.EstablishedSas,
    content: Mapping[str, Any],
    known: PublicKeys,
    *,
    sender: Side,
    receiver: Side,
    id: str,
) -> str | None:
    """The master key that was proved, if there was one; the device's key must be. Raises MacMismatch."""
    macs, info = content["mac"], _mac_info(sender, receiver, id)
    if not isinstance(macs, Mapping) or not 0 < len(macs) <= MOST_KEYS:
        raise MacMismatch("no keys")
    _check(secret, ",".join(sorted(macs)), info + "KEY_IDS", content["keys"])
    expected = {f"ed25519:{sender.device_id}": known.device}
    expected |= {f"ed25519:{known.master}": known.master} if known.master else {}
    for name, key in expected.items():
        if name in macs:
            _check(secret, key, info + name, macs[name])
    if f"ed25519:{sender.device_id}" not in macs:
        raise MacMismatch("the device's own key is missing")
    return known.master if known.master and f"ed25519:{known.master}" in macs else None


def _check(secret: vodozemac.EstablishedSas, key: str, info: str, mac: Any) -> None:
    try:
        secret.verify_mac(key, info, mac)
    except (ValueError, TypeError) as error:
        raise MacMismatch("a MAC does not fit") from error


def _mac_info(sender: Side, receiver: Side, id: str) -> str:
    parts = (sender.user_id, sender.device_id, receiver.user_id, receiver.device_id, id)
    return "MATRIX_KEY_VERIFICATION_MAC" + "".join(parts)
