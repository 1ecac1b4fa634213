"""The installation's signing key (Ed25519): what the erasure ledger and certificates are signed with. It lies in a file
of its own, so that a restored database cannot bring an older one."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


class BadSigningKey(Exception):
    """The file of the signing key is damaged, or others can read it; the text says what to do."""


class SigningKey:
    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        self._pseudonyms = HKDF(hashes.SHA256(), 32, salt=None, info=b"stellwerk pseudonyms of erased people").derive(
            _raw(private)
        )

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Raises BadSigningKey."""
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.strip())))
        except ValueError:
            raise BadSigningKey("a signing key has 64 hexadecimal digits") from None

    def text(self) -> str:
        """The secret, as its file has it."""
        return _raw(self._private).hex()

    def sign(self, kind: str, body: Mapping[str, Any]) -> str:
        """`kind` keeps what is signed from being taken for anything else."""
        return self._private.sign(_signed(kind, body)).hex()

    def pseudonym(self, subject: str) -> str:
        """The same for the same person; without this key nobody can tell whose it is."""
        mac = HMAC(self._pseudonyms, hashes.SHA256())
        mac.update(subject.encode())
        return mac.finalize().hex()[:40]


def _raw(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def is_signed(public: str, kind: str, body: Mapping[str, Any], signature: str) -> bool:
    """Never raises for anything in a file of strangers."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), _signed(kind, body))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _signed(kind: str, body: Mapping[str, Any]) -> bytes:
    return f"stellwerk {kind}\n".encode() + json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def open_signing_key(file: Path) -> SigningKey:
    """Makes it at first use. Raises BadSigningKey."""
    try:
        return read_signing_key(file)
    except FileNotFoundError:
        keep_signing_key(file, SigningKey(Ed25519PrivateKey.generate()))
        return read_signing_key(file)


def read_signing_key(file: Path) -> SigningKey:
    """Raises BadSigningKey and FileNotFoundError."""
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise BadSigningKey(f"{file} can be read by others: chmod 400 {file}")
    try:
        return SigningKey.parse(file.read_text())
    except ValueError:
        raise BadSigningKey(f"{file} is no text: bring your copy back") from None
    except BadSigningKey:
        raise BadSigningKey(f"{file} must hold 64 hexadecimal digits: bring your copy back") from None


def keep_signing_key(file: Path, key: SigningKey) -> None:
    """Whole or not at all, and the first one stays, whoever else makes one at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o400), "w") as out:
        out.write(key.text() + "\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(unfinished, file)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
