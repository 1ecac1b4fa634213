"""The engine against a real homeserver and peers with another Olm implementation, on PostgreSQL."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.demo.synapse import Synapse
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.engine import Decrypted, Sealed, SendRequest, SyncCrypto
from messenger.matrix.http import CLIENT, HomeserverClient, path
from tests.support.desk_store import SqlDeskStore
from tests.support.people import People, Person
from tests.support.waiting import eventually


class Desk:
    """A bot account that joins what it is invited to and remembers what it decrypted."""

    def __init__(self, http: HomeserverClient, store: SqlDeskStore, login: dict[str, str]) -> None:
        self.http, self.store, self.user_id, self.device_id = http, store, login["user_id"], login["device_id"]
        self.engine = self._new_engine()
        self.since, self.decrypted, self.events = "", list[Decrypted](), list[tuple[str, Any]]()
        self._sent = 0

    def _new_engine(self) -> NioEngine:
        return NioEngine(self.http, self.store, user_id=self.user_id, device_id=self.device_id)

    async def restart(self) -> None:
        self.engine = self._new_engine()
        await self.engine.start()

    async def sync(self) -> list[Decrypted]:
        query = {"timeout": "0", **({"since": self.since} if self.since else {})}
        answer = await self.http.call("GET", f"{CLIENT}/sync", query=query)
        for room in answer.get("rooms", {}).get("invite", {}):
            await self.http.call("POST", f"{CLIENT}/join/{path(room)}", {})
        batch = _batch(answer)
        await self.engine.prepare(batch)
        async with self.engine.exclusive(), self.store.unit() as unit:
            await self.engine.receive(unit, batch)
            others = [(room, event) for room, event in batch.events if event["sender"] != self.user_id]
            self.events += others
            self.decrypted += [self.engine.decrypt(room, event) for room, event in others]
            await self.engine.flush(unit)
        await self.engine.settle()
        self.since = answer["next_batch"]
        return self.decrypted

    async def wait_for_text(self, text: str) -> Decrypted:
        async def found() -> Decrypted | None:
            return next((each for each in await self.sync() if each.content and each.content.get("body") == text), None)

        return await eventually(found, what=f"the desk reads {text}")

    async def say(self, room_id: str, text: str, people: frozenset[str]) -> str:
        request = SendRequest(
            room_id=room_id, recipients=people, type="m.room.message", content={"msgtype": "m.text", "body": text}
        )
        [sealed] = await self.engine.encrypt([request])
        assert isinstance(sealed, Sealed), sealed
        self._sent += 1
        url = f"{CLIENT}/rooms/{path(room_id, 'send', 'm.room.encrypted', f'd{self._sent}')}"
        return str((await self.http.call("PUT", url, sealed.content))["event_id"])


def _batch(answer: dict[str, Any]) -> SyncCrypto:
    rooms = answer.get("rooms", {}).get("join", {})
    events = [
        (room_id, event)
        for room_id, room in rooms.items()
        for event in room["timeline"]["events"]
        if event["type"] == "m.room.encrypted"
    ]
    lists = answer.get("device_lists", {})
    return SyncCrypto(
        to_device=answer.get("to_device", {}).get("events", []),
        changed=lists.get("changed", []),
        left=lists.get("left", []),
        one_time_keys=answer.get("device_one_time_keys_count", {}).get("signed_curve25519", 0),
        unused_fallback_keys=answer.get("device_unused_fallback_key_types"),
        events=events,
    )


@pytest.fixture
async def desk(synapse: Synapse, database: AsyncEngine) -> AsyncIterator[Desk]:
    account = await synapse.register("desk-" + secrets.token_hex(3))
    http = HomeserverClient(synapse.url)
    login = await http.call(
        "POST",
        f"{CLIENT}/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": account.user_id},
            "password": account.password,
        },
    )
    http.token = login["access_token"]
    desk = Desk(http, SqlDeskStore(database, login["user_id"]), login)
    await desk.engine.start()
    yield desk
    await http.close()


async def a_room(person: Person, desk: Desk) -> str:
    room_id = await person.start_direct_chat(desk.user_id, wait_until_joined=False)
    await desk.sync()
    await person.wait_for_members(room_id, [desk.user_id])
    return room_id


async def test_both_sides_read_each_other_across_restarts(desk: Desk, people: People) -> None:
    anna = await people.person("anna")
    room_id = await a_room(anna, desk)
    for number in range(4):
        await anna.say(room_id, f"question {number}")
        decrypted = await desk.wait_for_text(f"question {number}")
        assert decrypted.state == "new"
        await desk.say(room_id, f"answer {number}", frozenset({anna.user_id, desk.user_id}))
        await anna.wait_for_text(room_id, f"answer {number}")
        await desk.restart()
    assert len({event["content"]["session_id"] for _, event in desk.events}) == 1


async def test_a_stranger_who_takes_all_one_time_keys_keeps_nobody_out(desk: Desk, people: People) -> None:
    thief, anna = await people.person("thief"), await people.person("anna")
    await desk.sync()
    question = {"one_time_keys": {desk.user_id: {desk.device_id: "signed_curve25519"}}}
    given = [await claimed(thief, question) for _ in range(60)]
    assert len(set(given)) == 51 and len(set(given[50:])) == 1, "fifty, and then the fallback key again and again"
    await desk.sync()
    assert await claimed(thief, question) not in given
    room_id = await a_room(anna, desk)
    await anna.say(room_id, "can you read me?")
    assert (await desk.wait_for_text("can you read me?")).state == "new"


async def claimed(person: Person, question: dict[str, Any]) -> str:
    answer = await person.server.call("POST", f"{CLIENT}/keys/claim", question)
    [devices] = answer["one_time_keys"].values()
    [keys] = devices.values()
    return str(next(iter(keys.values()))["key"])


async def test_a_wave_of_new_devices_larger_than_the_pool_loses_no_first_message(desk: Desk, people: People) -> None:
    """The desk hears of them only when all have written: those that came late all used the fallback key."""
    thief, wave = await people.person("thief"), [await people.person(f"new{n}") for n in range(3)]
    await desk.sync()
    rooms = [await a_room(person, desk) for person in wave]
    question = {"one_time_keys": {desk.user_id: {desk.device_id: "signed_curve25519"}}}
    for _ in range(50):
        await claimed(thief, question)
    for person, room in zip(wave, rooms, strict=True):
        await person.say(room, f"first words of {person.user_id}")
    for person in wave:
        assert (await desk.wait_for_text(f"first words of {person.user_id}")).state == "new"


async def test_an_upload_whose_answer_was_lost_is_repeated_without_a_clash(desk: Desk) -> None:
    await desk.sync()
    async with desk.engine._state.change():
        body = desk.engine._state.machine.keys_to_upload(20)
    answer = await desk.http.call("POST", f"{CLIENT}/keys/upload", body)
    await desk.restart()
    desk.engine._pool.on_server = 20
    await desk.engine._pool.fill()
    assert desk.engine._pool.on_server == answer["one_time_key_counts"]["signed_curve25519"]


async def test_a_device_that_logged_out_cannot_read_the_next_message(
    desk: Desk, people: People, synapse: Synapse
) -> None:
    account = await synapse.register("anna-" + secrets.token_hex(3))
    laptop = await people.device_of(account.user_id, account.password)
    phone = await people.device_of(account.user_id, account.password)
    room_id = await a_room(laptop, desk)
    both = frozenset({account.user_id, desk.user_id})
    first = await desk.say(room_id, "for both devices", both)
    await phone.wait_for_text(room_id, "for both devices")
    await phone.server.call("POST", f"{CLIENT}/logout", {})
    await desk.sync()
    second = await desk.say(room_id, "for the laptop", both)
    await laptop.wait_for_text(room_id, "for the laptop")
    events = {event.event_id: event.content for event in await laptop.read_back(room_id)}
    assert events.keys() >= {first, second}
    sessions = {event_id: await encrypted_session(laptop, room_id, event_id) for event_id in (first, second)}
    assert sessions[first] != sessions[second]
    assert phone.device._inbound.keys() == {(room_id, sessions[first])}


async def encrypted_session(person: Person, room_id: str, event_id: str) -> str:
    event = await person.server.call("GET", f"{CLIENT}/rooms/{path(room_id, 'event', event_id)}")
    return str(event["content"]["session_id"])
