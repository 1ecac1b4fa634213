"""What comes in: keys are taken from whom they belong to, every message is bound to its sender's device, strangers
break nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import vodozemac

from messenger.matrix.crypto.state import Limits
from tests.integration.crypto_world import DESK, DESK_DEVICE, ROOM, Identity, Peer, World, a_world, event_of

ANNA, EVE = "@anna:test", "@eve:test"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
def anna(world: World) -> Peer:
    return Peer(world.server, ANNA)


@pytest.fixture
def eve(world: World) -> Peer:
    return Peer(world.server, EVE)


async def test_a_message_is_decrypted_and_bound_to_its_senders_device(world: World, anna: Peer) -> None:
    [decrypted] = await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    assert (decrypted.state, decrypted.content["body"], decrypted.index) == ("new", "hello", 0)
    assert (decrypted.sender_key, decrypted.device_id, decrypted.owner_signed) == (
        anna.curve25519,
        anna.device_id,
        False,
    )


async def test_a_device_signed_by_its_owner_is_reported_as_such(world: World, anna: Peer) -> None:
    anna.cross_sign()
    [decrypted] = await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    assert decrypted.owner_signed


async def test_a_message_without_sender_key_and_device_id_is_decrypted(world: World, anna: Peer) -> None:
    key, (room, event) = anna.share_key(), anna.say("hello")
    del event["content"]["sender_key"], event["content"]["device_id"]
    [decrypted] = await world.sync(to_device=[key], events=[(room, event)])
    assert decrypted.state == "new"


async def test_the_clear_relation_is_put_back_into_the_content(world: World, anna: Peer) -> None:
    key, (room, event) = anna.share_key(), anna.say("hello")
    event["content"]["m.relates_to"] = {"rel_type": "m.thread", "event_id": "$root"}
    [decrypted] = await world.sync(to_device=[key], events=[(room, event)])
    assert decrypted.content["m.relates_to"]["event_id"] == "$root"


async def test_a_message_before_its_key_waits_and_is_announced_when_the_key_comes(world: World, anna: Peer) -> None:
    key, event = anna.share_key(), anna.say("hello")
    [early] = await world.sync(events=[event])
    assert (early.state, early.reason) == ("waiting_key", "no_session")
    await world.sync(to_device=[key])
    assert (ROOM, event[1]["content"]["session_id"]) in world.news
    assert [late.state for late in await world.again(event)] == ["new"]


def withheld(anna: Peer, event: tuple[str, Any], code: str) -> dict[str, object]:
    content = {
        "room_id": ROOM,
        "session_id": event[1]["content"]["session_id"],
        "code": code,
        "algorithm": "m.megolm.v1.aes-sha2",
        "sender_key": anna.curve25519,
    }
    return {"type": "m.room_key.withheld", "sender": ANNA, "content": content}


async def test_a_withheld_key_is_announced_with_its_code(world: World, anna: Peer) -> None:
    event = anna.say("hello")
    [early] = await world.sync(to_device=[withheld(anna, event, "m.unverified")], events=[event])
    assert world.news == {(ROOM, event[1]["content"]["session_id"])}
    assert (early.state, early.reason) == ("waiting_key", "withheld.unverified")
    await world.restart()
    assert [late.reason for late in await world.sync(events=[event])] == ["withheld.unverified"]


async def test_the_first_code_of_a_sender_holds(world: World, anna: Peer) -> None:
    event = anna.say("hello")
    first, second = (withheld(anna, event, code) for code in ("m.blacklisted", "m.unverified"))
    await world.sync(to_device=[first, second])
    await world.restart()
    [late] = await world.sync(to_device=[second], events=[event])
    assert (late.reason, world.news) == ("withheld.blacklisted", frozenset())


@pytest.mark.parametrize("code", ["m.", "unverified", "m.UNVERIFIED", "m.history_not_shared", "m.x.<b>hello</b>"])
async def test_a_code_that_nobody_knows_says_only_that_there_is_no_key(world: World, anna: Peer, code: str) -> None:
    event = anna.say("hello")
    [early] = await world.sync(to_device=[withheld(anna, event, code)], events=[event])
    assert (early.state, early.reason) == ("waiting_key", "withheld")
    async with world.store.unit() as unit:
        assert [row.clear["code"] for row in await unit.read("mx_withheld")] == ["unknown"]


async def test_a_withheld_notice_of_somebody_else_says_nothing_about_a_message(world: World, anna: Peer) -> None:
    event = anna.say("hello")
    notice = {
        "type": "m.room_key.withheld",
        "sender": EVE,
        "content": {"room_id": ROOM, "session_id": event[1]["content"]["session_id"], "code": "m.blacklisted"},
    }
    [early] = await world.sync(to_device=[notice], events=[event])
    assert early.reason == "no_session"


async def test_a_message_sent_by_one_user_with_anothers_session_is_quarantined(
    world: World, anna: Peer, eve: Peer
) -> None:
    key, (room, event) = anna.share_key(), anna.say("my words")
    [decrypted] = await world.sync(to_device=[key], events=[(room, {**event, "sender": EVE})])
    assert (decrypted.state, decrypted.reason) == ("quarantine", "session_of_another_user")


async def test_a_message_under_a_users_name_with_a_session_of_the_attacker_is_quarantined(
    world: World, anna: Peer, eve: Peer
) -> None:
    await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    key, (room, event) = eve.share_key(), eve.say("I am Anna")
    [decrypted] = await world.sync(to_device=[key], events=[(room, {**event, "sender": ANNA})])
    assert decrypted.state == "quarantine"


async def test_a_session_copied_by_an_attacker_does_not_hide_the_true_one(world: World, anna: Peer, eve: Peer) -> None:
    key, event = anna.share_key(), anna.say("hello")
    copied = eve.to_desk("m.room_key", anna.room_key(ROOM))
    [first] = await world.sync(to_device=[copied], events=[event])
    assert first.state != "new"
    [second] = await world.sync(to_device=[key], events=[event])
    assert (second.state, second.content["body"]) == ("new", "hello")


async def test_a_device_with_somebody_elses_curve_key_does_not_bind(world: World, anna: Peer, eve: Peer) -> None:
    """Eve publishes Anna's Curve25519 key under a device of her own, signed with her own key."""
    key, (room, event) = anna.share_key(), anna.say("hello")
    name = f"curve25519:{eve.device_id}"
    keys = eve.device_keys()
    world.server.device_keys[EVE][eve.device_id] = eve.sign(
        {**keys, "keys": {**keys["keys"], name: anna.curve25519}, "signatures": {}}
    )
    [decrypted] = await world.sync(to_device=[key], events=[(room, {**event, "sender": EVE})])
    assert decrypted.state == "quarantine"


