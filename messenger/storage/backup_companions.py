"""What a set holds beside a database: the erasure ledger, and the key that signs it, sealed under the root key.

The ledger has a life of its own. A restore takes the longest one it can find, in the installation's own place, in the
second one or in a set, and never a shorter one: who was erased after a backup must not come back with it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from messenger.storage.backup_set import BadSet, FileOfSet, described
from messenger.storage.encryption import CannotOpen, Key
from messenger.storage.erasure_ledger import ErasureLedger, LedgerDamaged
from messenger.storage.root_keys import RootKeys
from messenger.storage.signing import SigningKey

LEDGER, SIGNING_KEY = "erasure-ledger.jsonl", "signing.key.sealed"
_WHERE = "backup|signing key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    key: SigningKey
    ledger: Sequence[bytes]


def pack(folder: Path, root: Key, key: SigningKey, ledger: ErasureLedger) -> Sequence[FileOfSet]:
    """Call it when the dump is made, so that no erasure is missing which the dump knows of. Raises LedgerDamaged."""
    sealed = folder / SIGNING_KEY
    sealed.write_bytes(root.seal(key.text().encode(), where=_WHERE))
    return [described(sealed), described(refresh(folder, ledger))]


def refresh(folder: Path, ledger: ErasureLedger) -> Path:
    """The ledger as it is now; whole at any moment."""
    draft = folder / f".{LEDGER}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.writelines(line + b"\n" for line in ledger.lines())
        out.flush()
        os.fsync(out.fileno())
    return draft.rename(folder / LEDGER)


def unpack(folder: Path, roots: RootKeys) -> Companions | None:
    """None: a program wrote the set that left them out. Raises BadSet and LedgerDamaged."""
    if not (folder / SIGNING_KEY).exists():
        return None
    try:
        text = roots.open((folder / SIGNING_KEY).read_bytes(), where=_WHERE).decode()
    except (CannotOpen, OSError) as error:
        raise BadSet(f"{folder / SIGNING_KEY} does not open: the set was changed, or is not ours") from error
    key = SigningKey.parse(text)
    return Companions(key=key, ledger=ErasureLedger(folder / LEDGER, key).lines())


def longest(ledgers: Mapping[str, Sequence[bytes]]) -> Sequence[bytes]:
    """One of them is the others' continuation. Raises LedgerDamaged if two contradict each other."""
    (first, found), *others = sorted(ledgers.items(), key=lambda each: -len(each[1]))
    for name, shorter in others:
        if list(found[: len(shorter)]) != list(shorter):
            raise LedgerDamaged(
                f"the erasure ledgers {first} and {name} contradict each other: one of them is not this "
                "installation's. Move the wrong one away"
            )
    return found
