"""A file that lies on another server which does not answer: the conversation waits for a while, not for a day."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from messenger.app.files import Impatient, fetch_checked
from messenger.app.inspection.inspector import Inspector
from messenger.app.outside_ports import FileAway
from messenger.channels.errors import Temporary
from messenger.channels.messages import MediaRef
from messenger.channels.outbound import Outlets
from messenger.domain.attachment import Refused
from messenger.matrix.http import HomeserverClient, MatrixError
from messenger.matrix.media import MatrixMedia

# Not reached: there is nothing to look into.
INSPECTOR = Inspector(max_bytes=1)
FILE = MediaRef(id='{"url": "mxc://gone.example/abc"}', mime="image/png", filename="a.png")


@pytest.fixture
async def answer() -> AsyncIterator[dict[str, object]]:
    """What the homeserver says to every download; `url` is where it listens."""
    says: dict[str, object] = {}

    async def download(request: web.Request) -> web.Response:
        if where := says.get("where"):
            return web.Response(status=307, headers={"Location": str(where)})
        body = says["json"]
        return web.json_response(body, status=502) if body else web.Response(text="<html>Bad Gateway", status=502)

    app = web.Application()
    app.router.add_get("/{tail:.*}", download)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    says["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield says
    await runner.cleanup()


@pytest.fixture
async def media(answer: dict[str, object]) -> AsyncIterator[MatrixMedia]:
    client = HomeserverClient(str(answer["url"]))
    yield MatrixMedia(client)
    await client.close()


async def test_a_file_on_a_dead_server_is_waited_for_and_then_counts_as_unreadable(
    media: MatrixMedia, answer: dict[str, object]
) -> None:
    answer["json"] = {"errcode": "M_UNKNOWN", "error": "Failed to fetch remote media"}
    with pytest.raises(FileAway):
        await fetch_checked(media, FILE, inspector=INSPECTOR)
    assert await fetch_checked(Impatient(media), FILE, inspector=INSPECTOR) == Refused("unreadable")


async def test_a_homeserver_that_is_down_behind_its_proxy_is_always_waited_for(
    media: MatrixMedia, answer: dict[str, object]
) -> None:
    answer["json"] = None
    with pytest.raises(Temporary) as raised:
        await fetch_checked(Impatient(media), FILE, inspector=INSPECTOR)
    assert not isinstance(raised.value, FileAway)


@pytest.fixture
async def elsewhere() -> AsyncIterator[tuple[str, list[str]]]:
    """A server in the own network: its address, and with which token it was asked."""
    asked: list[str] = []

    async def give(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization", ""))
        return web.Response(body=b"sealed")

    app = web.Application()
    app.router.add_get("/{tail:.*}", give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


async def test_a_redirect_into_the_own_network_is_not_followed(
    media: MatrixMedia, answer: dict[str, object], elsewhere: tuple[str, list[str]]
) -> None:
    url, asked = elsewhere
    answer["where"] = url + "/secret"
    with pytest.raises(FileAway):
        await fetch_checked(media, FILE, inspector=INSPECTOR)
    assert asked == []


async def test_a_file_elsewhere_is_fetched_without_our_token_if_the_operator_allows_it(
    answer: dict[str, object], elsewhere: tuple[str, list[str]]
) -> None:
    url, asked = elsewhere
    answer["where"] = url + "/file"
    client = HomeserverClient(str(answer["url"]), token="ours", outlets=Outlets(internal=frozenset({url})))
    assert await client.download("mxc://gone.example/abc", max_bytes=100) == b"sealed"
    assert asked == [""]
    await client.close()


async def test_no_call_is_sent_on_with_the_token(answer: dict[str, object], elsewhere: tuple[str, list[str]]) -> None:
    url, asked = elsewhere
    answer["where"] = url + "/file"
    client = HomeserverClient(str(answer["url"]), token="ours", outlets=Outlets(internal=frozenset({url})))
    with pytest.raises(MatrixError):
        await client.call("GET", "/_matrix/client/v3/sync")
    assert asked == []
    await client.close()
