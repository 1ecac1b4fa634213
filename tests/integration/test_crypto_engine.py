"""The life of the engine: one-time keys, broken Olm sessions, restarts, failing transactions, backup."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import vodozemac
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.desk_ports import CryptoRows
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.crypto.one_time_keys import FALLBACK_KEPT_S, StoreIsOlder
from messenger.matrix.crypto.store import PickleKey
from messenger.matrix.engine import RoomKey, SyncCrypto
from messenger.matrix.http import Unreachable
from tests.integration.crypto_homeserver import FakeHomeserver
from tests.integration.crypto_world import DESK, DESK_DEVICE, ROOM, Clock, Peer, World, a_world, event_of, message
from tests.support.desk_store import MemoryDeskStore, SqlDeskStore

ANNA = "@anna:test"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def sql_world(database: AsyncEngine) -> AsyncIterator[World]:
    async with a_world(SqlDeskStore(database, DESK)) as world:
        yield world


@pytest.fixture
def anna(world: World) -> Peer:
    return Peer(world.server, ANNA)


def store_of(world: World) -> SqlDeskStore:
    assert isinstance(world.store, SqlDeskStore)
    return world.store


# -- one-time keys -----------------------------------------------------------------------------------------------------


async def test_a_new_engine_publishes_signed_device_keys_and_fifty_one_time_keys(world: World) -> None:
    published = world.server.device_keys[DESK][DESK_DEVICE]
    assert published == world.engine.device_keys()
    assert published["signatures"][DESK]["ed25519:" + DESK_DEVICE] == world.engine.sign(published)
    assert world.server.count(DESK, DESK_DEVICE) == 50


async def test_a_pool_that_strangers_emptied_is_filled_again(world: World) -> None:
    """T1: nio takes 0 for no news."""
    world.server.one_time_keys.clear()
    await world.sync(one_time_keys=0)
    assert world.server.count(DESK, DESK_DEVICE) == 50


async def test_a_pool_is_filled_below_twenty_five_and_not_before(world: World) -> None:
    uploads = world.server.calls["keys/upload"]
    await world.sync(one_time_keys=25)
    await world.sync()
    assert world.server.calls["keys/upload"] == uploads
    await world.sync(one_time_keys=24)
    assert world.server.calls["keys/upload"] == uploads + 1


async def test_a_lost_answer_to_an_upload_is_repaired_with_the_same_keys(world: World) -> None:
    """T8: the keys arrived, the process died before it noted that. Other keys under their ids would be refused for
    ever."""
    world.server.one_time_keys.clear()
    body: list[object] = []
    real = world.http.call

    async def cut(method: str, url: str, data: object = None, **options: object) -> object:
        await real(method, url, data)
        body.append(data)
        raise Unreachable("cut")

    world.http.call = cut  # type: ignore[method-assign,assignment]
    await world.sync(one_time_keys=0)
    world.http.call = real  # type: ignore[method-assign]
    uploaded = dict(world.server.one_time_keys[DESK, DESK_DEVICE])
    await world.restart()
    await world.sync(one_time_keys=20)
    assert world.server.one_time_keys[DESK, DESK_DEVICE] == uploaded
    assert len(uploaded) == 50


async def test_a_fallback_key_is_published_once_and_replaced_after_its_use_but_not_too_fast(
    world: World, anna: Peer
) -> None:
    sender = (DESK, DESK_DEVICE)
    await world.sync(one_time_keys=50)
    assert world.server.fallback_keys[sender] == {}, "a server that says nothing of them is not asked"
    await world.sync(one_time_keys=50, unused_fallback_keys=[])
    [(first, signed)] = world.server.fallback_keys[sender].items()
    assert signed["fallback"] is True and first.startswith("signed_curve25519:")
    await world.sync(unused_fallback_keys=["signed_curve25519"])
    await world.sync(unused_fallback_keys=[])
    assert list(world.server.fallback_keys[sender]) == [first], "who has just claimed it must be heard first"
    world.clock.now += FALLBACK_KEPT_S
    await world.sync(unused_fallback_keys=[])
    [(second, _)] = world.server.fallback_keys[sender].items()
    assert second != first
    world.server.one_time_keys[sender] = {"late": signed}  # what Anna claimed before it was replaced
    [decrypted] = await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    assert decrypted.content["body"] == "hello"


async def test_a_lost_upload_of_a_fallback_key_is_repeated_with_the_same_key(world: World) -> None:
    sender = (DESK, DESK_DEVICE)
    world.server.broken["keys/upload"] = 1
    await world.sync(one_time_keys=50, unused_fallback_keys=[])
    await world.restart()
    pending = dict(world.engine._state.machine._vodozemac.fallback_key)
    assert len(pending) == 1
    await world.sync(one_time_keys=50, unused_fallback_keys=[])
    assert list(world.server.fallback_keys[sender]) == [f"signed_curve25519:{key_id}" for key_id in pending]


async def test_an_upload_that_fails_is_logged_once_and_tried_with_every_batch(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.server.one_time_keys.clear()
    world.server.broken["keys/upload"] = 3
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            await world.sync(one_time_keys=0)
    assert [record.message for record in caplog.records].count("crypto_upkeep_failed") == 1
    assert world.server.count(DESK, DESK_DEVICE) == 50


async def test_a_first_start_that_fails_can_be_repeated() -> None:
    async with FakeHomeserver().running() as server:
        server.broken["keys/upload"] = 1
        world = World(server, MemoryDeskStore(DESK), Clock())
        with pytest.raises(Exception, match="502"):
            await world.engine.start()
        await world.restart()
        assert server.count(DESK, DESK_DEVICE) == 50
        await world.http.close()


async def test_a_peers_first_message_uses_up_a_one_time_key_for_good(world: World, anna: Peer) -> None:
    key, event = anna.share_key(), anna.say("hello")
    await world.sync(to_device=[key])
    await world.restart()
    await world.sync(to_device=[key])  # the same Olm message again, after the restart
    assert sum(world.engine.refused.values()) == 1
    assert [each.state for each in await world.sync(events=[event])] == ["new"]


# -- whose store, whose device -----------------------------------------------------------------------------------------


async def test_a_store_whose_keys_are_not_the_published_ones_is_refused(world: World) -> None:
    world.server.device_keys[DESK][DESK_DEVICE] = Peer(world.server, DESK, DESK_DEVICE).device_keys()
    with pytest.raises(StoreIsOlder, match="new device"):
        await world.restart()


async def test_an_older_copy_of_the_store_is_noticed_at_the_next_upload(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """T19: the server has one-time keys under the ids that the old account would use again."""
    assert isinstance(world.store, MemoryDeskStore)
    old = dict(world.store.rows)
    for _ in range(3):
        await world.sync(one_time_keys=0)
    world.store.rows = old
    await world.restart()
    with caplog.at_level(logging.CRITICAL):
        await world.sync(one_time_keys=20)
    assert "new login" in caplog.records[-1].__dict__["reason"]


async def test_a_new_login_starts_a_new_olm_account_and_keeps_the_room_keys(world: World, anna: Peer) -> None:
    await world.sync(to_device=[anna.share_key()], events=[anna.say("one")])
    await world.send("hello", ANNA)
    old = world.engine.device_keys()
    renewed = NioEngine(world.http, world.store, user_id=DESK, device_id="DESK2", clock=world.clock)
    world.http.token = f"{DESK}|DESK2"
    await renewed.start()
    world.engine = renewed
    assert set(renewed.device_keys()["keys"].values()).isdisjoint(old["keys"].values())
    assert [each.state for each in await world.sync(events=[anna.say("two")])] == ["new"]
    assert anna.read(await world.send("from the new device", ANNA)) == "from the new device"


async def test_a_pickle_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PickleKey(b"DEFAULT_KEY")


# -- memory and database -----------------------------------------------------------------------------------------------


async def test_a_batch_whose_commit_failed_comes_again_and_is_decrypted(sql_world: World) -> None:
    """T3, T6: memory goes back to what is committed, so the ratchets fit to the repeated batch."""
    anna = Peer(sql_world.server, ANNA)
    key, event = anna.share_key(), anna.say("hello")
    await sql_world.sync()
    store_of(sql_world).fail_next = 2
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await sql_world.sync(to_device=[key], events=[event])
    [decrypted] = await sql_world.sync(to_device=[key], events=[event])
    assert (decrypted.state, decrypted.content["body"]) == ("new", "hello")
    [after] = await sql_world.sync(to_device=[anna.share_key()], events=[anna.say("more")])
    assert after.state == "new"


async def test_memory_is_thrown_away_when_the_work_inside_exclusive_fails(sql_world: World) -> None:
    """Also when nobody calls `reload`: else a key that was never saved would count as known."""
    anna = Peer(sql_world.server, ANNA)
    batch = SyncCrypto(to_device=[anna.share_key()], events=[event := anna.say("hello")])
    await sql_world.engine.prepare(batch)

    async def fail() -> None:
        async with sql_world.engine.exclusive(), sql_world.store.unit() as unit:
            await sql_world.engine.receive(unit, batch)
            await sql_world.engine.flush(unit)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    await sql_world.sync(to_device=batch.to_device, events=[event])
    await sql_world.restart()
    assert [each.state for each in await sql_world.sync(events=[event])] == ["new"]


async def test_a_send_whose_commit_failed_fails_and_its_repeat_is_read(sql_world: World) -> None:
    anna = Peer(sql_world.server, ANNA)
    await sql_world.send("one", ANNA)
    store_of(sql_world).fail_next = 1
    assert isinstance(await sql_world.send("two", ANNA), ConnectionError)
    sealed = await sql_world.send("two", ANNA)
    assert anna.read(sealed) == "two"


async def test_a_commit_that_fails_during_a_key_share_fails_only_that_room(sql_world: World) -> None:
    anna, ben = Peer(sql_world.server, ANNA), Peer(sql_world.server, "@ben:test")
    await sql_world.send("known", ben.user_id, room_id="!ben:test")
    store_of(sql_world).fail_next = 1
    requests = [message("new", ANNA), message("old", ben.user_id, room_id="!ben:test")]
    hers, his = await sql_world.engine.encrypt(requests)
    assert isinstance(hers, ConnectionError)
    assert ben.read(his, "!ben:test") == "old"
    assert anna.read(await sql_world.send("again", ANNA)) == "again"


async def test_in_the_steady_state_a_group_of_sends_is_one_transaction(sql_world: World) -> None:
    requests = [message("hello", ANNA, room_id=f"!{number}") for number in range(40)]
    await sql_world.engine.encrypt(requests)
    store = store_of(sql_world)
    store.units = store.writes = 0
    await sql_world.engine.encrypt(requests)
    assert (store.units, store.writes) == (1, 1)


async def test_nothing_is_written_by_a_batch_that_changes_nothing(sql_world: World) -> None:
    await sql_world.sync()
    store_of(sql_world).writes = 0
    await sql_world.sync()
    assert store_of(sql_world).writes == 0


async def test_everything_works_on_postgresql_across_restarts(sql_world: World) -> None:
    anna = Peer(sql_world.server, ANNA)
    anna.cross_sign()
    for number in range(5):
        [decrypted] = await sql_world.sync(to_device=[anna.share_key()], events=[anna.say(f"to the desk {number}")])
        assert (decrypted.state, decrypted.owner_signed) == ("new", True)
        assert anna.read(await sql_world.send(f"from the desk {number}", ANNA)) == f"from the desk {number}"
        await sql_world.restart()


# -- broken Olm sessions -----------------------------------------------------------------------------------------------


def broken_message(peer: Peer) -> dict[str, object]:
    event = peer.to_desk("m.dummy", {})
    [ours] = event["content"]["ciphertext"].values()
    ours["body"] = ours["body"][:-4] + ("AAAA" if ours["body"][-4:] != "AAAA" else "BBBB")
    return event


async def test_a_broken_olm_session_is_replaced_by_a_new_one_once_an_hour(world: World, anna: Peer) -> None:
    await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    await world.sync(to_device=[broken_message(anna)])
    assert [event["type"] for event in anna.take_keys()] == ["m.dummy"]
    await world.sync(to_device=[broken_message(anna)])
    assert anna.take_keys() == []
    world.clock.now += 3601
    await world.sync(to_device=[broken_message(anna)])
    assert [event["type"] for event in anna.take_keys()] == ["m.dummy"]
    [decrypted] = await world.sync(to_device=[anna.share_key()], events=[anna.say("still here")])
    assert decrypted.state == "new"


def found_no_session(peer: Peer) -> dict[str, object]:
    content = {"algorithm": "m.megolm.v1.aes-sha2", "code": "m.no_olm", "sender_key": peer.curve25519}
    return {"type": "m.room_key.withheld", "sender": peer.user_id, "content": content}


async def test_a_peer_that_found_no_session_is_offered_one(world: World, anna: Peer) -> None:
    await world.sync(events=[anna.say("hello")])
    await world.sync(to_device=[found_no_session(anna)])
    assert [event["type"] for event in anna.take_keys()] == ["m.dummy"]


async def test_a_peer_that_found_no_session_is_offered_one_after_a_restart(world: World, anna: Peer) -> None:
    await world.sync(events=[anna.say("hello")])
    await world.restart()
    await world.sync(to_device=[found_no_session(anna)])
    assert [event["type"] for event in anna.take_keys()] == ["m.dummy"]


async def test_a_peer_of_whom_nothing_else_is_known_yet_is_offered_a_session(world: World, anna: Peer) -> None:
    await world.sync(to_device=[found_no_session(anna)])
    assert [event["type"] for event in anna.take_keys()] == ["m.dummy"]


async def test_a_peer_that_opens_session_after_session_fills_no_store(world: World, anna: Peer) -> None:
    for _ in range(15):
        anna._olm.clear()
        await world.sync(to_device=[anna.to_desk("m.dummy", {})])
    async with world.store.unit() as unit:
        assert len(await unit.read("mx_olm")) == 10


# -- key backup --------------------------------------------------------------------------------------------------------


async def test_every_new_room_key_is_backed_up_once(world: World, anna: Peer) -> None:
    await world.sync(to_device=[anna.share_key()])
    await world.send("ours", ANNA)
    keys = await world.engine.keys_to_back_up(10)
    assert {key.sender_key == anna.curve25519 for key in keys} == {True, False}
    assert [len(await world.engine.keys_to_back_up(1))] == [1]
    await world.engine.keys_to_back_up(10)
    await world.engine.mark_backed_up(keys)
    assert await world.engine.keys_to_back_up(10) == []


async def test_a_better_copy_that_came_during_the_backup_is_backed_up_too(world: World, anna: Peer) -> None:
    earlier, _ = anna.share_key(), anna.say("hello")
    await world.sync(to_device=[anna.share_key()])
    keys = await world.engine.keys_to_back_up(10)
    await world.sync(to_device=[earlier])
    await world.engine.mark_backed_up(keys)
    assert [key.first_index for key in await world.engine.keys_to_back_up(10)] == [0]


class SlowToRead(MemoryDeskStore):
    """What was read reaches who has asked only when `goes_on` is set."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    @asynccontextmanager
    async def look(self) -> AsyncIterator[CryptoRows]:
        async with self.unit() as unit:
            yield unit
        await self.goes_on.wait()


