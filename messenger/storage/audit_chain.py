"""The arithmetic of the audit chain: `mac(i) = HMAC-SHA256(key, mac(i-1) + canonical_json(row(i)))`. Pure."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from messenger.storage.encryption import Key

BEGINNING = bytes(32)

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def details_text(details: Mapping[str, str]) -> str:
    return _encode(dict(details))


COLUMNS = (
    "action", "actor", "at", "details", "key_no", "object", "outcome", "purpose", "reason", "seq", "enc_words"
)  # fmt: skip


def canonical(values: Sequence[Any]) -> bytes:
    """A row as an object in the canonical form of RFC 8785; `values` in the order of COLUMNS. They are codes, which
    need no escaping, so it is put together by hand: six times as fast as an encoder, which matters for long chains. A
    value that was tampered with may hold a quotation mark; then there are more of them than before, and the mac does
    not fit. Sealed words are represented by their digest, so that they can be erased by their key."""
    action, actor, at, details, key_no, object, outcome, purpose, reason, seq, words = values
    when = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")
    sealed = hashlib.sha256(words).hexdigest() if words else ""
    return (
        f'{{"action":"{action}","actor":"{actor}","at":"{when}","details":{details},'
        f'"key_no":{key_no},"object":"{object}","outcome":"{outcome}",'
        f'"purpose":"{purpose}","reason":"{reason}","seq":{seq},"words":"{sealed}"}}'
    ).encode()


def link(secret: bytes, before: bytes, values: Sequence[Any]) -> bytes:
    """`values` in the order of COLUMNS."""
    return hmac.digest(secret, before + canonical(values), "sha256")


def chain_secret(key: Key) -> bytes:
    """The data key itself seals nothing; its derivative is what the chain is made with."""
    return hmac.digest(key.secret, b"stellwerk audit chain", "sha256")
