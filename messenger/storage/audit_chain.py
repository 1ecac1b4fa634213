"""The arithmetic of the audit chain: `mac(i) = HMAC-SHA256(key, mac(i-1) + canonical_json(row(i)))`. Pure."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from messenger.storage.encryption import Key

BEGINNING = bytes(32)

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def details_text(details: Mapping[str, str]) -> str:
    return _encode(dict(details))


def canonical(row: Mapping[str, Any]) -> bytes:
    """The row as an object in the canonical form of RFC 8785. Its values are codes, which need no escaping, so it is
    put together by hand: six times as fast as an encoder, which matters for long chains. A value that was tampered
    with may hold a quotation mark; then there are more of them than before, and the mac does not fit. Sealed words are
    represented by their digest, so that they can be erased by their key."""
    at: datetime = row["at"]
    when = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")
    words: bytes | None = row["enc_words"]
    sealed = hashlib.sha256(words).hexdigest() if words else ""
    return (
        f'{{"action":"{row["action"]}","actor":"{row["actor"]}","at":"{when}","details":{row["details"]},'
        f'"key_no":{row["key_no"]},"object":"{row["object"]}","outcome":"{row["outcome"]}",'
        f'"purpose":"{row["purpose"]}","reason":"{row["reason"]}","seq":{row["seq"]},"words":"{sealed}"}}'
    ).encode()


def link(secret: bytes, before: bytes, row: Mapping[str, Any]) -> bytes:
    return hmac.digest(secret, before + canonical(row), "sha256")


def chain_secret(key: Key) -> bytes:
    """The data key itself seals nothing; its derivative is what the chain is made with."""
    return hmac.digest(key.secret, b"stellwerk audit chain", "sha256")
