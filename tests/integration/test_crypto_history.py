"""MSC4268: who gets a room's past, and which part of it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import vodozemac
from nio.crypto.attachments import decrypt_attachment

from messenger.matrix.crypto import history
from messenger.matrix.crypto.history import NotCrossSigned
from messenger.matrix.http import MatrixError
from tests.integration.crypto_world import DESK, ROOM, Identity, Peer, World, a_world

ANNA, LENA = "@anna:test", "@lena:test"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        world.cross_sign_desk()
        yield world


@pytest.fixture
def lena(world: World) -> Peer:
    lena = Peer(world.server, LENA)
    lena.cross_sign()
    return lena


def bundle_for(peer: Peer) -> dict[str, Any]:
    [event] = peer.take_keys()
    assert (event["type"], event["content"]["room_id"]) == ("m.room_key_bundle", ROOM)
    assert event["sender_device_keys"] == peer.server.device_keys[DESK]["DESK1"]
    file = event["content"]["file"]
    data = decrypt_attachment(peer.server.media[file["url"]], file["key"]["k"], file["hashes"]["sha256"], file["iv"])
    bundle: dict[str, Any] = json.loads(data)
    return bundle


def take_bundle(peer: Peer) -> dict[str, Any]:
    bundle = bundle_for(peer)
    for key in bundle["room_keys"]:
        session = vodozemac.InboundGroupSession.import_session(vodozemac.ExportedSessionKey(key["session_key"]))
        assert session.session_id == key["session_id"]
        peer.keep_session(key["room_id"], session)
    return bundle


def body(peer: Peer, content: Any) -> str | None:
    plain = peer.decrypt(ROOM, content)
    return plain["content"]["body"] if plain else None


async def test_a_colleague_reads_the_earlier_conversation_of_both_sides(world: World, lena: Peer) -> None:
    anna = Peer(world.server, ANNA)
    key, event = anna.share_key(**{"m.shared_history": True}), anna.say("from Anna")
    await world.sync(to_device=[key], events=[event])
    ours = await world.send("from the desk", ANNA)
    shared = await world.engine.share_history(ROOM, LENA)
    assert (shared.sessions, shared.devices) == (2, 1)
    take_bundle(lena)
    assert [body(lena, event[1]["content"]), body(lena, ours.content)] == ["from Anna", "from the desk"]


async def test_sessions_without_the_flag_are_named_as_withheld_and_not_shared(world: World, lena: Peer) -> None:
    anna = Peer(world.server, ANNA)
    await world.sync(to_device=[anna.share_key(), anna.share_key(shared_history=True)])
    await world.send("private", ANNA, history_shared=False)
    await world.send("other room", ANNA, room_id="!other:test")
    shared = await world.engine.share_history(ROOM, LENA)
    bundle = bundle_for(lena)
    assert (shared.sessions, bundle["room_keys"]) == (0, [])
    assert [entry["code"] for entry in bundle["withheld"]] == ["m.history_not_shared"] * 2


async def test_both_names_of_the_flag_that_clients_use_are_understood(world: World, lena: Peer) -> None:
    for name in ("m.shared_history", "org.matrix.msc3061.shared_history"):
        peer = Peer(world.server, ANNA)
        await world.sync(to_device=[peer.share_key(**{name: True})])
    assert (await world.engine.share_history(ROOM, LENA)).sessions == 2


async def test_only_devices_that_their_owner_signed_get_the_history(world: World, lena: Peer) -> None:
    unsigned = Peer(world.server, LENA)
    await world.send("hello", ANNA)
    assert (await world.engine.share_history(ROOM, LENA)).devices == 1
    assert unsigned.take_keys() == []


async def test_where_only_verified_people_read_nobody_else_gets_the_past(world: World, lena: Peer) -> None:
    await world.send("hello", ANNA)
    assert (await world.engine.share_history(ROOM, LENA, policy="verified")).devices == 0
    assert lena.take_keys() == []
    await world.engine.approve_identity(LENA, verified=True)
    assert (await world.engine.share_history(ROOM, LENA, policy="verified")).devices == 1


async def test_nobody_gets_history_after_the_master_key_changed(world: World, lena: Peer) -> None:
    await world.send("hello", LENA, room_id="!elsewhere:test")
    lena.cross_sign(Identity(world.server, LENA))
    await world.send("hello", ANNA)
    assert (await world.engine.share_history(ROOM, LENA)).devices == 0


async def test_a_device_that_appeared_just_now_gets_the_history(world: World, lena: Peer) -> None:
    await world.send("hello", LENA)
    lena.take_keys()
    phone = Peer(world.server, LENA)
    phone.cross_sign(lena.identity)
    assert (await world.engine.share_history(ROOM, LENA)).devices == 2
    assert len(bundle_for(phone)["room_keys"]) == 1


async def test_only_the_newest_sessions_are_shared_up_to_the_cap(
    world: World, lena: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_SESSIONS", 3)
    sealed = []
    for number in range(5):
        sealed.append(await world.send(str(number), ANNA, rotation_messages=1))
        world.clock.now += 10
    assert (await world.engine.share_history(ROOM, LENA)).sessions == 3
    bundle = take_bundle(lena)
    assert [body(lena, each.content) for each in sealed] == [None, None, "2", "3", "4"]
    shared = {key["session_id"] for key in bundle["room_keys"]}
    assert len(bundle["withheld"]) == 2
    assert shared.isdisjoint(entry["session_id"] for entry in bundle["withheld"])


async def test_a_copied_session_is_in_the_bundle_once(world: World, lena: Peer) -> None:
    anna, eve = Peer(world.server, ANNA), Peer(world.server, "@eve:test")
    first = anna.share_key(**{"m.shared_history": True})
    anna.say("zero")
    copied = eve.to_desk("m.room_key", {**anna.room_key(ROOM), "m.shared_history": True})
    await world.sync(to_device=[copied, first])
    await world.engine.share_history(ROOM, LENA)
    assert [key["sender_key"] for key in bundle_for(lena)["room_keys"]] == [anna.curve25519]


async def test_a_failed_hand_over_raises_and_can_be_repeated(world: World, lena: Peer) -> None:
    await world.send("hello", ANNA)
    world.server.broken["sendToDevice"] = 1
    with pytest.raises(MatrixError):
        await world.engine.share_history(ROOM, LENA)
    assert (await world.engine.share_history(ROOM, LENA)).devices == 1


async def test_without_cross_signing_nothing_is_shared(lena: Peer, world: World) -> None:
    world.engine.signed_device_keys = None
    with pytest.raises(NotCrossSigned):
        await world.engine.share_history(ROOM, LENA)
