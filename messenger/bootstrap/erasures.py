"""Erasures put together: what their steps use, and what is done again before a restored database serves."""

import asyncio
import logging
from uuid import UUID

from messenger.app.erasure import needs_homeserver, take_step
from messenger.app.erasure_ports import BackupLife, Erasure, ErasureHands, ErasureRooms, NotNow
from messenger.bootstrap.database import Storage
from messenger.config import Desk, Settings
from messenger.observability.time import utc_now
from messenger.storage import erasures
from messenger.storage.erasure_ledger import Entry, ErasureLedger
from messenger.storage.keyring import Keyring
from messenger.storage.rights import Rights
from messenger.storage.signing import SigningKey, open_signing_key

log = logging.getLogger(__name__)


class LedgerIsShort(Exception):
    """The database knows of more erasures than the ledger; the text says what to bring back."""


def signing_key(settings: Settings) -> SigningKey:
    return open_signing_key(settings.signing_key_file())


def ledger(settings: Settings) -> ErasureLedger:
    return ErasureLedger(
        settings.erasure_ledger_file(), signing_key(settings), copy=settings.privacy.erasure_ledger_copy_file
    )


def erasure_hands(storage: Storage, settings: Settings, desk: Desk, *, rooms: ErasureRooms | None) -> ErasureHands:
    key = signing_key(settings)
    return ErasureHands(
        rows=erasures.SqlErasureRows(storage.engine, storage.keys, namespace=storage.namespace, desk=desk.user_id),
        rooms=rooms,
        keyring=Keyring(storage.keys),
        ledger=ledger(settings),
        signer=key,
        backups=BackupLife(main_days=settings.privacy.backup_days, key_days=settings.privacy.key_backup_days),
        installation=settings.server.organisation,
    )


async def reapply_erasures(storage: Storage, settings: Settings) -> int:
    """Erases again whom the ledger names and this database still shows: it was restored. Returns how many. Raises
    LedgerDamaged and LedgerIsShort."""
    entries = await asyncio.to_thread(ledger(settings).entries)
    known = await erasures.ledger_positions(storage.engine)
    if max(known.values(), default=0) > len(entries):
        raise LedgerIsShort(
            f"{settings.erasure_ledger_file()} ends after {len(entries)}, and the database has applied erasure "
            f"{max(known.values())}: bring back your copy of this file before anything is served"
        )
    missing = {entry.subject: entry for entry in entries if entry.subject not in known}
    if missing:
        log.warning("erasures are applied again before anything is served", extra={"count": len(missing)})
        await _erase_again(storage, settings, missing)
    return len(missing)


async def _erase_again(storage: Storage, settings: Settings, missing: dict[str, Entry]) -> None:
    key, hands = signing_key(settings), erasure_hands(storage, settings, settings.desk(), rooms=None)
    found: dict[str, UUID] = {}
    async for person in Rights(storage.engine, storage.keys).everybody():
        if (subject := key.pseudonym(str(person))) in missing:
            found[subject] = person
    for subject, entry in missing.items():
        id = await erasures.order(
            storage.engine,
            scope="person",
            ordered_by="ledger",
            subject=subject,
            contact=found.get(subject),
            ledger_position=entry.position,
        )
        await at_home(storage, hands, id)


async def at_home(storage: Storage, hands: ErasureHands, id: UUID) -> Erasure:
    """Every step that needs no homeserver. What is being sent ends, or its claim does."""
    erasure = await erasures.get(storage.engine, id)
    while not needs_homeserver(erasure):
        try:
            if await take_step(hands, erasure, utc_now()) is None:
                break
        except NotNow as wait:
            await asyncio.sleep(wait.seconds)
        erasure = await erasures.get(storage.engine, id)
    return erasure