async def test_a_second_device_that_claims_the_same_curve_key_does_not_hide_the_first(world: World, anna: Peer) -> None:
    twin = Peer(world.server, ANNA, "AAA")
    keys = twin.device_keys()
    names = {**keys["keys"], "curve25519:AAA": anna.curve25519}
    del world.server.device_keys[ANNA]["AAA"]
    first = dict(world.server.device_keys[ANNA])
    world.server.device_keys[ANNA] = {"AAA": twin.sign({**keys, "keys": names, "signatures": {}}), **first}
    [decrypted] = await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    assert (decrypted.state, decrypted.device_id) == ("new", anna.device_id)


@pytest.mark.parametrize(
    "moved", [{"rel_type": "m.thread", "event_id": "$theirs"}, {"rel_type": "m.replace", "event_id": "$mine"}]
)
async def test_a_message_that_was_moved_into_another_thread_is_not_read(
    world: World, anna: Peer, moved: dict[str, str]
) -> None:
    """The homeserver may change what stands outside; inside, the author's app has said where it belongs."""
    relation = {"rel_type": "m.thread", "event_id": "$mine", "is_falling_back": True}
    key, (room, event) = anna.share_key(), anna.say("for mine", **{"m.relates_to": relation})
    assert event["content"]["m.relates_to"] == relation
    [honest] = await world.sync(to_device=[key], events=[(room, event)])
    assert honest.state == "new"
    event["content"]["m.relates_to"] = moved
    [opened] = await world.sync(events=[(room, event)])
    assert (opened.state, opened.reason) == ("undecryptable", "other_relation")


async def test_a_message_meant_for_another_room_is_quarantined(world: World, anna: Peer) -> None:
    key = anna.share_key()
    content = anna.encrypt(ROOM, "m.room.message", {"body": "hello"})
    session = anna.outbound(ROOM).session
    assert isinstance(session, vodozemac.GroupSession)
    other = session.encrypt(b'{"type":"m.room.message","content":{},"room_id":"!other:test"}').to_base64()
    [decrypted] = await world.sync(to_device=[key], events=[(ROOM, event_of(ANNA, {**content, "ciphertext": other}))])
    assert (decrypted.state, decrypted.reason) == ("quarantine", "other_room")


