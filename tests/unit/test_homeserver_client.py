"""No call to the homeserver waits for ever, and half an answer is none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from messenger.bootstrap.database import PATIENCE_S
from messenger.matrix import http, sync
from messenger.matrix.http import HomeserverClient, Unreachable


@asynccontextmanager
async def homeserver(answer: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[HomeserverClient]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = HomeserverClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", silence_s=0.2)
    try:
        yield client
    finally:
        await client.close()
        server.close()


def says(body: bytes, *, length: int | None = None) -> Callable[[asyncio.StreamWriter], None]:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return lambda writer: writer.write(head.encode() + body)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda writer: None, id="silence"),
        pytest.param(says(b'{"next_', length=500), id="silence after the first bytes"),
        pytest.param(says(b'{"event_id": "$'), id="JSON that breaks off"),
        pytest.param(says(b"<html>Sign in</html>"), id="the page of a proxy"),
        pytest.param(lambda writer: writer.transport.abort(), id="reset"),
    ],
)
async def test_what_is_no_whole_answer_is_none(answer: Callable[[asyncio.StreamWriter], None]) -> None:
    async with homeserver(answer) as client:
        with pytest.raises(Unreachable):
            await client.call("GET", "/x")


async def test_a_whole_answer_is_one() -> None:
    async with homeserver(says(b'{"a": 1}')) as client:
        assert await client.call("GET", "/x") == {"a": 1}


def test_a_dead_line_is_noticed_within_half_a_minute() -> None:
    """Longer are only the first /sync, making a room, and files, for which the homeserver may ask others."""
    assert http.SILENCE_S <= 30
    assert sync.LONG_POLL_MS / 1000 + sync.GRACE_S <= 30
    assert 2 * PATIENCE_S <= 30, "of a statement, and of the word that it was cancelled"
