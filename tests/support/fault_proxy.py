"""A TCP line that fails on request: it stands between the program and its homeserver or its database and knows nothing
of what it carries. Faults are set while it runs.

    latency_s       every piece is that late            bytes_per_s    so slow
    slice_bytes     in pieces of so many bytes          refuses        nobody gets in, who was in is thrown out
    cut_after       so many answers end in the middle   corrupts       so many answers end in a byte that was not sent
    partition()     nothing passes, nothing ends, until heal()
    half_open()     the lines that there are stay dead for ever; new ones work
    reset()         all lines end, by a reset
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 65_536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class Line:
    """One connection, both ways."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_dead: bool = False

    def reset(self) -> None:
        for writer in (self.client, self.server):
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@dataclass
class FaultProxy:
    """`target` is a host and a port, or a unix socket."""

    target: tuple[str, int] | Path
    latency_s: float = 0
    bytes_per_s: float = 0
    slice_bytes: int = 0
    refuses: bool = False
    cut_after: int = 0
    corrupts: int = 0
    hits: int = 0
    lines: set[Line] = field(default_factory=set)
    port: int = 0
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, listen: Path | None = None) -> None:
        self._open.set()
        if listen is not None:
            self._server = await asyncio.start_unix_server(self._accept, path=str(listen))
            listen.chmod(0o777)
            return
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.reset()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def partition(self) -> None:
        self._open.clear()

    def half_open(self) -> int:
        """Returns how many lines died."""
        for line in self.lines:
            line.is_dead = True
        return len(self.lines)

    def reset(self) -> None:
        for line in [*self.lines]:
            line.reset()

    def refuse(self) -> None:
        self.refuses = True
        self.reset()

    def heal(self) -> None:
        self.latency_s = self.bytes_per_s = self.slice_bytes = self.cut_after = self.corrupts = 0
        self.refuses = False
        self._open.set()

    @asynccontextmanager
    async def broken(self, how: str = "partition") -> AsyncIterator[None]:
        {"partition": self.partition, "refuse": self.refuse}[how]()
        try:
            yield
        finally:
            self.heal()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            return writer.transport.abort()
        await self._open.wait()
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            return writer.transport.abort()
        line = Line(writer, far_writer)
        self.lines.add(line)
        ways = [
            self._pump(line, reader, far_writer, is_answer=False),
            self._pump(line, far_reader, writer, is_answer=True),
        ]
        tasks = [asyncio.create_task(way) for way in ways]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)
        self.lines.discard(line)
        for end in (writer, far_writer):
            end.close()

    async def _connect(self) -> Streams:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(str(self.target))
        return await asyncio.open_connection(*self.target)

    async def _pump(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self._piece()):
                await self._pass(line, data, writer, is_answer)

    def _piece(self) -> int:
        """A slow line says a little, often."""
        return self.slice_bytes or (max(1, int(self.bytes_per_s / 10)) if self.bytes_per_s else PIECE)

    async def _pass(self, line: Line, data: bytes, writer: asyncio.StreamWriter, is_answer: bool) -> None:
        if line.is_dead:
            await asyncio.Event().wait()
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if self.bytes_per_s:
            await asyncio.sleep(len(data) / self.bytes_per_s)
        await self._open.wait()
        if line.is_dead:
            await asyncio.Event().wait()
        if is_answer and self.cut_after > 0 and b"{" in data:
            self.cut_after, self.hits = self.cut_after - 1, self.hits + 1
            writer.write(data[: data.rindex(b"{") + 1])
            await writer.drain()
            raise ConnectionResetError
        if is_answer and self.corrupts > 0 and b"}" in data:
            self.corrupts, self.hits = self.corrupts - 1, self.hits + 1
            end = data.rindex(b"}")
            data = data[:end] + b"\0" + data[end + 1 :]
        writer.write(data)
        await writer.drain()