async def test_a_room_key_whose_inner_sender_differs_is_refused(world: World, anna: Peer, eve: Peer) -> None:
    key, event = eve.share_key(), eve.say("hello")
    key["sender"] = ANNA
    [decrypted] = await world.sync(to_device=[key], events=[event])
    assert decrypted.state == "waiting_key"
    assert sum(world.engine.refused.values()) == 1


async def test_a_forwarded_room_key_is_never_taken(world: World, anna: Peer, eve: Peer) -> None:
    event = anna.say("hello")
    session = vodozemac.InboundGroupSession(anna.outbound(ROOM).session.session_key)
    exported = session.export_at(session.first_known_index)
    assert exported is not None
    forward = eve.to_desk(
        "m.forwarded_room_key",
        {
            "algorithm": "m.megolm.v1.aes-sha2",
            "room_id": ROOM,
            "session_id": session.session_id,
            "session_key": exported.to_base64(),
            "sender_key": anna.curve25519,
            "sender_claimed_ed25519_key": anna.ed25519,
            "forwarding_curve25519_key_chain": [],
        },
    )
    [decrypted] = await world.sync(to_device=[forward], events=[event])
    assert decrypted.state == "waiting_key"


async def test_a_request_for_our_keys_is_never_answered(world: World, anna: Peer, eve: Peer) -> None:
    await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    request = {
        "type": "m.room_key_request",
        "sender": EVE,
        "content": {
            "action": "request",
            "requesting_device_id": eve.device_id,
            "request_id": "1",
            "body": {
                "algorithm": "m.megolm.v1.aes-sha2",
                "room_id": ROOM,
                "sender_key": anna.curve25519,
                "session_id": anna.outbound(ROOM).session.session_id,
            },
        },
    }
    await world.sync(to_device=[request])
    assert world.server.take_to_device(EVE, eve.device_id) == []


async def test_a_later_copy_of_a_session_never_replaces_an_earlier_one(world: World, anna: Peer) -> None:
    first, event = anna.share_key(), anna.say("zero")
    anna.say("one")
    later = anna.share_key()
    await world.sync(to_device=[first])
    await world.sync(to_device=[later])
    assert world.news == frozenset()
    await world.restart()
    [decrypted] = await world.sync(events=[event])
    assert (decrypted.state, decrypted.index) == ("new", 0)


async def test_an_earlier_copy_of_a_session_opens_messages_that_were_unreadable(world: World, anna: Peer) -> None:
    first, event = anna.share_key(), anna.say("zero")
    later = anna.share_key()
    [early] = await world.sync(to_device=[later], events=[event])
    assert (early.state, early.reason) == ("undecryptable", "before_first_key")
    [late] = await world.sync(to_device=[first], events=[event])
    assert late.state == "new"
    assert len(world.news) == 1


async def test_a_session_keeps_its_ed25519_key(world: World, anna: Peer) -> None:
    """The same Olm sender claims another Ed25519 key than the device's."""
    key, event = anna.share_key(), anna.say("hello")
    await world.sync(to_device=[key], events=[event])
    liar = Liar(world.server, ANNA, anna.device_id, one_time_keys=0)
    liar._account, liar._olm = anna._account, anna._olm
    await world.sync(to_device=[liar.to_desk("m.room_key", anna.room_key(ROOM))])
    assert world.engine.refused == {"Forged": 1}
    [again] = await world.sync(events=[event])
    assert again.state == "new"


async def test_a_claimed_key_that_the_device_does_not_have_is_found_out_when_the_device_is_known(
    world: World, anna: Peer
) -> None:
    hidden = world.server.device_keys.pop(ANNA)
    liar = Liar(world.server, ANNA, anna.device_id, one_time_keys=0)
    liar._account, liar._olm = anna._account, anna._olm
    world.server.device_keys.pop(ANNA)
    event = anna.say("hello")
    await world.sync(to_device=[liar.to_desk("m.room_key", anna.room_key(ROOM))], events=[event])
    world.server.device_keys[ANNA] = hidden
    [decrypted] = await world.sync(events=[anna.say("again")], changed=[ANNA])
    assert (decrypted.state, decrypted.reason) == ("quarantine", "device_keys_contradict")