async def test_a_key_that_is_erased_while_it_is_backed_up_does_not_come_back() -> None:
    store = SlowToRead(DESK)
    async with a_world(store) as world:
        await world.sync(to_device=[Peer(world.server, ANNA).share_key()])
        store.goes_on.clear()
        reading = asyncio.create_task(world.engine.keys_to_back_up(10))
        await asyncio.sleep(0)
        await world.engine.forget([ROOM], [])
        store.goes_on.set()
        await world.engine.mark_backed_up(await reading)
        assert [row for row in store.rows.values() if row.table == "mx_megolm"] == []


def room_key(peer: Peer, at: vodozemac.GroupSession | None = None) -> RoomKey:
    session = vodozemac.InboundGroupSession((at or peer.outbound(ROOM).session).session_key)
    exported = session.export_at(session.first_known_index)
    assert exported is not None
    return RoomKey(
        room_id=ROOM,
        session_id=session.session_id,
        sender_key=peer.curve25519,
        ed25519=peer.ed25519,
        session_key=exported.to_base64(),
        first_index=session.first_known_index,
    )


async def test_a_key_from_the_backup_opens_messages_but_vouches_for_nobody(world: World, anna: Peer) -> None:
    anna.cross_sign()
    key, event = room_key(anna), anna.say("old message")
    assert await world.engine.import_keys([key, key, replace(key, session_key="broken")]) == 1
    [decrypted] = await world.sync(events=[event])
    assert (decrypted.state, decrypted.owner_signed, decrypted.reason) == ("new", False, "from_backup")
    assert world.news == {(ROOM, key.session_id)}
    assert await world.engine.import_keys([key]) == 0


