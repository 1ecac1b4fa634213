"""Health: who lives, who has started, who may be used; and the listener that says so."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from messenger.observability import health as vital
from messenger.observability.health import Health
from messenger.web.operations import CannotListen, listening


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def well() -> str:
    return ""


async def away() -> str:
    raise ConnectionRefusedError("postgresql://stellwerk:hunter2@db")


def test_a_loop_that_stood_still_for_five_seconds_does_not_live() -> None:
    clock = Clock()
    health = Health(clock=clock)
    clock.now += vital.TICK_S
    health.tick(vital.TICK_S)
    assert health.is_alive and health.lag_s == 0
    clock.now += vital.TICK_S + 4.9
    assert health.is_alive
    clock.now += 0.2
    assert not health.is_alive
    health.tick(vital.TICK_S)
    assert not health.is_alive, "the turn that came so late"
    clock.now += vital.TICK_S
    health.tick(vital.TICK_S)
    assert health.is_alive, "it goes on"


async def test_ready_is_who_has_started_and_finds_everything_in_order() -> None:
    health = Health()
    health.watch("database", well)
    assert (await health.readiness())["process"] == vital.STARTING
    health.has_started = True
    assert not any((await health.readiness()).values())
    health.watch("lease", away)
    assert (await health.readiness())["lease"] == vital.FAILED


async def test_a_check_takes_the_place_of_the_one_before_it() -> None:
    health = Health()
    health.watch("lease", away)
    health.watch("lease", well)
    assert (await health.readiness())["lease"] == ""


async def test_whoever_was_told_to_stop_is_not_ready_at_once() -> None:
    stop = asyncio.Event()
    health = Health(stop.is_set)
    health.has_started = True
    assert not any((await health.readiness()).values())
    stop.set()
    assert (await health.readiness())["process"] == vital.STOPPING


async def test_a_check_that_does_not_answer_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vital, "CHECK_PATIENCE_S", 0.01)

    async def silent() -> str:
        await asyncio.Event().wait()
        return ""

    health = Health()
    health.watch("database", silent)
    assert (await health.readiness())["database"] == vital.LATE


async def test_the_database_is_asked_once_a_second_however_many_ask() -> None:
    clock, asked = Clock(), 0

    async def check() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return ""

    health = Health(clock=clock)
    health.watch("database", check)
    await asyncio.gather(*(health.readiness() for _ in range(20)))
    assert asked == 1
    clock.now += vital.REMEMBERED_S
    await health.readiness()
    assert asked == 2


async def test_the_pulse_ticks_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vital, "TICK_S", 0.001)
    ticked = asyncio.Event()
    pulse = asyncio.create_task(vital.keep_ticking(Health(), each=ticked.set))
    await ticked.wait()
    pulse.cancel()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_the_listener_says_it_with_a_status_and_codes(session: aiohttp.ClientSession) -> None:
    health = Health()
    async with listening("127.0.0.1", 0, health) as port:
        address = f"http://127.0.0.1:{port}"

        async def ask(path: str) -> tuple[int, str]:
            async with session.get(address + path) as answer:
                return answer.status, await answer.text()

        assert await ask("/livez") == (200, '{"ok": true, "loop": "ok"}')
        assert (await ask("/startupz"))[0] == (await ask("/readyz"))[0] == 503
        health.has_started = True
        health.watch("database", away)
        status, told = await ask("/readyz")
        assert status == 503 and '"database": "failed"' in told and "hunter2" not in told
        health.watch("database", well)
        assert (await ask("/startupz"))[0] == (await ask("/readyz"))[0] == 200
        status, page = await ask("/metrics")
        assert status == 200 and "stellwerk_ready 1.0" in page
        assert (await ask("/"))[0] == 404


async def test_an_address_that_is_taken_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"web.metrics_listen: cannot listen on 127.0.0.1:{port}"):
            async with listening("127.0.0.1", port, Health()):
                pass
