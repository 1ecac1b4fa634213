"""The fake homeserver answers like a real one, and misbehaves exactly as told. The judges are the test people and the
product's own HTTP client."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable
from tests.support.crowd import Writer
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fuzz import fuzzed_bodies
from tests.support.people import Person
from tests.support.waiting import eventually


@pytest.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    fake = FakeHomeserver()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[HomeserverClient]:
    connection = HomeserverClient(server.url)
    connection.token = await log_in(connection, server, "desk")
    yield connection
    await connection.close()


async def log_in(connection: HomeserverClient, server: FakeHomeserver, name: str) -> str:
    account = server.register(name)
    body = {"type": "m.login.password", "identifier": {"user": account.user_id}, "password": account.password}
    return str((await connection.call("POST", f"{CLIENT}/login", body))["access_token"])


async def person(server: FakeHomeserver, name: str) -> Person:
    account = server.register(name)
    return await Person.log_in(server.url, account.user_id, account.password, name=name)


async def test_people_talk_encrypted_as_on_a_real_server(server: FakeHomeserver) -> None:
    anna, bert = await person(server, "anna"), await person(server, "bert")
    room = await anna.start_direct_chat(bert.user_id)
    root = await anna.say(room, "Good morning")
    heard = await bert.wait_for_text(room, "Good morning")
    assert heard.was_encrypted and heard.event_id == root
    await bert.say(room, "and to you", thread=root)
    assert (await anna.wait_for_text(room, "and to you")).thread == root
    await bert.send_file(room, b"scan", name="scan.pdf")
    file = await anna.wait_for(room, lambda event: event.msgtype == "m.file")
    assert await anna.download(file) == b"scan"
    await asyncio.gather(anna.leave(), bert.leave())


async def test_writers_and_people_understand_each_other(server: FakeHomeserver) -> None:
    anna, carl = await person(server, "anna"), Writer(server.world, "carl")
    room = carl.start_direct_chat(anna.user_id)
    await eventually(lambda: room in anna.rooms)
    sent = [carl.say(room, f"line {number}") for number in range(250)]
    await eventually(lambda: len(anna.messages(room)) == 250)
    assert [message.event_id for message in anna.messages(room)] == sent
    assert all(message.is_readable for message in anna.messages(room))
    await anna.say(room, "answer")
    assert carl.read(room)[-1].body == "answer"
    await anna.leave()


async def test_the_same_transaction_is_one_event(server: FakeHomeserver, client: HomeserverClient) -> None:
    room = (await client.call("POST", f"{CLIENT}/createRoom", {}))["room_id"]
    url = f"{CLIENT}/rooms/{room}/send/m.room.message/txn-1"
    first = await client.call("PUT", url, {"body": "once"})
    assert await client.call("PUT", url, {"body": "once"}) == first
    second_device = HomeserverClient(server.url)
    account = server.world.accounts["@desk:fake.test"]
    second_device.token = server.world.log_in(account).token
    assert await second_device.call("PUT", url, {"body": "once"}) != first
    await second_device.close()


async def test_history_is_paged_backwards_to_the_beginning(server: FakeHomeserver, client: HomeserverClient) -> None:
    room = (await client.call("POST", f"{CLIENT}/createRoom", {}))["room_id"]
    for number in range(25):
        await client.call("PUT", f"{CLIENT}/rooms/{room}/send/m.room.message/{number}", {"body": str(number)})
    bodies, token = [], ""
    while True:
        query = {"dir": "b", "limit": "10", **({"from": token} if token else {})}
        page = await client.call("GET", f"{CLIENT}/rooms/{room}/messages", query=query)
        bodies += [event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"]
        token = page.get("end", "")
        if not token:
            break
    assert bodies == [str(number) for number in range(24, -1, -1)]


async def test_a_small_timeline_is_limited_and_the_gap_can_be_filled(
    server: FakeHomeserver, client: HomeserverClient
) -> None:
    room = (await client.call("POST", f"{CLIENT}/createRoom", {}))["room_id"]
    since = (await client.call("GET", f"{CLIENT}/sync"))["next_batch"]
    for number in range(8):
        await client.call("PUT", f"{CLIENT}/rooms/{room}/send/m.room.message/{number}", {"body": str(number)})
    server.faults.timeline_limit = 3
    answer = await client.call("GET", f"{CLIENT}/sync", query={"since": since})
    timeline = answer["rooms"]["join"][room]["timeline"]
    assert timeline["limited"] and [event["content"]["body"] for event in timeline["events"]] == ["5", "6", "7"]
    query = {"dir": "b", "from": timeline["prev_batch"], "to": since, "limit": "100"}
    gap = await client.call("GET", f"{CLIENT}/rooms/{room}/messages", query=query)
    assert [event["content"]["body"] for event in gap["chunk"]] == ["4", "3", "2", "1", "0"]


async def test_sync_waits_for_news_and_no_longer(server: FakeHomeserver, client: HomeserverClient) -> None:
    since = (await client.call("GET", f"{CLIENT}/sync"))["next_batch"]
    begun = time.monotonic()
    waiting = asyncio.create_task(client.call("GET", f"{CLIENT}/sync", query={"since": since, "timeout": "20000"}))
    await eventually(lambda: server.synced == 2)
    Writer(server.world, "carl").start_direct_chat("@desk:fake.test")
    answer = await waiting
    assert list(answer["rooms"]) == ["invite"] and time.monotonic() - begun < 10


async def test_to_device_messages_stay_until_the_token_is_used(
    server: FakeHomeserver, client: HomeserverClient
) -> None:
    since = (await client.call("GET", f"{CLIENT}/sync"))["next_batch"]
    server.world.send_to_device("@x:fake.test", "m.test", {"@desk:fake.test": {"*": {"n": 1}}})
    first = await client.call("GET", f"{CLIENT}/sync", query={"since": since})
    again = await client.call("GET", f"{CLIENT}/sync", query={"since": since})
    assert first["to_device"] == again["to_device"] == {"events": [
        {"type": "m.test", "sender": "@x:fake.test", "content": {"n": 1}}]}  # fmt: skip
    assert "to_device" not in await client.call("GET", f"{CLIENT}/sync", query={"since": first["next_batch"]})


async def test_it_limits_fails_and_recovers_on_command(server: FakeHomeserver, client: HomeserverClient) -> None:
    server.faults.limit("/whoami", retry_after_ms=70, times=1)
    with pytest.raises(MatrixError) as limited:
        await client.call("GET", f"{CLIENT}/account/whoami")
    assert limited.value.status == 429 and limited.value.retry_after == timedelta(milliseconds=70)
    server.faults.fail("/whoami", status=502)
    with pytest.raises(MatrixError, match="502"):
        await client.call("GET", f"{CLIENT}/account/whoami")
    assert (await client.call("GET", f"{CLIENT}/account/whoami"))["user_id"] == "@desk:fake.test"


@pytest.mark.parametrize(("fault", "happened"), [("cut_before", 0), ("cut_after", 1), ("cut_inside", 1)])
async def test_a_cut_connection_loses_the_request_or_only_the_answer(
    server: FakeHomeserver, client: HomeserverClient, fault: str, happened: int
) -> None:
    room = (await client.call("POST", f"{CLIENT}/createRoom", {}))["room_id"]
    before = len(server.world.rooms[room].timeline)
    # Twice: aiohttp repeats an idempotent request by itself when a reused connection breaks.
    getattr(server.faults, fault)("/send/", times=2)
    with pytest.raises(Unreachable):
        await client.call("PUT", f"{CLIENT}/rooms/{room}/send/m.room.message/1", {"body": "x"})
    assert len(server.world.rooms[room].timeline) - before == happened


async def test_it_gives_any_sync_body_it_is_told_to(server: FakeHomeserver, client: HomeserverClient) -> None:
    since = (await client.call("GET", f"{CLIENT}/sync"))["next_batch"]
    waiting = asyncio.create_task(client.call("GET", f"{CLIENT}/sync", query={"since": since, "timeout": "20000"}))
    await eventually(lambda: server.synced == 2)
    server.answer_sync_with({"rooms": "nonsense"}, b"[1,")
    assert (await waiting)["next_batch"]
    assert await client.call("GET", f"{CLIENT}/sync", query={"since": since}) == {"rooms": "nonsense"}
    with pytest.raises(Unreachable):
        await client.call("GET", f"{CLIENT}/sync", query={"since": since})


async def test_dropped_to_device_messages_leave_a_message_unreadable(server: FakeHomeserver) -> None:
    anna, bert = await person(server, "anna"), await person(server, "bert")
    room = await anna.start_direct_chat(bert.user_id)
    server.faults.drop_to_device()
    await anna.say(room, "lost key")
    await eventually(lambda: bert.messages(room) != [])
    assert [message.is_readable for message in bert.messages(room)] == [False]
    await asyncio.gather(anna.leave(), bert.leave())


async def test_it_comes_back_on_the_same_port_with_everything_it_knew(
    server: FakeHomeserver, client: HomeserverClient
) -> None:
    url = server.url
    await server.stop()
    with pytest.raises(Unreachable):
        await client.call("GET", f"{CLIENT}/account/whoami")
    await server.start()
    assert server.url == url
    assert (await client.call("GET", f"{CLIENT}/account/whoami"))["user_id"] == "@desk:fake.test"


async def test_it_records_what_was_asked(server: FakeHomeserver, client: HomeserverClient) -> None:
    await client.call("POST", f"{CLIENT}/createRoom", {"name": "Claims"})
    (request,) = server.sent_to("/createRoom")
    assert request.body == {"name": "Claims"} and request.user_id == "@desk:fake.test" and request.status == 200


async def test_strangers_and_outsiders_are_refused(server: FakeHomeserver, client: HomeserverClient) -> None:
    room = Writer(server.world, "carl").create_room()
    with pytest.raises(MatrixError, match="403 M_FORBIDDEN"):
        await client.call("PUT", f"{CLIENT}/rooms/{room}/send/m.room.message/1", {})
    client.token = "wrong"
    with pytest.raises(MatrixError, match="401 M_UNKNOWN_TOKEN"):
        await client.call("GET", f"{CLIENT}/account/whoami")


async def test_it_is_fast_enough_to_measure_the_product(server: FakeHomeserver) -> None:
    """Two thousand encrypted events in far less time than any relay would need."""
    carl, dora = Writer(server.world, "carl"), Writer(server.world, "dora")
    room = carl.start_direct_chat(dora.user_id)
    dora.join(room)
    begun = time.process_time()
    for number in range(2000):
        carl.say(room, f"line {number}")
    seen = dora.read(room)
    assert sum(event.is_readable and event.type == "m.room.message" for event in seen) == 2000
    assert time.process_time() - begun < 5


async def test_fuzzed_bodies_are_varied_and_repeatable(server: FakeHomeserver, client: HomeserverClient) -> None:
    carl = Writer(server.world, "carl")
    room = carl.start_direct_chat("@desk:fake.test")
    server.world.join(server.world.rooms[room], "@desk:fake.test")
    carl.say(room, "hello")
    answer = await client.call("GET", f"{CLIENT}/sync")
    bodies = list(fuzzed_bodies([answer], seed=7, count=1000))
    assert bodies == list(fuzzed_bodies([answer], seed=7, count=1000))
    assert len(set(bodies)) > 800
    assert sum(_is_json(body) for body in bodies) > 800
    assert answer == await client.call("GET", f"{CLIENT}/sync")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
