"""Keeps the desk's mark, in the database and at the homeserver, and refuses to work when they contradict each other."""

import logging
import secrets

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.catching_up import homeserver_lost_since
from messenger.channels.errors import LeaseLost
from messenger.matrix.desk_mark import Mark, read_mark, verdict, write_mark
from messenger.matrix.http import HomeserverClient
from messenger.storage import desk_life
from messenger.storage.leases import Lease

log = logging.getLogger(__name__)


class DeskElsewhere(LeaseLost):
    """Another copy of this desk's database has been at work, or the homeserver was restored; the text says what to
    do. No lease of one database can tell, but it is lost all the same."""


class DeskMarks:
    """One process's view."""

    def __init__(self, http: HomeserverClient, database: AsyncEngine, lease: Lease, account: str) -> None:
        self._http, self._database, self._lease, self._account = http, database, lease, account
        self._run = secrets.token_hex(8)
        self._activity = (0, 0, 0)

    async def check(self) -> None:
        """At the start, before anything is sent. Raises DeskElsewhere."""
        theirs, _ = await self._compared(run="")
        await self._raise(theirs, await desk_life.activity(self._database))

    async def step(self) -> None:
        """While at work: quick, and quiet when nothing happened. Raises DeskElsewhere, which ends the process, and
        LeaseLost."""
        theirs, ours = await self._compared(run=self._run)
        activity = await desk_life.activity(self._database)
        if activity != self._activity or theirs.number != ours.number:
            await self._raise(theirs, activity)
            self._activity = activity

    async def _compared(self, *, run: str) -> tuple[Mark, Mark]:
        theirs = await read_mark(self._http, self._account)
        ours = Mark(number=await desk_life.mark_of(self._database, self._account), run=run)
        match verdict(ours, theirs):
            case "we_are_older" | "somebody_else":
                raise self._refusal(self._older(theirs.number - ours.number))
            case "homeserver_is_older" if await homeserver_lost_since(self._http, self._database, self._account):
                raise self._refusal(
                    f"the homeserver lacks messages that {self._account} has handled: it was restored from a backup. "
                    "Run `stellwerk recover-desk`: it sends what is missing again"
                )
        return theirs, ours

    def _refusal(self, words: str) -> DeskElsewhere:
        log.critical("desk must not work", extra={"account": self._account, "reason": words})
        return DeskElsewhere(words)

    async def _raise(self, theirs: Mark, activity: tuple[int, int, int]) -> None:
        number = await desk_life.raise_mark(self._database, self._lease, self._account, beyond=theirs.number)
        erasures = max(theirs.erasures, activity[2])
        await write_mark(self._http, self._account, Mark(number=number, run=self._run, erasures=erasures))

    def _older(self, steps: int) -> str:
        return (
            f"a copy of this database has worked as {self._account} meanwhile ({steps} steps ahead of this one): this "
            "one was restored or cloned, and using its device would break the encryption. If the other copy works, "
            "stop this one for good; if this is to be the only one: stop the others and run `stellwerk recover-desk`"
        )
