"""The desk's side of the inspection: one process at most, started at the first file, given one file after the other.
What takes too long or too much ends the process and counts as refused; the next file gets a new one."""

import asyncio
import contextlib
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Any

from messenger.app.attachments import Picture
from messenger.app.inspection.examine import Examined
from messenger.domain.attachment import UNKNOWN

log = logging.getLogger(__name__)

SECONDS = 120.0  # by the clock; the process itself gives up after 15 s of work
MEGABYTES = 480  # of address space: what is resident is less
_PER_BYTE = 6  # copies of a file that its inspection may make


class Inspector:
    def __init__(self, *, max_bytes: int, seconds: float = SECONDS, command: Sequence[str] = ()) -> None:
        megabytes = max(MEGABYTES, max_bytes * _PER_BYTE // 1_000_000)
        module = "messenger.app.inspection.child"
        self._command = command or (sys.executable, "-I", "-B", "-m", module, str(megabytes))
        self._seconds = seconds
        self._child: Process | None = None
        self._turn = asyncio.Lock()

    async def examine(self, data: bytes, name: str) -> Examined:
        """Never raises for what is in the file."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._ask(data, name)
            except (TimeoutError, OSError, EOFError, ValueError, LookupError, TypeError) as error:
                log.warning("a file could not be inspected", extra={"error": type(error).__name__})
                await self._end()
                return Examined(mime=UNKNOWN, refusal="bomb")
            except asyncio.CancelledError:
                await self._end()  # its answer would be read as that to the next file
                raise

    async def close(self) -> None:
        async with self._turn:
            await self._end()

    async def _ask(self, data: bytes, name: str) -> Examined:
        child = await self._started()
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(b"%d %s\n" % (len(data), name.encode("utf-8", "replace").hex().encode()))
        child.stdin.write(data)
        await child.stdin.drain()
        answer = await child.stdout.readline()
        if not answer:
            raise EOFError
        return _read(json.loads(answer))

    async def _started(self) -> Process:
        if self._child is None or self._child.returncode is not None:
            # No secret of the desk's environment goes along, and no Ctrl-C of its terminal.
            self._child = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, start_new_session=True, env={}
            )
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def _read(answer: dict[str, Any]) -> Examined:
    size = Picture(*answer["size"]) if answer["size"] else None
    return Examined(mime=answer["mime"], size=size, marks=frozenset(answer["marks"]), refusal=answer["refusal"] or None)
