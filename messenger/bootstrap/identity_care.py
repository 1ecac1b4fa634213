"""What a desk does for its identity while it serves: room keys go into the server-side backup, what the homeserver
shows of the identity is looked at, people whom somebody has verified are signed."""

import asyncio
import contextlib
import logging
from dataclasses import replace

from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.http import HomeserverClient, MatrixError, Unreachable
from messenger.matrix.identity.cross_signing import SigningKey, sign_person
from messenger.matrix.identity.health import check_identity
from messenger.matrix.identity.key_backup import BackupChanged, KeyBackup
from messenger.matrix.identity.values import Identity

log = logging.getLogger(__name__)

BACKUP_EVERY_S = 1.0
CHECK_EVERY_S = 300.0


class IdentityCare:
    """Of one desk, whose device is signed by `identity`."""

    def __init__(self, http: HomeserverClient, engine: NioEngine, identity: Identity, account: str) -> None:
        self._http, self._engine, self._identity, self._account = http, engine, identity, account
        self.backup = KeyBackup(http, engine, identity)

    async def save_new_keys(self) -> None:
        """Before the next /sync makes the homeserver forget what it has just handed over: whoever loses the database
        must find each room key in one of the two places. What fails here the backup's own step repeats, and tells."""
        if self._engine.takes_note_of_new_keys():
            with contextlib.suppress(MatrixError, Unreachable, BackupChanged):
                await self.backup.upload_pending()

    async def back_up(self) -> None:
        """A device that has just been signed anew first takes back what earlier ones have left."""
        if self._identity.mode == "restored":
            await self.backup.restore()
            self._identity = replace(self._identity, mode="unchanged")
        if not await self.backup.upload_pending():
            await asyncio.sleep(BACKUP_EVERY_S)

    async def check(self) -> None:
        for finding in await check_identity(self._http, self._engine, self._identity):
            if finding.level != "ok":
                log.warning("identity", extra={"account": self._account, "code": finding.code, "state": finding.level})
        await asyncio.sleep(CHECK_EVERY_S)

    async def vouch(self, person: str, master_key: str) -> None:
        """Best effort: what counts while this database lives is in it."""
        seed = self._identity.user_signing_seed
        signed = seed is not None and await sign_person(self._http, self._account, SigningKey(seed), person, master_key)
        if not signed:
            log.warning("a person is trusted, but not signed for later devices", extra={"account": self._account})
