"""What a desk does for its identity while it serves: room keys go into the server-side backup, what the homeserver
shows of the identity is looked at, people whom somebody has verified are signed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.http import HomeserverClient, MatrixError, Unreachable
from messenger.matrix.identity.cross_signing import SigningKey, sign_person
from messenger.matrix.identity.health import FindingCode, check_identity
from messenger.matrix.identity.key_backup import BackupChanged, KeyBackup
from messenger.matrix.identity.values import Identity
from messenger.observability import metrics

log = logging.getLogger(__name__)

BACKUP_EVERY_S = 1.0
CHECK_EVERY_S, CHECK_AGAIN_S = 300.0, 5.0  # at rest; after a sign that something is wrong
# Somebody else has a hand in it: people must know, not only the log.
_TOLD: frozenset[FindingCode] = frozenset(
    {"master_key", "self_signing_key", "device_signed", "foreign_devices", "key_backup"}
)


class IdentityCare:
    """Of one desk, whose device is signed by `identity`. `tell` brings what is wrong with it to people."""

    def __init__(
        self,
        http: HomeserverClient,
        engine: NioEngine,
        identity: Identity,
        account: str,
        *,
        tell: Callable[[Sequence[FindingCode]], Awaitable[None]],
    ) -> None:
        self._http, self._engine, self._identity, self._account = http, engine, identity, account
        self._tell, self._is_doubtful = tell, asyncio.Event()
        self.backup = KeyBackup(http, engine, identity)
        self._quiet_until = 0.0

    async def save_new_keys(self) -> None:
        """Before the next /sync makes the homeserver forget what it has just handed over: whoever loses the database
        must find each room key in one of the two places. What fails here the backup's own step repeats, and tells."""
        if self._engine.takes_note_of_new_keys() and not self._quiet_s:
            with contextlib.suppress(MatrixError, Unreachable, BackupChanged):
                await self._upload()

    async def back_up(self) -> None:
        """A device that has just been signed anew first takes back what earlier ones have left."""
        if self._identity.mode == "restored":
            await self.backup.restore()
            self._identity = replace(self._identity, mode="unchanged")
        await asyncio.sleep(self._quiet_s)
        try:
            count = await self._upload()
        except BackupChanged:
            self.look_again()
            raise
        if not count:
            await asyncio.sleep(BACKUP_EVERY_S)

    async def _upload(self) -> int:
        """A homeserver that asks for a pause gets it from all who want to upload."""
        try:
            return await self.backup.upload_pending()
        except MatrixError as error:
            if error.is_throttled:
                self._quiet_until = time.monotonic() + error.pause.total_seconds()
            raise

    @property
    def _quiet_s(self) -> float:
        return max(0.0, self._quiet_until - time.monotonic())

    def look_again(self) -> None:
        """The homeserver says that our own keys have changed, or the backup is not ours any more."""
        self._is_doubtful.set()

    async def check(self) -> None:
        self._is_doubtful.clear()
        found = await check_identity(self._http, self._engine, self._identity)
        for finding in found:
            metrics.IDENTITY.of(code=finding.code).set(finding.level == "ok")
        wrong = [each for each in found if each.level != "ok"]
        for finding in wrong:
            log.warning("identity", extra={"account": self._account, "code": finding.code, "state": finding.level})
        if told := [finding.code for finding in wrong if finding.code in _TOLD]:
            await self._tell(told)
        await asyncio.sleep(CHECK_AGAIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_EVERY_S - CHECK_AGAIN_S):
                await self._is_doubtful.wait()

    async def vouch(self, person: str, master_key: str) -> None:
        """Best effort: what counts while this database lives is in it."""
        seed = self._identity.user_signing_seed
        signed = seed is not None and await sign_person(self._http, self._account, SigningKey(seed), person, master_key)
        if not signed:
            log.warning("a person is trusted, but not signed for later devices", extra={"account": self._account})
