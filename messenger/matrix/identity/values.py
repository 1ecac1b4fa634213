"""What a desk keeps of its identity, and the exception that stops a desk whose identity needs a person."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from messenger.matrix.crypto.canonical import ub64, unb64

IdentityMode = Literal["created", "restored", "unchanged"]


class IdentityLocked(Exception):
    """The account's identity cannot be used and must not be replaced: the operator decides. The text says what to
    do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The cross-signing identity of one bot account, as far as a running desk needs it. The seed of the master key is
    not here: it lives in secret storage only. That of the user-signing key signs people whom somebody has vouched for;
    nobody but this account sees or believes those signatures."""

    mode: IdentityMode
    user_id: str
    master_key: str  # public, unpadded base64
    self_signing_seed: bytes = field(repr=False)  # signs new devices of this account
    backup_version: str
    backup_public_key: str
    backup_private_key: bytes = field(repr=False)
    user_signing_seed: bytes | None = field(default=None, repr=False)  # None: an earlier version has not kept it
    recovery_key: str | None = field(default=None, repr=False)  # only in mode `created`; show it once

    @property
    def fingerprint(self) -> str:
        """The master key as Element shows it: people compare it in groups of four."""
        return grouped(self.master_key)

    def to_secret(self) -> bytes:
        """For sealed storage. Holds private keys, but not the recovery key."""
        return json.dumps(
            {
                "user_id": self.user_id,
                "master_key": self.master_key,
                "self_signing_seed": ub64(self.self_signing_seed),
                "backup_version": self.backup_version,
                "backup_public_key": self.backup_public_key,
                "backup_private_key": ub64(self.backup_private_key),
                "user_signing_seed": ub64(self.user_signing_seed) if self.user_signing_seed else None,
            }
        ).encode()

    @classmethod
    def from_secret(cls, secret: bytes) -> "Identity":
        """The reverse of `to_secret`, in mode `unchanged`. Raises ValueError for anything else."""
        try:
            return _from_fields(json.loads(secret))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("The stored identity is damaged.") from error


def grouped(key: str) -> str:
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))


def _from_fields(fields: dict[str, Any]) -> Identity:
    return Identity(
        mode="unchanged",
        user_id=fields["user_id"],
        master_key=fields["master_key"],
        self_signing_seed=unb64(fields["self_signing_seed"]),
        backup_version=fields["backup_version"],
        backup_public_key=fields["backup_public_key"],
        backup_private_key=unb64(fields["backup_private_key"]),
        user_signing_seed=unb64(fields["user_signing_seed"]) if fields.get("user_signing_seed") else None,
    )
