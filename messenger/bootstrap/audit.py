"""The witness of the audit chain: writes signed checkpoints to their second place, and sees at once when the chain is
not what it was."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.database import Storage, open_storage
from messenger.config import Settings
from messenger.observability import metrics
from messenger.observability.failpoints import fp
from messenger.observability.time import utc_now
from messenger.storage.audit_checkpoints import (
    Checkpoint,
    append_line,
    last_line,
    lines_of,
    public_text,
    read_lines,
    signed_line,
    signing_key,
)
from messenger.storage.audit_verify import Verdict, verify
from messenger.storage.models.audit import audit, audit_head

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
Post = Callable[[Checkpoint, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`signed_by`: the public key (Ed25519, base64) with which checkpoints must be signed."""

    verdict: Verdict
    signed_by: str


class Witness:
    """`post` brings a checkpoint's line to a further place; what fails there is tried again with the next one."""

    def __init__(self, storage: Storage, settings: Settings, *, post: Post | None = None) -> None:
        self._engine, self._keys, self._post = storage.engine, storage.keys, post
        self._file = settings.checkpoint_file()
        self._every = timedelta(minutes=settings.audit.checkpoint_minutes)
        self._seen: tuple[int, bytes] | None = None
        self._written = -1
        self._next_at: float | None = None  # by the clock that goes on evenly
        self._is_broken = False
        metrics.AUDIT_CHAIN.of().set(1)

    async def step(self) -> None:
        """Looks at the chain's end; now and then writes where it stands."""
        if self._next_at is None:
            await self.remember()
        await self.look()
        now = time.monotonic()
        if self._next_at is None or now >= self._next_at:
            await self.write()
            self._next_at = now + self._every.total_seconds()
        await asyncio.sleep(LOOK_EVERY_S)

    async def write(self) -> None:
        """A checkpoint, if anything was added since the last one."""
        seq, mac = await _end(self._engine)
        if seq == self._written or (seq == 0 and self._written < 0):
            return
        key = await signing_key(self._keys)
        after = await asyncio.to_thread(last_line, self._file)
        checkpoint = Checkpoint(seq=seq, mac=mac, at=utc_now(), after=after)
        line = signed_line(key, checkpoint)
        await asyncio.to_thread(append_line, self._file, line)
        fp("checkpoint_written")
        self._written = seq
        if self._post is not None:
            await self._post(checkpoint, line)

    async def remember(self) -> None:
        """What the newest checkpoint says: so a change while nobody was watching is seen at the start."""
        lines = await asyncio.to_thread(lines_of, self._file)
        found = [line.checkpoint for line in read_lines(await signing_key(self._keys), lines) if line.checkpoint]
        self._seen = (found[-1].seq, found[-1].mac) if found else None

    async def look(self) -> None:
        """The row that was last must still be there and must not have changed: else the tail was cut, or made anew,
        since the newest checkpoint."""
        seen, self._seen = self._seen, await _end(self._engine)
        if seen is None or seen[0] == 0:
            return
        async with self._engine.begin() as connection:
            mac = await connection.scalar(sa.select(audit.c.mac).where(audit.c.seq == seen[0]))
        if mac != seen[1] or self._seen[0] < seen[0]:
            self._seen = seen  # what was there stays the measure
            if not self._is_broken:
                log.error("the audit log was changed from outside: stellwerk audit verify", extra={"row": seen[0]})
            self._is_broken = True
            metrics.AUDIT_CHAIN.of().set(0)


async def _end(engine: AsyncEngine) -> tuple[int, bytes]:
    async with engine.begin() as connection:
        row = (await connection.execute(sa.select(audit_head.c.seq, audit_head.c.mac))).one()
    return row.seq, row.mac


async def check_audit(settings: Settings, checkpoints: Path | None = None) -> Checked:
    """The whole chain against the checkpoints of the file, or of another copy of it."""
    async with open_storage(settings) as storage:
        key = await signing_key(storage.keys)
        lines = read_lines(key, lines_of(checkpoints or settings.checkpoint_file()))
        verdict = await verify(storage.engine, storage.keys, lines)
    return Checked(verdict=verdict, signed_by=public_text(key))
