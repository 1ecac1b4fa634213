"""The erasure ledger and the signing key on their way into a set, and back."""

from collections.abc import Sequence
from pathlib import Path

from messenger.bootstrap.erasures import ledger, signing_key
from messenger.config import Settings
from messenger.storage.backup_companions import Companions, longest, pack, unpack
from messenger.storage.backup_set import BadSet, FileOfSet
from messenger.storage.encryption import Key
from messenger.storage.erasure_ledger import ErasureLedger
from messenger.storage.root_keys import RootKeys
from messenger.storage.signing import SigningKey, keep_signing_key, read_signing_key


def pack_ledger(settings: Settings, folder: Path, root: Key) -> Sequence[FileOfSet]:
    """Raises LedgerDamaged and BadSigningKey."""
    return pack(folder, root, signing_key(settings), ledger(settings))


def ledger_after(settings: Settings, folders: Sequence[Path]) -> tuple[SigningKey, Sequence[bytes]] | None:
    """What the installation has after a restore from these sets. None: there is no ledger anywhere. Touches nothing.
    Raises BadSet, LedgerDamaged, BadSigningKey and BadRootKey."""
    roots = RootKeys.read(settings.security.root_key_file)
    found = {str(folder): each for folder in folders if (each := unpack(folder, roots))}
    key = _only_key(settings, found)
    if key is None:
        return None
    places = (settings.erasure_ledger_file(), settings.privacy.erasure_ledger_copy_file)
    ledgers = {str(place): ErasureLedger(place, key).lines() for place in places if place is not None}
    return key, longest(ledgers | {name: each.ledger for name, each in found.items()})


def bring_ledger_back(settings: Settings, after: tuple[SigningKey, Sequence[bytes]] | None) -> int:
    """Before a database is there which needs it. Returns how many entries the ledger has."""
    if after is None:
        return 0
    key, lines = after
    keep_signing_key(settings.signing_key_file(), key)
    ledger(settings).take(lines)
    return len(lines)


def _only_key(settings: Settings, found: dict[str, Companions]) -> SigningKey | None:
    file = settings.signing_key_file()
    own = read_signing_key(file) if file.exists() else None
    for name, each in found.items():
        if own is not None and own.public != each.key.public:
            raise BadSet(
                f"{file} is not the signing key of {name}: certificates and the erasure ledger were signed with "
                "another. Move that file away and restore again"
            )
        own = each.key
    return own
