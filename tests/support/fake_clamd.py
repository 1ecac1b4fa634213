"""A scanner that speaks clamd's protocol and can misbehave in every way that a test asks for."""

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from tests.support.file_makers import eicar

Mood = Literal["well", "silent", "deaf", "cut", "half", "garbage", "error", "small", "binary", "endless", "heuristic"]
VIRUS = "Test.EICAR"
_SAYS: dict[str, bytes] = {
    "garbage": b"stream: OK OK\0",
    "half": b"stream: O",
    "error": b"stream: Can't allocate memory ERROR\0",
    "binary": b"\xff\xfe\x00\0",
    "endless": b"stream: " + b"A" * 5000,
    "heuristic": b"stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND\0",
}


class FakeClamd:
    """`mood` may change at any time. `scans` are the sizes of the files that came whole."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.scans: list[int] = []
        self.calls = 0
        self.released = asyncio.Event()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.calls += 1
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self.mood == "deaf":
            return await self._wait_for_ever()
        command = await reader.readuntil(b"\0")
        if command != b"zINSTREAM\0" and self.mood == "well":
            writer.write(b"PONG\0" if command == b"zPING\0" else b"ClamAV 0.0/fake\0")
        elif command != b"zINSTREAM\0" and self.mood in ("silent", "cut"):
            await self._wait_for_ever() if self.mood == "silent" else None
        elif command != b"zINSTREAM\0":
            writer.write(b"what?\0")
        elif self.mood == "small":
            await reader.readexactly(1000)
            writer.write(b"INSTREAM size limit exceeded. ERROR\0")
        else:
            data = await _streamed(reader)
            self.scans.append(len(data))
            await self._judge(data, writer)
        await writer.drain()
        return None

    async def _judge(self, data: bytes, writer: StreamWriter) -> None:
        if self.mood == "silent":
            await self._wait_for_ever()
        elif self.mood == "well":
            writer.write(f"stream: {VIRUS} FOUND\0".encode() if eicar() in data else b"stream: OK\0")
        else:
            writer.write(_SAYS.get(self.mood, b""))

    async def _wait_for_ever(self) -> None:
        await self.released.wait()


async def _streamed(reader: StreamReader) -> bytes:
    data = b""
    while size := struct.unpack(">I", await reader.readexactly(4))[0]:
        data += await reader.readexactly(size)
    return data


@asynccontextmanager
async def fake_clamd(path: str) -> AsyncIterator[FakeClamd]:
    """Listens at this socket."""
    clamd = FakeClamd()
    server = await asyncio.start_unix_server(clamd.serve, path, limit=1 << 20)
    yield clamd
    clamd.released.set()
    server.close()
    await server.wait_closed()
