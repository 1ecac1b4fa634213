"""Hostile to-device events, in batches with a good key each (ten thousand in the long run): nothing escapes, the good
key always works."""

import copy
import random
import string
import time
from typing import Any

import pytest

from tests.integration.crypto_world import DESK, DESK_DEVICE, ROOM, Peer, World, a_world, event_of

PER_BATCH, SPOILED_INSIDE = 250, 80
LONGEST_S = 20  # of this process's own work: a busy machine changes nothing
ATOMS: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    "",
    "A",
    "\0",
    "\ud800",
    "ä" * 300,
    [],
    {},
    [[]],
    {"a": {}},
    "m.room_key",
    "m.megolm.v1.aes-sha2",
    "m.olm.v1.curve25519-aes-sha2",
    "@eve:test",
    "A" * 43,
    "=" * 8,
]


class Mutator:
    """Spoils well-formed events: values swapped, fields lost or doubled, text cut or flipped."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def spoil(self, event: Any) -> Any:
        event = copy.deepcopy(event)
        for _ in range(self._random.randint(1, 4)):
            event = self._spoil_somewhere(event)
        return event

    def _spoil_somewhere(self, value: Any) -> Any:
        if isinstance(value, dict) and value and self._random.random() < 0.85:
            key = self._random.choice(list(value))
            if self._random.random() < 0.1:
                del value[key]
            else:
                value[key] = self._spoil_somewhere(value[key])
            return value
        if isinstance(value, str) and value and self._random.random() < 0.7:
            return self._spoil_text(value)
        return self._random.choice(ATOMS)

    def _spoil_text(self, text: str) -> str:
        at, letter = self._random.randrange(len(text)), self._random.choice(string.ascii_letters + "+/=§")
        return self._random.choice([text[:at], text[at:], text[:at] + letter + text[at + 1 :], text + letter, text * 2])


def good_events(eve: Peer) -> list[dict[str, Any]]:
    room_key = eve.room_key(ROOM)
    inner: list[Any] = [
        room_key,
        {**room_key, "session_key": "AAAA"},
        {**room_key, "session_id": 7},
        {**room_key, "room_id": {}},
        {"algorithm": "x"},
        {},
        {**room_key, "room_id": "\ud800"},
        {**room_key, "session_key": None},
    ]
    events = [eve.to_desk("m.room_key", content) for content in inner[:6] + inner[7:]]
    events += [
        eve.to_desk(kind, {"a": 1})
        for kind in ("m.dummy", "m.forwarded_room_key", "m.room_key_bundle", "m.secret.send")
    ]
    events += [
        {
            "type": "m.room_key.withheld",
            "sender": eve.user_id,
            "content": {"room_id": ROOM, "session_id": f"s{number}", "code": "m.no_olm", "sender_key": eve.curve25519},
        }
        for number in range(3)
    ]
    events.append(
        {
            "type": "m.room_key_request",
            "sender": eve.user_id,
            "content": {
                "action": "request",
                "request_id": "1",
                "requesting_device_id": eve.device_id,
                "body": room_key,
            },
        }
    )
    return events


def spoiled_inside(mutator: Mutator, eve: Peer) -> Any:
    """Well encrypted, and malformed where only we can see it."""
    content = mutator.spoil(eve.room_key(ROOM))
    try:
        return eve.to_desk("m.room_key", content)
    except UnicodeEncodeError:
        return content


@pytest.mark.parametrize("count", [1_500, pytest.param(10_000, marks=pytest.mark.long)])
async def test_malformed_to_device_events_stop_nothing(count: int) -> None:
    mutator, started = Mutator(count), time.process_time()
    async with a_world() as world:
        eve, anna = Peer(world.server, "@eve:test"), Peer(world.server, "@anna:test")
        for batch in range(count // PER_BATCH):
            models = good_events(eve)
            hostile = [mutator.spoil(models[number % len(models)]) for number in range(PER_BATCH - SPOILED_INSIDE)]
            hostile += [spoiled_inside(mutator, eve) for _ in range(SPOILED_INSIDE)]
            await check_batch(world, anna, hostile, f"message {batch}")
        assert sum(world.engine.refused.values()) > count / 4
    assert time.process_time() - started < LONGEST_S


async def check_batch(world: World, anna: Peer, hostile: list[Any], text: str) -> None:
    anna.rotate(ROOM)
    half = len(hostile) // 2
    to_device = [*hostile[:half], anna.share_key(), *hostile[half:]]
    pool = world.server.count(DESK, DESK_DEVICE)
    [decrypted] = await world.sync(to_device=to_device, events=[anna.say(text)], one_time_keys=pool)
    assert (decrypted.state, decrypted.content["body"]) == ("new", text)


async def test_malformed_room_events_never_raise() -> None:
    mutator = Mutator(2)
    async with a_world() as world:
        anna = Peer(world.server, "@anna:test")
        await world.sync(to_device=[anna.share_key()])
        models = [anna.say("hello")[1] for _ in range(10)]
        hostile = [(ROOM, mutator.spoil(models[number % 10])) for number in range(2_000)]
        hostile = [(room, event if isinstance(event, dict) else {}) for room, event in hostile]
        states = {each.state for each in await world.sync(events=hostile)}
        assert states <= {"new", "waiting_key", "undecryptable", "quarantine"}
        assert [
            each.state for each in await world.sync(events=[(ROOM, event_of(anna.user_id, models[0]["content"]))])
        ] == ["new"]


async def test_malformed_answers_about_devices_never_raise() -> None:
    mutator = Mutator(3)
    async with a_world() as world:
        anna = Peer(world.server, "@anna:test")
        anna.cross_sign()
        answer = {
            "device_keys": world.server.device_keys["@anna:test"],
            "master": world.server.master_keys["@anna:test"],
            "signing": world.server.self_signing_keys["@anna:test"],
        }
        for number in range(1_000):
            user = f"@u{number}:test"
            spoiled = mutator.spoil(answer)
            parts = spoiled if isinstance(spoiled, dict) else {}
            world.server.device_keys[user] = parts.get("device_keys", {})
            world.server.master_keys[user], world.server.self_signing_keys[user] = (
                parts.get("master"),
                parts.get("signing"),
            )
        users = [f"@u{number}:test" for number in range(1_000)]
        sealed = await world.send("hello", "@anna:test", *users, policy="cross-signed-tofu")
        assert anna.read(sealed) == "hello"
        assert len(world.server.to_device) == 0
