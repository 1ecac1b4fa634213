"""What goes out: who gets a key and who does not, what is saved before the wire, what happens when something fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from messenger.matrix.engine import Doubted, Sealed
from messenger.matrix.http import MatrixError
from tests.integration.crypto_world import DESK, ROOM, Identity, Peer, World, a_world, message
from tests.support.desk_store import MemoryDeskStore

ANNA, BEN, TOFU = "@anna:test", "@ben:test", "cross-signed-tofu"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
def anna(world: World) -> Peer:
    return Peer(world.server, ANNA)


def session_of(sealed: object) -> str:
    assert isinstance(sealed, Sealed), sealed
    return str(sealed.content["session_id"])


def network(world: World) -> int:
    return sum(world.server.calls.values())


async def test_every_device_of_the_recipients_can_read(world: World, anna: Peer) -> None:
    phone, ben = Peer(world.server, ANNA), Peer(world.server, BEN)
    sealed = await world.send("hello", ANNA, BEN)
    assert [peer.read(sealed) for peer in (anna, phone, ben)] == ["hello"] * 3
    assert sealed.unreached == ()


async def test_the_second_message_costs_no_network_and_one_write(world: World, anna: Peer) -> None:
    await world.send("one", ANNA)
    before = network(world)
    second = await world.send("two", ANNA)
    assert anna.read(second) == "two"
    assert network(world) == before
    assert world.engine.is_ready(message("x", ANNA))
    assert not world.engine.is_ready(message("x", ANNA, BEN))


async def test_the_session_and_its_share_list_survive_a_restart(world: World, anna: Peer) -> None:
    """T21: no key storm. The ratchet goes on where it was."""
    first = await world.send("one", ANNA)
    await world.restart()
    world.server.calls.clear()
    second = await world.send("two", ANNA)
    assert session_of(first) == session_of(second)
    assert "sendToDevice/m.room.encrypted" not in world.server.calls
    assert [anna.read(first), anna.read(second)] == ["one", "two"]


async def test_relations_stand_in_clear_beside_the_ciphertext(world: World, anna: Peer) -> None:
    relation = {"rel_type": "m.thread", "event_id": "$root"}
    sealed = await world.send("", ANNA, content={"body": "reply", "m.relates_to": relation})
    assert sealed.content["m.relates_to"] == relation
    assert anna.read(sealed) == "reply"


async def test_a_failed_key_share_fails_the_message_and_the_repeat_succeeds(world: World, anna: Peer) -> None:
    """T5: nio would report success for a message that nobody can read."""
    world.server.broken["sendToDevice"] = 1
    failed = await world.send("hello", ANNA)
    assert isinstance(failed, MatrixError)
    assert anna.read(await world.send("hello", ANNA)) == "hello"


@pytest.mark.parametrize("call", ["keys/query", "keys/claim"])
async def test_a_failed_question_fails_the_message_and_the_repeat_succeeds(world: World, anna: Peer, call: str) -> None:
    world.server.broken[call] = 1
    assert isinstance(await world.send("hello", ANNA), MatrixError)
    assert anna.read(await world.send("hello", ANNA)) == "hello"


async def test_one_failing_room_does_not_fail_the_others(world: World, anna: Peer) -> None:
    ben = Peer(world.server, BEN)
    await world.send("known", BEN, room_id="!ben:test")
    world.server.broken["keys/query"] = 1
    hers, his = await world.engine.encrypt([message("a", ANNA), message("b", BEN, room_id="!ben:test")])
    assert isinstance(hers, MatrixError)
    assert ben.read(his, "!ben:test") == "b"


async def test_a_message_that_is_no_json_fails_alone(world: World, anna: Peer) -> None:
    bad, good = await world.engine.encrypt([message("", ANNA, content={"body": "\ud800"}), message("good", ANNA)])
    assert isinstance(bad, ValueError)
    assert anna.read(good) == "good"


async def test_a_group_of_messages_for_many_rooms_is_one_write(world: World) -> None:
    peers = [Peer(world.server, f"@p{number}:test") for number in range(30)]
    requests = [message(f"hello {peer.user_id}", peer.user_id, room_id="!" + peer.device_id) for peer in peers]
    await world.engine.encrypt(requests)
    for peer in peers:
        peer.take_keys()
    before, generation = network(world), world.engine._state.generation
    group = await world.engine.encrypt(requests * 2)
    assert [peer.read(sealed, "!" + peer.device_id) for peer, sealed in zip(peers * 2, group, strict=True)] == [
        f"hello {peer.user_id}" for peer in peers
    ] * 2
    assert (network(world), world.engine._state.generation) == (before, generation)


async def test_keys_of_many_rooms_are_asked_for_in_one_question(world: World) -> None:
    peers = [Peer(world.server, f"@p{number}:test") for number in range(30)]
    await world.engine.encrypt([message("hello", peer.user_id, room_id="!" + peer.device_id) for peer in peers])
    assert world.server.calls["keys/claim"] == 1
    assert len([users for users in world.server.queries if DESK not in users]) == 1


async def test_device_lists_are_asked_for_in_batches(world: World) -> None:
    users = [f"@u{number}:test" for number in range(300)]
    await world.send("hello", *users)
    assert [len(asked) for asked in world.server.queries if DESK not in asked] == [250, 50]


async def test_a_user_id_that_the_homeserver_refuses_keeps_nobody_else_waiting(world: World, anna: Peer) -> None:
    world.server.refused_users.add("@bad id:test")
    ben = Peer(world.server, BEN)
    sealed = await world.send("hello", ANNA, "@bad id:test", BEN)
    assert (anna.read(sealed), ben.read(sealed)) == ("hello", "hello")
    assert list(sealed.unreached) == [("@bad id:test", "", "unreachable")]
    await world.sync(events=[(ROOM, {"sender": "@bad id:test", "content": {}})])


async def test_keys_go_out_in_parts_of_twenty_devices(world: World) -> None:
    peers = [Peer(world.server, f"@p{number}:test") for number in range(45)]
    sealed = await world.send("hello", *(peer.user_id for peer in peers))
    assert world.server.calls["sendToDevice/m.room.encrypted"] == 3
    assert {peer.read(sealed) for peer in peers} == {"hello"}


async def test_when_one_part_fails_the_repeat_reaches_only_the_rest(world: World) -> None:
    peers = [Peer(world.server, f"@p{number}:test") for number in range(45)]
    users = [peer.user_id for peer in peers]
    world.server.broken["sendToDevice"] = 1
    assert isinstance(await world.send("hello", *users), MatrixError)
    world.server.calls.clear()
    sealed = await world.send("hello", *users)
    assert world.server.calls["sendToDevice/m.room.encrypted"] == 1
    assert {peer.read(sealed) for peer in peers} == {"hello"}


@pytest.mark.parametrize("tries", [3, pytest.param(2_100, marks=pytest.mark.long)])
async def test_a_key_that_the_homeserver_does_not_take_for_long_can_be_opened_when_it_does(
    world: World, anna: Peer, tries: int
) -> None:
    """A device follows a ratchet over two thousand messages that it never got, and no further: they are all one."""
    assert anna.read(await world.send("before", ANNA)) == "before"
    ben = Peer(world.server, BEN)
    world.server.broken["sendToDevice"] = tries
    for _ in range(tries):
        assert isinstance(await world.send("after", ANNA, BEN), MatrixError)
    sealed = await world.send("after", ANNA, BEN)
    assert len(set(world.server.not_taken)) == 1
    assert (anna.read(sealed), ben.read(sealed)) == ("after", "after")


async def test_somebody_who_left_cannot_read_the_next_message(world: World, anna: Peer) -> None:
    ben = Peer(world.server, BEN)
    first = await world.send("both", ANNA, BEN)
    second = await world.send("anna only", ANNA)
    assert session_of(first) != session_of(second)
    assert (ben.read(first), ben.read(second), anna.read(second)) == ("both", None, "anna only")


@pytest.mark.parametrize("is_restarted", [False, True], ids=["", "restarted"])
async def test_somebody_whose_key_went_out_without_an_answer_cannot_read_what_comes_after_they_left(
    world: World, anna: Peer, is_restarted: bool
) -> None:
    """The homeserver has passed the key on, and we do not know. It counts as handed out."""
    ben = Peer(world.server, BEN)
    await world.send("between us", ANNA)
    held = world.server.hold("sendToDevice", is_done=True)
    sending = asyncio.create_task(world.send("for both", ANNA, BEN))
    await held.reached.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await held.let_go()
    if is_restarted:
        await world.restart()
    secret = await world.send("not for him", ANNA)
    assert anna.read(secret) == "not for him"
    assert ben.read(secret) is None


async def test_a_device_that_was_deleted_cannot_read_the_next_message(world: World, anna: Peer) -> None:
    phone = Peer(world.server, ANNA)
    assert phone.read(await world.send("one", ANNA)) == "one"
    del world.server.device_keys[ANNA][phone.device_id]
    await world.sync(changed=[ANNA])
    sealed = await world.send("two", ANNA)
    assert (phone.read(sealed), anna.read(sealed)) == (None, "two")


async def test_a_new_device_gets_the_key_with_the_next_message_only(world: World, anna: Peer) -> None:
    first = await world.send("one", ANNA)
    phone = Peer(world.server, ANNA)
    await world.sync(changed=[ANNA])
    second = await world.send("two", ANNA)
    assert session_of(first) == session_of(second)
    assert (phone.read(second), phone.read(first)) == ("two", None)


async def test_news_about_devices_during_the_question_is_not_lost(world: World, anna: Peer) -> None:
    await world.send("one", ANNA)
    await world.sync(changed=[ANNA])
    entry = world.engine._state.users[ANNA]
    asked = len(world.server.queries)
    refresh = asyncio.create_task(world.engine._lists.refresh([ANNA]))
    while len(world.server.queries) == asked:
        await asyncio.sleep(0)
    entry.changes += 1  # as `receive` counts it
    await refresh
    assert entry.stale


async def test_a_session_rotates_after_its_messages_also_inside_a_group(world: World, anna: Peer) -> None:
    group = await world.engine.encrypt([message(str(number), ANNA, rotation_messages=3) for number in range(8)])
    sessions = [session_of(sealed) for sealed in group]
    assert [sessions.count(session) for session in dict.fromkeys(sessions)] == [3, 3, 2]
    assert [anna.read(sealed) for sealed in group] == [str(number) for number in range(8)]


async def test_a_session_rotates_after_its_time(world: World, anna: Peer) -> None:
    first = await world.send("one", ANNA, rotation_ms=60_000)
    world.clock.now += 59
    second = await world.send("two", ANNA, rotation_ms=60_000)
    world.clock.now += 2
    third = await world.send("three", ANNA, rotation_ms=60_000)
    assert session_of(first) == session_of(second) != session_of(third)


async def test_a_session_rotates_when_history_becomes_private(world: World, anna: Peer) -> None:
    first = await world.send("one", ANNA, history_shared=True)
    [key] = anna.take_keys()
    assert (key["content"]["m.shared_history"], key["content"]["shared_history"]) == (True, True)
    second = await world.send("two", ANNA, history_shared=False)
    [key] = anna.take_keys()
    assert "m.shared_history" not in key["content"]
    assert session_of(first) != session_of(second)


async def test_room_keys_carry_our_signed_device_keys(world: World, anna: Peer) -> None:
    world.cross_sign_desk()
    await world.send("one", ANNA)
    [key] = anna.take_keys()
    assert key["sender_device_keys"] == world.server.device_keys[DESK]["DESK1"]


async def test_a_device_without_one_time_keys_does_not_block_and_is_served_later(world: World) -> None:
    """T10: nio would leave it blind for the life of the session."""
    anna, dry = Peer(world.server, ANNA), Peer(world.server, BEN, one_time_keys=0)
    first = await world.send("one", ANNA, BEN)
    assert anna.read(first) == "one"
    assert list(first.unreached) == [(BEN, dry.device_id, "m.no_olm")]
    notices = world.server.take_to_device(BEN, dry.device_id)
    assert [(event["type"], event["content"]["code"]) for event in notices] == [("m.room_key.withheld", "m.no_olm")]
    world.server.one_time_keys[BEN, dry.device_id] |= dry.new_one_time_keys(1)
    assert dry.read(await world.send("too early", ANNA, BEN)) is None
    world.clock.now += 31
    assert dry.read(await world.send("two", ANNA, BEN)) == "two"


async def test_a_device_without_one_time_keys_is_asked_with_growing_pauses_and_told_once(world: World) -> None:
    dry = Peer(world.server, BEN, one_time_keys=0)
    for _ in range(60):
        await world.send("hello", BEN)
        world.clock.now += 10
    assert world.server.calls["keys/claim"] == 5  # at 0, 30, 90, 210 and 450 seconds
    assert len(world.server.take_to_device(BEN, dry.device_id)) == 1
    assert world.server.calls["sendToDevice/m.room_key.withheld"] == 1


async def test_a_device_that_opens_a_session_to_us_is_served_at_once(world: World) -> None:
    dry = Peer(world.server, BEN, one_time_keys=0)
    await world.send("one", BEN)
    dry.take_keys()
    await world.sync(to_device=[dry.share_key()])
    assert dry.read(await world.send("two", BEN)) == "two"


async def test_a_one_time_key_that_the_device_did_not_sign_is_not_used(world: World, anna: Peer) -> None:
    forger = Peer(world.server, "@forger:test")
    world.server.one_time_keys[ANNA, anna.device_id] = forger.new_one_time_keys(3)
    sealed = await world.send("secret", ANNA)
    assert list(sealed.unreached) == [(ANNA, anna.device_id, "m.no_olm")]


# -- who may have a key ------------------------------------------------------------------------------------------------


async def test_the_strict_policy_serves_only_devices_that_their_owner_signed(world: World, anna: Peer) -> None:
    anna.cross_sign()
    other = Peer(world.server, ANNA)
    sealed = await world.send("secret", ANNA, policy="cross-signed-tofu")
    assert list(sealed.unreached) == [(ANNA, other.device_id, "m.unverified")]
    [notice] = world.server.take_to_device(ANNA, other.device_id)
    assert (notice["type"], notice["content"]["code"]) == ("m.room_key.withheld", "m.unverified")
    assert notice["content"]["session_id"] == session_of(sealed)
    assert anna.read(sealed) == "secret"


async def test_a_changed_master_key_pauses_a_user_until_it_is_approved(world: World, anna: Peer) -> None:
    anna.cross_sign()
    first = await world.send("one", ANNA, policy="cross-signed-tofu")
    anna.cross_sign(Identity(world.server, ANNA))
    await world.sync(changed=[ANNA])
    second = await world.send("two", ANNA, policy="cross-signed-tofu")
    assert anna.read(first) == "one"
    assert isinstance(second, Doubted) and [doubt.cause for doubt in second.doubts] == ["identity_changed"]
    assert await world.engine.changed_identities() == [ANNA]
    await world.engine.approve_identity(ANNA)
    assert anna.read(await world.send("three", ANNA, policy="cross-signed-tofu")) == "three"
    assert await world.engine.changed_identities() == []


async def test_who_approves_an_identity_approves_the_one_that_they_were_shown(world: World, anna: Peer) -> None:
    """The homeserver waits until a lead has compared the keys, and shows others."""
    anna.cross_sign()
    assert anna.read(await world.send("one", ANNA, policy=TOFU)) == "one"
    compared = Identity(world.server, ANNA).master
    await world.sync(changed=[ANNA])
    assert isinstance(await world.send("two", ANNA, policy=TOFU), Doubted)
    anna.cross_sign(Identity(world.server, ANNA))
    await world.sync(changed=[ANNA])
    assert await world.engine.approve_identity(ANNA, verified=True, key=compared) is None
    assert isinstance(await world.send("three", ANNA, policy=TOFU), Doubted)


async def test_a_changed_master_key_does_not_silence_a_customer(world: World, anna: Peer) -> None:
    anna.cross_sign()
    await world.send("one", ANNA)
    anna.cross_sign(Identity(world.server, ANNA))
    await world.sync(changed=[ANNA])
    assert anna.read(await world.send("two", ANNA)) == "two"
    assert await world.engine.changed_identities() == [ANNA]


async def test_the_pinned_master_key_survives_a_restart(world: World, anna: Peer) -> None:
    anna.cross_sign()
    await world.send("one", ANNA, policy="cross-signed-tofu")
    anna.cross_sign(Identity(world.server, ANNA))
    await world.restart()
    await world.sync(changed=[ANNA])
    assert isinstance(await world.send("two", ANNA, policy="cross-signed-tofu"), Doubted)


async def test_a_new_device_without_a_signature_stops_the_room_until_a_person_decides(world: World, anna: Peer) -> None:
    anna.cross_sign()
    await world.send("one", ANNA, policy=TOFU)
    added = Peer(world.server, ANNA)
    await world.sync(changed=[ANNA])
    [doubt] = (await world.send("two", ANNA, policy=TOFU)).doubts
    assert (doubt.user, doubt.device, doubt.cause) == (ANNA, added.device_id, "unsigned_device")
    await world.restart()
    assert isinstance(await world.send("two", ANNA, policy=TOFU), Doubted)
    assert isinstance(await world.send("where every device reads", ANNA, room_id="!any"), Sealed)
    assert isinstance(await world.send("about trust", ANNA, despite_doubts=True, policy=TOFU), Sealed)
    await world.engine.trust_device(ANNA, added.device_id)
    sealed = await world.send("two", ANNA, policy=TOFU)
    assert (added.read(sealed), anna.read(sealed)) == ("two", "two")


async def test_a_new_device_that_is_put_out_gets_nothing_and_the_room_goes_on(world: World, anna: Peer) -> None:
    anna.cross_sign()
    await world.send("one", ANNA, policy=TOFU)
    added = Peer(world.server, ANNA)
    await world.sync(changed=[ANNA])
    assert isinstance(await world.send("two", ANNA, policy=TOFU), Doubted)
    await world.engine.block_device(ANNA, added.device_id)
    sealed = await world.send("two", ANNA, policy=TOFU)
    assert (added.read(sealed), anna.read(sealed)) == (None, "two")


async def test_a_new_device_that_its_owner_signs_needs_no_decision(world: World, anna: Peer) -> None:
    identity = anna.cross_sign()
    await world.send("one", ANNA, policy=TOFU)
    added = Peer(world.server, ANNA)
    await world.sync(changed=[ANNA])
    assert isinstance(await world.send("two", ANNA, policy=TOFU), Doubted)
    added.cross_sign(identity)
    await world.sync(changed=[ANNA])
    assert added.read(await world.send("two", ANNA, policy=TOFU)) == "two"


async def test_the_policy_verified_wants_a_person_to_have_looked(world: World, anna: Peer) -> None:
    anna.cross_sign()
    assert anna.read(await world.send("one", ANNA, policy="verified")) is None
    await world.engine.approve_identity(ANNA, verified=True)
    assert anna.read(await world.send("two", ANNA, policy="verified")) == "two"


async def test_a_blocked_device_gets_no_further_key(world: World, anna: Peer) -> None:
    phone = Peer(world.server, ANNA)
    await world.send("one", ANNA)
    await world.engine.block_device(ANNA, phone.device_id)
    sealed = await world.send("two", ANNA)
    assert (phone.read(sealed), anna.read(sealed)) == (None, "two")


async def test_a_remote_server_that_does_not_answer_is_named_and_asked_again_later(world: World, anna: Peer) -> None:
    rita = Peer(world.server, "@rita:remote")
    world.server.failures.add("remote")
    sealed = await world.send("one", ANNA, "@rita:remote")
    assert list(sealed.unreached) == [("@rita:remote", "", "unreachable")]
    before = len(world.server.queries)
    await world.send("two", ANNA, "@rita:remote")
    assert len(world.server.queries) == before
    world.server.failures.clear()
    world.clock.now += 61
    assert rita.read(await world.send("three", ANNA, "@rita:remote")) == "three"


async def test_under_the_policy_verified_an_unreachable_server_stops_the_message(world: World) -> None:
    Peer(world.server, "@rita:remote")
    world.server.failures.add("remote")
    assert isinstance(await world.send("one", "@rita:remote", policy="verified"), Exception)


# -- saved before the wire ---------------------------------------------------------------------------------------------


async def test_many_first_messages_at_once_take_one_one_time_key_of_a_colleague(world: World, anna: Peer) -> None:
    sealed = await asyncio.gather(*(world.send(str(n), ANNA, room_id=f"!{n}") for n in range(20)))
    assert [anna.read(each, f"!{n}") for n, each in enumerate(sealed)] == [str(n) for n in range(20)]
    assert world.server.count(ANNA, anna.device_id) == 9


async def test_olm_ratchets_are_saved_before_their_messages_go_out(world: World, anna: Peer) -> None:
    store = world.store
    assert isinstance(store, MemoryDeskStore)

    def olm_rows() -> list[bytes | None]:
        return [row.secret for row in store.rows.values() if row.table == "mx_olm"]

    at_the_put: list[list[bytes | None]] = []
    world.server.on_to_device = lambda: at_the_put.append(olm_rows())
    for _ in range(3):
        await world.send("hello", ANNA, rotation_messages=1)
        assert at_the_put.pop() == olm_rows() != []


async def test_two_sends_at_once_into_one_room_share_the_key_once(world: World, anna: Peer) -> None:
    one, two = await asyncio.gather(world.send("one", ANNA), world.send("two", ANNA))
    assert session_of(one) == session_of(two)
    assert {anna.read(one), anna.read(two)} == {"one", "two"}
    assert world.server.calls["sendToDevice/m.room.encrypted"] == 1


async def test_a_reload_during_a_key_share_fails_the_message_and_the_repeat_succeeds(world: World, anna: Peer) -> None:
    sending = asyncio.create_task(world.send("hello", ANNA))
    while not world.server.calls["keys/claim"]:
        await asyncio.sleep(0)
    await world.engine.reload()
    result = await sending
    assert isinstance(result, Exception) or anna.read(result) == "hello"
    assert anna.read(await world.send("again", ANNA)) == "again"


async def test_no_index_is_ever_used_for_two_texts(world: World, anna: Peer) -> None:
    """Whatever restarts and reloads happen between the sends."""
    seen: set[tuple[str, int]] = set()
    for number in range(30):
        sealed = await world.send(f"text {number}", ANNA)
        if number % 5 == 1:
            await world.engine.reload()
        if number % 7 == 3:
            await world.restart()
        anna.take_keys()
        [decrypted] = await world.sync(events=[(ROOM, {"sender": DESK, "content": dict(sealed.content)})])
        assert (decrypted.session_id, decrypted.index) not in seen
        seen.add((decrypted.session_id, decrypted.index or 0))
    assert len(seen) == 30