class Liar(Peer):
    """Names a key inside its Olm messages that is not its own."""

    @property
    def ed25519(self) -> str:
        return "A" * 43


async def test_a_session_keeps_its_flag_for_sharing_when_an_earlier_copy_comes(world: World, anna: Peer) -> None:
    earlier, _ = anna.share_key(), anna.say("hello")
    await world.sync(to_device=[anna.share_key(**{"m.shared_history": True})])
    await world.sync(to_device=[earlier])
    assert [(key.first_index, key.shared_history) for key in await world.engine.keys_to_back_up(5)] == [(0, True)]


async def test_after_a_changed_master_key_no_old_device_counts_as_signed_by_its_owner(world: World, anna: Peer) -> None:
    anna.cross_sign()
    await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    del world.server.device_keys[ANNA][anna.device_id]
    Identity(world.server, ANNA)
    [decrypted] = await world.sync(events=[anna.say("last words")], changed=[ANNA])
    assert (decrypted.state, decrypted.owner_signed) == ("new", False)


async def test_an_unknown_device_makes_a_message_wait_until_the_device_is_known(world: World, anna: Peer) -> None:
    hidden = world.server.device_keys.pop(ANNA)
    [early] = await world.sync(to_device=[anna.share_key()], events=[event := anna.say("hello")])
    assert (early.state, early.reason) == ("waiting_key", "unknown_device")
    world.server.device_keys[ANNA] = hidden
    world.clock.now += 60
    await world.sync()
    assert (ROOM, event[1]["content"]["session_id"]) in world.news
    assert [late.state for late in await world.again(event)] == ["new"]


async def test_a_remote_server_that_does_not_answer_makes_a_message_wait(world: World) -> None:
    remote = Peer(world.server, "@rita:remote")
    world.server.failures.add("remote")
    [early] = await world.sync(to_device=[remote.share_key()], events=[event := remote.say("hello")])
    assert (early.state, early.reason) == ("waiting_key", "unknown_device")
    world.server.failures.clear()
    world.clock.now += 120
    await world.sync(events=[event])
    assert len(world.news) == 1


async def test_a_device_that_was_deleted_meanwhile_still_vouches_for_its_messages(world: World, anna: Peer) -> None:
    await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    world.server.device_keys.pop(ANNA)
    [decrypted] = await world.sync(events=[anna.say("last words")], changed=[ANNA])
    assert decrypted.state == "new"


async def test_the_keys_of_a_device_never_change(world: World, anna: Peer) -> None:
    await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    thief = Peer(world.server, ANNA, anna.device_id)
    [decrypted] = await world.sync(to_device=[thief.share_key()], events=[thief.say("I am Anna")], changed=[ANNA])
    assert decrypted.state == "waiting_key"
    sealed = await world.send("secret", ANNA)
    assert thief.read(sealed) is None


async def test_a_device_without_its_own_signature_is_no_device(world: World, anna: Peer) -> None:
    keys = world.server.device_keys[ANNA][anna.device_id]
    keys["signatures"][ANNA] = {f"ed25519:{anna.device_id}": "A" * 86}
    [decrypted] = await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    assert decrypted.state == "waiting_key"


async def test_another_device_of_the_own_account_is_reported_and_not_believed(world: World) -> None:
    foreign = Peer(world.server, DESK, "FOREIGN")
    [decrypted] = await world.sync(
        to_device=[foreign.share_key()], events=[foreign.say("I am the desk")], changed=[DESK]
    )
    assert (decrypted.state, decrypted.reason) == ("quarantine", "foreign_device")
    assert world.engine.foreign_devices() == ["FOREIGN"]
    assert foreign.read(await world.send("secret", ANNA)) is None


async def test_our_own_message_is_decrypted(world: World, anna: Peer) -> None:
    sealed = await world.send("from us", ANNA)
    [decrypted] = await world.sync(events=[(ROOM, event_of(DESK, dict(sealed.content)))])
    assert (decrypted.state, decrypted.device_id, decrypted.owner_signed) == ("new", DESK_DEVICE, True)


MALFORMED: list[Any] = [
    None,
    7,
    [],
    {},
    {"type": "m.room.encrypted"},
    {"type": "m.room.encrypted", "sender": ANNA, "content": {}},
    {"type": "m.room_key.withheld", "sender": ANNA, "content": {"code": 7}},
]


