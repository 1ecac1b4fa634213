"""Encryption at rest: AES-256-GCM records under data keys, data keys wrapped by subject keys, those by the root key.

A record is `version(1) | key id(4) | nonce(12) | ciphertext | tag(16)`, 33 bytes more than its text. Its associated
data are its header and its `where`, the place it belongs to (`table|column|row`): a record that was moved, copied or
changed does not open. One key seals at most 2^32 records (NIST SP 800-38D 8.3, random 96-bit nonces)."""

import hashlib
import os
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from messenger.app.ports import BodyErased
from messenger.config.secret_files import wrong_with

VERSION = 1
KEY_BYTES = 32
_HEADER = struct.Struct(">BI")
_NONCE_BYTES = 12
LEAST_DIFFERENT = 18  # of 32 random bytes about 30 are different
_WORDS = (
    "",
    "default",
    "DEFAULT_KEY",
    "changeme",
    "password",
    "secret",
    "root",
    "root key",
    "stellwerk",
    "test",
    "key",
)
_KNOWN = frozenset(hashlib.sha256(word.encode()).digest() for word in _WORDS)


class CannotOpen(Exception):
    """A sealed record does not open: it was changed or moved, or it was sealed under another key."""


class KeyMissing(CannotOpen):
    """The key that a record names is not there: the key database is older than the database beside it, or another
    one's."""


class KeyDestroyed(CannotOpen, BodyErased):
    """The record belonged to a person whose key was destroyed. It never opens again, for anybody."""


class BadRootKey(Exception):
    """The root key file is missing, too short, trivial, or readable by others."""


@dataclass(frozen=True, slots=True)
class Key:
    """A data key, a subject key or the root key. `kid` names it in every record that it sealed."""

    kid: int
    secret: bytes

    def seal(self, text: bytes, *, where: str) -> bytes:
        header, nonce = _HEADER.pack(VERSION, self.kid), os.urandom(_NONCE_BYTES)
        return header + nonce + AESGCM(self.secret).encrypt(nonce, text, header + where.encode())

    def open(self, record: bytes, *, where: str) -> bytes:
        header, nonce = record[: _HEADER.size], record[_HEADER.size : _HEADER.size + _NONCE_BYTES]
        if kid_of(record) != self.kid:
            raise CannotOpen(f"sealed under key {kid_of(record)}, not {self.kid}")
        try:
            return AESGCM(self.secret).decrypt(nonce, record[_HEADER.size + _NONCE_BYTES :], header + where.encode())
        except InvalidTag:
            raise CannotOpen(f"record at {where.split('|')[0]} was changed or moved") from None


def kid_of(record: bytes) -> int:
    if len(record) < _HEADER.size + _NONCE_BYTES + 16 or record[0] != VERSION:
        raise CannotOpen("not a sealed record")
    kid: int = _HEADER.unpack_from(record)[1]
    return kid


def new_secret() -> bytes:
    return os.urandom(KEY_BYTES)


def root_key(secret: bytes) -> Key:
    """The root key's id is derived from it, so that a wrapped key always names its wrapping key."""
    if len(secret) != KEY_BYTES or not looks_random(secret):
        raise BadRootKey("the root key must be 32 random bytes: `stellwerk init` makes one")
    return Key(int.from_bytes(hashlib.sha256(b"stellwerk root key id" + secret).digest()[:4], "big"), secret)


def looks_random(secret: bytes) -> bool:
    """False for what people and examples put in place of a key: few different bytes, a count, typed text, a digest of a
    word. Of 32 random bytes one in 10^11 is refused by mistake."""
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    is_typed = all(0x20 <= byte < 0x7F for byte in secret)
    return (
        len(set(secret)) >= LEAST_DIFFERENT and len(steps) >= LEAST_DIFFERENT and not is_typed and secret not in _KNOWN
    )


def read_root_key(file: Path) -> Key:
    """Raises BadRootKey, in words for the operator."""
    if wrong := wrong_with(file):
        raise BadRootKey(wrong)
    try:
        text = file.read_text().strip()
    except OSError as error:
        raise BadRootKey(
            f"cannot read the root key file {file}: {error.strerror}. Bring your copy back; a new installation gets "
            "one from `stellwerk init`"
        ) from None
    except UnicodeDecodeError:
        text = ""
    try:
        return root_key(bytes.fromhex(text))
    except ValueError:
        raise BadRootKey(f"{file} must hold 64 hexadecimal digits") from None


def write_root_key(file: Path) -> None:
    """Makes a new root key. Never overwrites one: without the old key, all that it wrapped is lost."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w") as out:
        out.write(new_secret().hex() + "\n")
