"""The desk's identity: cross-signing, secret storage, recovery key and key backup."""

from messenger.matrix.identity.ensure import ensure_identity
from messenger.matrix.identity.health import Finding, check_identity
from messenger.matrix.identity.key_backup import BackupChanged, KeyBackup
from messenger.matrix.identity.recovery_key import decode_recovery_key, encode_recovery_key, new_recovery_key
from messenger.matrix.identity.values import Identity, IdentityLocked

__all__ = [
    "BackupChanged",
    "Finding",
    "Identity",
    "IdentityLocked",
    "KeyBackup",
    "check_identity",
    "decode_recovery_key",
    "encode_recovery_key",
    "ensure_identity",
    "new_recovery_key",
]
