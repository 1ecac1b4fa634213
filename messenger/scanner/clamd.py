"""ClamAV's daemon over a socket: one connection and one INSTREAM command for each file (clamd(8), "COMMANDS").

Whatever is not a plain OK is none: a connection that breaks, an answer that is cut or makes no sense, an answer that
does not come. Then the scanner counts as away, files wait, and it is left in peace for a while: what comes meanwhile
need not wait for the same silence."""

import asyncio
import contextlib
import logging
import re
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

from messenger.app.outside_ports import ScannerAway
from messenger.channels.errors import Rejected

log = logging.getLogger(__name__)

CONNECT_S = 5.0
SCAN_S = 120.0  # a large archive takes clamd seconds, a busy clamd takes minutes
PEACE_S = 15.0
_CHUNK = 262_144
_ANSWER = 1000
_FOUND = re.compile(r"stream: (?P<name>[^\r\n]{1,200}) FOUND")
_TOO_LARGE = "INSTREAM size limit exceeded"


class Unscannable(Rejected):
    """The scanner will never take this file."""

    def __init__(self) -> None:
        super().__init__("unchecked", raw_code="size limit of clamd")


class Clamd:
    """`address`: the path of its socket, or host and port (`127.0.0.1:3310`)."""

    is_on = True

    def __init__(self, address: str, *, scan_s: float = SCAN_S, peace_s: float = PEACE_S) -> None:
        self._address, self._scan_s, self._peace_s = address, scan_s, peace_s
        self._away_until: float | None = None

    @property
    def is_away(self) -> bool:
        """Has the last try failed?"""
        return self._away_until is not None

    async def scan(self, data: bytes, *, patience_s: float | None = None) -> str:
        """As the port `Scanner`."""
        if self._away_until is not None and time.monotonic() < self._away_until:
            raise ScannerAway
        answer = await self._asked(b"zINSTREAM\0", data, patience_s)
        if _TOO_LARGE in answer:
            raise Unscannable
        if answer == "stream: OK":
            return ""
        if found := _FOUND.fullmatch(answer):
            return found["name"]
        raise self._failed("garbage")

    async def version(self) -> str:
        """Program and date of its signatures, as clamd tells them. Raises ScannerAway."""
        return await self._asked(b"zVERSION\0", b"", CONNECT_S)

    async def is_back(self) -> bool:
        """Asks it, whatever happened before."""
        try:
            if await self._asked(b"zPING\0", b"", CONNECT_S) != "PONG":
                raise self._failed("garbage")
        except ScannerAway:
            return False
        return True

    async def _asked(self, command: bytes, data: bytes, patience_s: float | None) -> str:
        """One question, one answer. Raises ScannerAway. Whoever has less patience than the scanner is given learns
        nothing about it: it may just be busy."""
        try:
            async with asyncio.timeout(patience_s), asyncio.timeout(self._scan_s):
                answer = await self._over_the_line(command, data)
        except TimeoutError:
            if patience_s is not None and patience_s < self._scan_s:
                raise ScannerAway("scanner busy") from None
            raise self._failed("silence") from None
        except (OSError, EOFError, ValueError) as error:
            raise self._failed(type(error).__name__) from error
        if not answer:
            raise self._failed("cut")
        if self._away_until is not None:
            log.info("the virus scanner answers again")
        self._away_until = None
        return answer

    async def _over_the_line(self, command: bytes, data: bytes) -> str:
        loop = asyncio.get_running_loop()
        with contextlib.closing(await self._connected(loop)) as line:
            with contextlib.suppress(ConnectionError):  # it may have said already that this is too much, and hung up
                for piece in _pieces(command, data):
                    await loop.sock_sendall(line, piece)
            raw = b""
            while not raw.endswith(b"\0") and len(raw) < _ANSWER and (more := await loop.sock_recv(line, _ANSWER)):
                raw += more
        return raw[:-1].decode("utf-8", "replace") if raw.endswith(b"\0") else ""

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """A plain socket: a stream of asyncio forgets what it has received when it can send no more."""
        async with asyncio.timeout(CONNECT_S):
            if self._address.startswith("/"):
                return await _connected(loop, socket.AF_UNIX, self._address)
            host, _, port = self._address.rpartition(":")
            found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
            family, _, _, _, address = found[0]
            return await _connected(loop, family, address)

    def _failed(self, why: str) -> ScannerAway:
        if self._away_until is None:
            log.warning("the virus scanner is away: files wait, text does not", extra={"reason": why})
        self._away_until = time.monotonic() + self._peace_s
        return ScannerAway()


async def _connected(loop: asyncio.AbstractEventLoop, family: int, address: Any) -> socket.socket:
    line = socket.socket(family, socket.SOCK_STREAM)
    line.setblocking(False)
    try:
        await loop.sock_connect(line, address)
    except BaseException:
        line.close()
        raise
    return line


def _pieces(command: bytes, data: bytes) -> Iterator[bytes]:
    """Each chunk of the file behind its length, an empty one at the end."""
    yield command
    if not data:
        return
    for at in range(0, len(data), _CHUNK):
        chunk = data[at : at + _CHUNK]
        yield struct.pack(">I", len(chunk)) + chunk
    yield struct.pack(">I", 0)