async def test_a_key_that_somebody_forwarded_to_the_backup_binds_nobody(world: World, anna: Peer) -> None:
    key, event = room_key(anna), anna.say("old message")
    await world.engine.import_keys([replace(key, forwarding_chain=["A" * 43])])
    [decrypted] = await world.sync(events=[event])
    assert (decrypted.state, decrypted.reason) == ("quarantine", "forwarded")


async def test_a_key_from_the_backup_becomes_authentic_when_its_sender_sends_it(world: World, anna: Peer) -> None:
    anna.cross_sign()
    key, event = room_key(anna), anna.say("old message")
    await world.engine.import_keys([key])
    await world.sync(to_device=[anna.share_key()])
    await world.restart()
    [decrypted] = await world.sync(events=[event])
    assert (decrypted.state, decrypted.owner_signed, decrypted.index) == ("new", True, 0)


async def test_a_forged_key_in_the_backup_gives_way_to_the_senders_own(world: World, anna: Peer) -> None:
    """Same session id, another ratchet: only the session's creator can sign the true one."""
    session = vodozemac.InboundGroupSession(anna.outbound(ROOM).session.session_key)
    exported = bytearray(session.export_at(session.first_known_index).to_base64().encode())  # type: ignore[union-attr]
    exported[60] = ord("A") if exported[60] != ord("A") else ord("B")
    forged = RoomKey(
        room_id=ROOM,
        session_id=session.session_id,
        sender_key=anna.curve25519,
        ed25519=anna.ed25519,
        session_key=exported.decode(),
        first_index=0,
    )
    true_key, event = anna.share_key(), anna.say("hello")
    assert await world.engine.import_keys([forged]) == 1
    await world.sync(to_device=[true_key])
    await world.restart()
    [decrypted] = await world.sync(events=[event])
    assert (decrypted.state, decrypted.reason) == ("new", "")


