"""Whoever gives us an address cannot make us look into our own network with it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
from aiohttp import web

from messenger.channels.outbound import Outlets, Refused, SafeClient, TooLarge, Unanswered
from messenger.channels.outbound.addresses import is_public
from messenger.channels.outbound.session import guarded_session, plain_socket
from tests.unit.hostile_addresses import NAMES, addresses

PUBLIC = "93.184.216.34"


@dataclass
class Trap:
    """A server on this machine that counts who comes. `asked` are the headers of the requests."""

    port: int = 0
    visits: int = 0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.visits += 1
        self.asked.append((request.method, request.path, {name.lower(): v for name, v in request.headers.items()}))
        match request.path:
            case "/to":
                return web.Response(status=int(request.query.get("status", "302")), headers={"Location": _to(request)})
            case "/large":
                return web.Response(body=b"x" * 5_000)
            case "/packed":
                return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})
            case "/endless":
                return await _endless(request)
            case "/silent":
                await asyncio.Event().wait()
        return web.Response(text="secret", content_type="text/plain")

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _to(request: web.Request) -> str:
    return unquote(request.rel_url.raw_query_string.partition("to=")[2])


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        while True:
            await response.write(b"x" * 1_000)
    return response


@asynccontextmanager
async def listening() -> AsyncIterator[Trap]:
    trap = Trap()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", trap.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    trap.port = runner.addresses[0][1]
    yield trap
    await runner.cleanup()


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    async with listening() as it:
        yield it


@pytest.fixture
async def ours() -> AsyncIterator[Trap]:
    """A system that the operator has named."""
    async with listening() as it:
        yield it


async def names(host: str, port: int) -> Sequence[str]:
    return NAMES.get(host) or [PUBLIC]


def nowhere(address: Any) -> socket.socket:
    raise ConnectionRefusedError("no connection leaves this test")


def open_for(*ports: int, internal: Sequence[str] = ()) -> Outlets:
    return Outlets(ways={("https", 443), *(("http", port) for port in ports)}, internal=frozenset(internal))


@asynccontextmanager
async def client(outlets: Outlets, **wiring: Any) -> AsyncIterator[SafeClient]:
    made = SafeClient(outlets, **{"lookup": names, "open_socket": nowhere, **wiring})
    try:
        yield made
    finally:
        await made.close()


async def test_no_hostile_address_reaches_this_machine(trap: Trap) -> None:
    table, reached = addresses(trap.port), []
    async with client(open_for(trap.port, 80), open_socket=plain_socket) as ask:
        for url in table:
            try:
                await ask.request("GET", url, timeout_s=2)
            except Refused:
                continue
            except Unanswered as error:
                reached.append((url, str(error)))
            else:
                reached.append((url, "answered"))
    assert len(table) >= 150
    assert reached == []
    assert trap.visits == 0


async def test_a_bare_client_walks_into_the_trap_with_the_same_addresses(trap: Trap) -> None:
    """Else the trap would prove nothing."""
    fell = 0
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(resolver=_Believing(), use_dns_cache=False)
        bare = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        for url in addresses(trap.port):
            before = trap.visits
            if "//127." in url or "local" in url.lower() or "nip." in url:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
                    async with bare.get(url, timeout=aiohttp.ClientTimeout(total=0.1)):
                        pass
            fell += trap.visits > before
    assert fell >= 15


class _Believing(aiohttp.abc.AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        """What a name stands for, as far as it is on this machine; numbers as the C library reads them."""
        found = [each for each in await names(host, port) if each.startswith("127")]
        if not found and not host[:1].isdigit():
            raise OSError("not here")
        found = found or [socket.inet_ntoa(socket.inet_aton(host))]
        family = socket.AF_INET
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0} for each in found
        ]

    async def close(self) -> None:
        pass


async def test_no_redirect_leads_to_a_hostile_address(trap: Trap, ours: Trap) -> None:
    """What is no address of its own is a path at the host that redirects, and stays there."""
    refused = 0
    async with client(open_for(trap.port, 80, internal=[ours.origin]), open_socket=plain_socket) as ask:
        for url in filter(str.isprintable, addresses(trap.port)):
            try:
                await ask.request("GET", f"{ours.origin}/to?to={_quoted(url)}", timeout_s=2)
            except Refused:
                refused += 1
    assert refused >= 150
    assert trap.visits == 0


def _quoted(url: str) -> str:
    return "".join(f"%{byte:02x}" for byte in url.encode())


async def test_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_judged(trap: Trap) -> None:
    """A name that is public when it is judged and ours when it is used."""
    lookups, opened = [], []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        lookups.append(host)
        return [PUBLIC] if len(lookups) % 2 else ["127.0.0.1"]

    def seen(address: Any) -> socket.socket:
        opened.append(address[4][0])
        raise ConnectionRefusedError

    async with client(open_for(trap.port), lookup=rebinding, open_socket=seen) as ask:
        with pytest.raises(Unanswered):
            await ask.request("GET", f"http://rebinding.example:{trap.port}/")
        assert lookups == ["rebinding.example"] and opened == [PUBLIC]
        with pytest.raises(Refused):
            await ask.request("GET", f"http://rebinding.example:{trap.port}/")
    assert opened == [PUBLIC] and trap.visits == 0


async def test_the_socket_itself_refuses_what_nobody_has_judged(trap: Trap) -> None:
    """The last wall holds without the others: an address as such is never looked up."""
    async with guarded_session(names, plain_socket) as session:
        with pytest.raises(Refused):
            await session.get(f"{trap.origin}/")
    assert trap.visits == 0


async def test_what_the_operator_names_is_reached_wherever_it_is(ours: Trap, trap: Trap) -> None:
    async with client(open_for(internal=[ours.origin])) as ask:
        answer = await ask.request("GET", ours.origin + "/x", accept=["text/*"])
        assert (answer.status, answer.type, answer.body) == (200, "text/plain", b"secret")
        with pytest.raises(Refused):
            await ask.request("GET", trap.origin + "/x")
    assert (ours.visits, trap.visits) == (1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nothing_secret_goes_along_to_another_host(ours: Trap, trap: Trap, status: int) -> None:
    secret = {"Authorization": "Bearer x", "Cookie": "x", "X-Api-Key": "x", "Accept": "text/plain"}
    async with client(open_for(internal=[ours.origin, trap.origin])) as ask:
        await ask.request("GET", f"{ours.origin}/to?status={status}&to={trap.origin}/there", headers=secret)
    [(method, path, headers)] = trap.asked
    assert (method, path, headers["accept"]) == ("GET", "/there", "text/plain")
    assert not {"authorization", "cookie", "x-api-key"} & set(headers)


async def test_a_body_stays_with_the_host_that_it_is_meant_for(ours: Trap, trap: Trap) -> None:
    async with client(open_for(internal=[ours.origin, trap.origin])) as ask:
        with pytest.raises(Refused):
            await ask.request("POST", f"{ours.origin}/to?status=307&to={trap.origin}/there", body=b"secret")
        assert trap.visits == 0
        await ask.request("POST", f"{ours.origin}/to?status=303&to={trap.origin}/there", body=b"secret")
    assert [(method, headers.get("content-length")) for method, _, headers in trap.asked] == [("GET", None)]


async def test_more_than_three_redirects_are_a_loop(ours: Trap) -> None:
    loop = f"{ours.origin}/to?to=/to?to=/to?to=/to?to=/x"
    async with client(open_for(internal=[ours.origin])) as ask:
        with pytest.raises(Refused):
            await ask.request("GET", loop)
        assert (await ask.request("GET", loop.replace("/to?to=/to", "/to", 1))).body == b"secret"


@pytest.mark.parametrize(
    ("path", "asked", "error"),
    [
        ("/large", {"max_bytes": 4_999}, TooLarge),
        ("/endless", {"max_bytes": 100_000}, TooLarge),
        ("/packed", {}, Refused),
        ("/x", {"accept": ["image/*", "application/json"]}, Refused),
        ("/silent", {"timeout_s": 0.2}, Unanswered),
    ],
)
async def test_what_is_not_as_asked_is_not_taken(
    ours: Trap, path: str, asked: dict[str, Any], error: type[Exception]
) -> None:
    async with client(open_for(internal=[ours.origin])) as ask:
        with pytest.raises(error):
            await ask.request("GET", ours.origin + path, **asked)


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    ours: Trap, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, trap.origin)
    async with client(open_for(internal=[ours.origin])) as ask:
        await ask.request("GET", ours.origin + "/x")
    assert (ours.visits, trap.visits) == (1, 0)


@pytest.mark.parametrize(
    "address", [PUBLIC, "8.8.8.8", "1.1.1.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)