def malformed_olm(peer: Peer) -> list[Any]:
    own = peer.server.device_keys[DESK][DESK_DEVICE]["keys"]["curve25519:" + DESK_DEVICE]

    def olm(body: Any, kind: Any = 0, sender_key: Any = peer.curve25519) -> Any:
        return {
            "type": "m.room.encrypted",
            "sender": peer.user_id,
            "content": {
                "algorithm": "m.olm.v1.curve25519-aes-sha2",
                "sender_key": sender_key,
                "ciphertext": {own: {"type": kind, "body": body}},
            },
        }

    room_key = {"algorithm": "m.megolm.v1.aes-sha2", "room_id": ROOM, "session_id": "abc"}
    return [
        olm("!!!!"),
        olm("AAAA"),
        olm("AAAA", 1),
        olm("AAAA", 0, "zz"),
        olm("AAAA", 3),
        olm(None),
        olm("AAAA", "0"),
        peer.to_desk("m.room_key", {**room_key, "session_key": "AAAA"}),
        peer.to_desk("m.room_key", {**room_key, "session_key": "§"}),
        peer.to_desk("m.room_key", {}),
        peer.to_desk("m.room_key", {**peer.room_key(ROOM), "session_id": "abc"}),
        peer.to_desk("m.dummy", {}),
    ]


async def test_malformed_to_device_events_are_dropped_and_the_batch_goes_on(
    world: World, anna: Peer, eve: Peer
) -> None:
    hostile = MALFORMED + malformed_olm(eve)
    [decrypted] = await world.sync(to_device=[*hostile, anna.share_key()], events=[anna.say("hello")])
    assert decrypted.state == "new"
    assert sum(world.engine.refused.values()) >= 10


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"content": None, "sender": ANNA},
        {"content": {}, "sender": 5},
        {"content": {"algorithm": "x"}, "sender": ANNA},
        {"content": {"algorithm": "m.megolm.v1.aes-sha2", "session_id": 3, "ciphertext": []}, "sender": ANNA},
        {"content": {"algorithm": "m.megolm.v1.aes-sha2", "session_id": "s", "ciphertext": "AAAA"}, "sender": ANNA},
    ],
)
async def test_a_malformed_room_event_is_undecryptable(world: World, event: Any) -> None:
    [decrypted] = await world.sync(events=[(ROOM, event)])
    assert decrypted.state == "undecryptable"
    assert decrypted.reason


async def test_a_broken_ciphertext_and_a_broken_plaintext_are_undecryptable(world: World, anna: Peer) -> None:
    await world.sync(to_device=[anna.share_key()])
    session = anna.outbound(ROOM).session
    _, event = anna.say("hello")
    swapped = Peer(world.server, ANNA).say("other session")[1]["content"]["ciphertext"]
    plaintexts = [
        b"no json",
        b"[]",
        b'{"type":1,"content":{},"room_id":"!r"}',
        b'{"type":"t","content":{"a":NaN},"room_id":"!r"}',
        b'{"type":"t","content":{"a":"\\ud800"},"room_id":"!room:test"}',
        b"[" * 100_000,
    ]
    ciphertexts = [swapped, *(session.encrypt(text).to_base64() for text in plaintexts)]
    events = [(ROOM, event_of(ANNA, {**event["content"], "ciphertext": text})) for text in ciphertexts]
    decrypted = await world.sync(events=events)
    assert [each.state for each in decrypted] == ["undecryptable"] * len(events)


async def test_sessions_are_loaded_when_they_are_needed_and_memory_stays_bounded() -> None:
    async with a_world(limits=Limits(users=3, inbound_sessions=3, outbound_rooms=3, olm_peers=3)) as world:
        peers = [Peer(world.server, f"@p{number}:test") for number in range(20)]
        events = [peer.say("hello") for peer in peers for _ in range(2)]
        await world.sync(to_device=[peer.to_desk("m.room_key", peer.room_key(ROOM)) for peer in peers])
        later = [peer.say("again") for peer in peers]
        assert [each.state for each in await world.sync(events=later)] == ["new"] * 20
        await world.sync()
        state = world.engine._state
        assert max(len(state.users), len(state.inbound), len(state.olm_peers)) <= 4
        assert [each.state for each in await world.sync(events=later)] == ["new"] * 20
        assert len(events) == 40
