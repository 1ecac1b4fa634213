"""Where connections come from. No other module makes a session."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from messenger.channels.outbound.addresses import is_public
from messenger.channels.outbound.errors import Refused

Session = aiohttp.ClientSession
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
OpenSocket = Callable[[Any], socket.socket]


def configured_session() -> Session:
    """For an address that the operator has configured and nobody else can change. Redirects are not followed by whoever
    uses it: the answer of a server is no setting. Proxies of the environment are not asked."""
    # No limit of connections: lanes wait for each other in the outbox, never for a free socket behind the long poll.
    return Session(connector=aiohttp.TCPConnector(limit=0), trust_env=False, auto_decompress=True)


def guarded_session(lookup: Lookup, open_socket: OpenSocket) -> Session:
    """Whatever is asked for, connections lead to public addresses only: each name is looked up once for a connection,
    all that it stands for is judged, and the connection goes to what was judged."""
    connector = aiohttp.TCPConnector(
        resolver=_Judging(lookup), use_dns_cache=False, socket_factory=_only_public(open_socket)
    )
    return _bare(connector)


def internal_session() -> Session:
    """For the operator's own systems."""
    return _bare(aiohttp.TCPConnector(use_dns_cache=False))


def plain_socket(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    return socket.socket(family, kind, protocol)


async def system_lookup(host: str, port: int) -> Sequence[str]:
    resolver = aiohttp.ThreadedResolver()
    return [found["host"] for found in await resolver.resolve(host, port, socket.AF_UNSPEC)]


def _bare(connector: aiohttp.TCPConnector) -> Session:
    """Without memory: no cookies, no proxies and passwords from the environment. A packed answer is not unpacked."""
    return Session(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False)


def _only_public(open_socket: OpenSocket) -> OpenSocket:
    """The last wall, at the socket itself."""

    def opened(address: Any) -> socket.socket:
        if not is_public(address[4][0]):
            raise Refused("address")
        return open_socket(address)

    return opened


class _Judging(AbstractResolver):
    """One address that is not public spoils the name: it may be meant for us."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        if not found:
            raise OSError("the name has no address")
        if not all(is_public(address) for address in found):
            raise Refused("address")
        return [_result(host, address, port) for address in found]

    async def close(self) -> None:
        pass


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)