# -- in parallel -------------------------------------------------------------------------------------------------------


async def test_sending_and_receiving_at_the_same_time_disturb_each_other_not(sql_world: World) -> None:
    peers = [Peer(sql_world.server, f"@p{number}:test", one_time_keys=20) for number in range(5)]

    async def receive() -> list[str]:
        states: list[str] = []
        for number in range(15):
            peer = peers[number % 5]
            peer.rotate(ROOM)
            states += [
                each.state for each in await sql_world.sync(to_device=[peer.share_key()], events=[peer.say("hi")])
            ]
        return states

    async def send(peer: Peer) -> list[object]:
        room = "!" + peer.device_id
        sealed = [
            await sql_world.send(str(number), peer.user_id, room_id=room, rotation_messages=4) for number in range(15)
        ]
        return [peer.read(each, room) for each in sealed]

    states, *read = await asyncio.gather(receive(), *(send(peer) for peer in peers))
    assert states == ["new"] * 15
    assert read == [[str(number) for number in range(15)]] * 5


async def test_an_event_of_our_own_is_known_after_a_restart(world: World) -> None:
    sealed = await world.send("ours", ANNA)
    await world.restart()
    [decrypted] = await world.sync(events=[(ROOM, event_of(DESK, dict(sealed.content)))])
    assert decrypted.content["body"] == "ours"


async def test_a_reload_waits_for_the_commit_of_a_send(sql_world: World) -> None:
    """Otherwise the next send could start from the row before it, and use an index twice."""
    anna, store = Peer(sql_world.server, ANNA), store_of(sql_world)
    await sql_world.send("first", ANNA)
    store.may_commit.clear()
    sending = asyncio.create_task(sql_world.send("second", ANNA))
    async with asyncio.timeout(10):
        await store.waits_to_commit.wait()
    reloading = asyncio.create_task(sql_world.engine.reload())
    following = asyncio.create_task(sql_world.send("third", ANNA))
    await asyncio.wait([reloading, following], timeout=0.2)
    assert not reloading.done() and not following.done()
    store.may_commit.set()
    second, third = await sending, await following
    assert (anna.read(second), anna.read(third)) == ("second", "third")
    indexes = [
        vodozemac.MegolmMessage.from_base64(each.content["ciphertext"]).message_index() for each in (second, third)
    ]
    assert indexes == [1, 2]
    await reloading
