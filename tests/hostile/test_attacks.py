"""Twelve attacks of a dishonest homeserver, each in an office of its own, and some more. After each: the attacker reads
nothing, everything relayed is its author's, and somebody has been told.

`test_honest.py` has the same traffic without the attack, and no alarm."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import vodozemac

from tests.hostile.oracle import assert_unharmed, leaked
from tests.hostile.scene import Office, Scene
from tests.support.device import Device
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def office(scene: Scene) -> AsyncIterator[Office]:
    yield await scene.office()
    scene.spy.devices.clear()


def room_key(device: Device, room: str) -> dict[str, str]:
    """At the device's present place in its session, as it gives it to others."""
    return dict(device.room_key(room))


def fake_words(scene: Scene, device: Device, room: str, mark: str) -> dict[str, object]:
    """A message for the room, whose key the desk has got from this device."""
    scene.to_desk(device, "m.room_key", room_key(device, room))
    return device.encrypt(room, "m.room.message", {"msgtype": "m.text", "body": mark})


# 1. swapped sender


async def test_words_of_one_under_the_name_of_another_are_not_passed_on(scene: Scene, office: Office) -> None:
    mallory, forged = scene.spy.account("mallory"), [scene.forged_mark() for _ in range(2)]
    in_chat = fake_words(scene, mallory.device, office.chat, forged[0])
    scene.put(office.chat, office.customer.user_id, "m.room.encrypted", in_chat)
    in_thread = fake_words(scene, mallory.device, office.room, forged[1])
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": office.card}}
    scene.put(office.room, office.agent.user_id, "m.room.encrypted", {**in_thread, **relation})
    await office.alarms("foreign_words", words="none of their devices has written")
    await office.ask()
    assert_unharmed(scene)
    assert not any(office.chat_has(mark) for mark in forged)


# 2. replay


async def test_an_old_message_that_comes_again_is_relayed_once(scene: Scene, office: Office) -> None:
    mark = await office.ask()
    old = scene.last_words(office.chat, office.customer)
    scene.put(office.chat, office.customer.user_id, "m.room.encrypted", dict(old["content"]))
    await office.alarms("replayed", words="delivered once more")
    await office.ask()
    assert mark and sum(mark in seen.body for seen in office.room_as_read() if seen.thread == office.card) == 1
    assert_unharmed(scene)


# 3. added member


async def test_a_member_whom_the_homeserver_adds_gets_no_key_and_stops_the_room(scene: Scene, office: Office) -> None:
    ghost = scene.spy.account()
    scene.put(office.room, scene.product.desk, "m.room.member", {"membership": "join"}, state_key=ghost.user_id)
    mark = office.mark(office.customer)
    office.customer.say(office.chat, mark)
    await office.alarms("unexpected_member", words="I have not invited them")
    assert not office.thread_has(mark) and leaked(scene) == []
    await office.decide("!remove", ghost.user_id)
    await office.is_asked(mark)
    assert_unharmed(scene)


# 4. added device


async def test_a_device_that_the_homeserver_adds_gets_no_key_and_stops_the_room(scene: Scene, office: Office) -> None:
    device = scene.spy.device_of(office.agent.account)
    mark = office.mark(office.customer)
    office.customer.say(office.chat, mark)
    await office.alarms("unsigned_device", words=device.device_id)
    assert not office.thread_has(mark) and leaked(scene) == []
    await office.decide("!remove", office.agent.user_id)
    await office.is_asked(mark)
    assert_unharmed(scene)


async def test_a_device_added_to_a_customer_is_told_and_reads_that_chat_alone(scene: Scene, office: Office) -> None:
    """The accepted limit: a customer's chat serves all devices of theirs. Nothing of the team's side is in it."""
    device = scene.spy.device_of(office.customer.account)
    note = office.mark(office.agent)
    office.agent.say(office.room, f"!note {note}", thread=office.card)
    answer = await office.answer()
    await office.alarms("customer_device", words=device.device_id)
    assert leaked(scene) == [answer] and note not in scene.spy.reads(scene.product.desk)
    scene.spy.devices.remove(device)
    assert_unharmed(scene)


# 5. forged and re-shared room keys


async def test_keys_that_are_not_their_senders_change_nothing(scene: Scene, office: Office) -> None:
    mallory = scene.spy.account("mallory")
    true = room_key(office.customer.device, office.chat)
    scene.to_desk(mallory.device, "m.room_key", true)  # re-shared under another device
    session = vodozemac.InboundGroupSession(vodozemac.SessionKey(true["session_key"]))
    exported = session.export_at(session.first_known_index)
    assert exported is not None
    scene.to_desk(mallory.device, "m.forwarded_room_key", {**true, "session_key": exported.to_base64(),
                  "sender_key": office.customer.device.curve25519, "forwarding_curve25519_key_chain": [],
                  "sender_claimed_ed25519_key": office.customer.device.ed25519})  # fmt: skip
    scene.to_desk_as_is("m.room_key", true, sender=office.customer.user_id)  # in clear
    scene.to_desk(mallory.device, "m.room_key", room_key(mallory.device, office.chat), sender=office.customer.user_id)
    await office.alarms("forged_key", words="key of somebody else's messages")
    await office.ask()
    assert_unharmed(scene)


# 6. withheld events


async def test_a_message_that_is_kept_back_is_missed(scene: Scene, office: Office) -> None:
    kept_back = office.mark(office.customer)
    office.customer.device.encrypt(office.chat, "m.room.message", {"msgtype": "m.text", "body": kept_back})
    await office.ask()
    await office.alarms("missing", words="1 did not arrive")
    assert not office.thread_has(kept_back)
    assert_unharmed(scene)


# 7. encryption downgrade


async def test_a_room_that_loses_its_encryption_is_written_to_in_cipher_or_not_at_all(
    scene: Scene, office: Office
) -> None:
    forged = scene.forged_mark()
    for room in (office.chat, office.room):
        scene.put(room, office.lead.user_id, "m.room.encryption", {}, state_key="")
    scene.put(office.chat, office.customer.user_id, "m.room.message", {"msgtype": "m.text", "body": forged})
    await office.alarms("encryption_kept", words="was to be switched off")
    await office.alarms("clear_words", words="came unencrypted")
    await office.ask()
    await office.answer()
    assert_unharmed(scene)

    scene.put(office.room, office.lead.user_id, "m.room.encryption", {"algorithm": "m.none"}, state_key="")
    mark = office.mark(office.customer)
    office.customer.say(office.chat, mark)
    await office.alarms("encryption_off", words="not encrypted as it was")
    assert not office.thread_has(mark)
    await office.decide("!trust", scene.product.desk)
    await office.is_asked(mark)
    assert_unharmed(scene)


# 8. state reset


async def test_a_former_colleague_whom_a_state_reset_brings_back_reads_nothing(scene: Scene, office: Office) -> None:
    async with scene.product.admin() as admin:
        await admin.remove_member(office.name, office.agent.user_id)
    room = scene.world.rooms[office.room]
    await eventually(lambda: room.membership(office.agent.user_id) == "leave", what="the colleague is out")
    former = office.hands_over()
    scene.spy.devices.append(former.device)
    known = [mark for mark, where in scene.offices_of.items() if where is office]
    scene.put(office.room, scene.product.desk, "m.room.member", {"membership": "join"}, state_key=former.user_id)
    scene.put(office.room, scene.product.desk, "m.room.join_rules", {"join_rule": "public"}, state_key="")
    await office.alarms("returned_member", words="is in the room again")
    await office.alarms("room_opened", words="opened to others")
    await office.ask()
    assert_unharmed(scene, known=known)


# 9. huge and malformed payloads


async def test_huge_and_broken_payloads_stop_nothing(scene: Scene, office: Office) -> None:
    broken = office.customer.device.encrypt(office.chat, "m.room.message", {"msgtype": "m.text", "body": "x"})
    put: Callable[[dict[str, object]], str] = lambda content: scene.put(  # noqa: E731 - a name for one line
        office.chat, office.customer.user_id, "m.room.encrypted", content
    )
    put({**broken, "ciphertext": broken["ciphertext"][:-8] + "AAAAAAAA"})
    put({**broken, "ciphertext": "A" * 1_000_000})
    put({"algorithm": "m.megolm.v1.aes-sha2", "session_id": [], "ciphertext": {"a": None}})
    scene.world.rooms[office.chat].timeline[-1]["sender"] = "nobody"  # no event at all
    for body in ("!", {"a": 1}, None, "A" * 100_000):
        scene.to_desk_as_is("m.room.encrypted", {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "zz",
                            "ciphertext": body}, sender=office.customer.user_id)  # fmt: skip
    await office.alarms("malformed", words="broken messages arrive")
    await office.alarms("malformed_keys", words="Broken key messages")
    await office.ask()
    await office.answer()
    assert_unharmed(scene)


# 10. forged history bundles


async def test_keys_of_the_past_that_nobody_may_give_are_not_taken(scene: Scene, office: Office) -> None:
    mallory = scene.spy.account("mallory")
    file = {"url": "mxc://fake.test/x", "v": "v2", "key": {}, "iv": "", "hashes": {}}
    for room in (office.room, office.chat):
        scene.to_desk(mallory.device, "m.room_key_bundle", {"room_id": room, "file": file})
    await office.alarms("forged_history", words="keys for the past of a room")
    await office.ask()
    assert_unharmed(scene)


async def test_the_past_goes_to_no_device_that_a_newcomer_has_not_signed(scene: Scene, office: Office) -> None:

    newcomer = type(office.agent)(scene.world, f"newcomer{office.name}")
    scene.spy.device_of(newcomer.account)
    async with scene.product.admin() as admin:
        await admin.add_agent(newcomer.user_id, "Newcomer")
        await admin.add_member(office.name, newcomer.user_id, "agent")
    room = scene.world.rooms[office.room]
    await eventually(lambda: room.membership(newcomer.user_id) == "invite", what="the newcomer is invited")
    newcomer.join_invites()
    await office.ask()
    assert "m.room_key_bundle" not in scene.spy.kinds()
    assert_unharmed(scene)


# 11. wrong key backup


async def test_a_replaced_key_backup_gets_no_keys(scene: Scene, office: Office) -> None:
    versions, stored = scene.desk_account.backup_versions, scene.desk_account.backup
    theirs = vodozemac.Curve25519SecretKey()
    before = {room: dict(sessions) for room, sessions in stored.items()}
    auth_data = {"public_key": theirs.public_key().to_base64(), "signatures": {}}
    versions.append({"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": auth_data, "version": "99"})
    office.customer.device.rotate(office.chat)
    await office.ask()
    await office.alarms("desk_key_backup", words="key backup was replaced")
    assert {room: dict(sessions) for room, sessions in stored.items()} == before
    versions.pop()
    await office.ask()
    assert_unharmed(scene)


# 12. one-time keys


async def test_one_time_keys_that_are_used_up_for_ever_keep_nobody_out(scene: Scene, office: Office) -> None:
    device = next(each for each in scene.desk_account.devices.values() if each.keys)

    def takes_all() -> bool:
        device.one_time_keys.clear()
        scene.world.wake(scene.product.desk)
        scene.to_desk_as_is("m.dummy", {}, sender=office.customer.user_id)  # makes /sync answer
        return False

    async def is_told() -> bool:
        takes_all()
        return "one_time_keys" in await scene.causes_of_nobody()

    await eventually(is_told, 60, what="it is told")
    await office.alarms("one_time_keys", words="used up again and again")
    stranger = await scene.office()
    await stranger.ask()
    assert_unharmed(scene)


# and


async def test_another_identity_of_a_colleague_stops_the_room_until_a_lead_decides(
    scene: Scene, office: Office
) -> None:
    office.agent.new_identity()
    device = scene.spy.device_of(office.agent.account)
    office.agent.sign(device.device_id)
    mark = office.mark(office.customer)
    office.customer.say(office.chat, mark)
    await office.alarms("identity_changed", words="identity of")
    assert not office.thread_has(mark) and leaked(scene) == []
    await office.decide("!remove", office.agent.user_id)
    office.hands_over()
    await office.is_asked(mark)
    assert_unharmed(scene)


async def test_other_keys_under_the_name_of_a_known_device_are_not_taken(scene: Scene, office: Office) -> None:
    record = next(iter(office.agent.account.devices.values()))
    twin = Device(office.agent.user_id, record.device_id)
    true, record.keys = record.keys, twin.device_keys()
    scene.spy.devices.append(twin)
    scene.world.keys_changed(office.agent.user_id)
    await office.ask()
    await office.alarms("changed_keys", words="other keys for the device")
    assert_unharmed(scene)
    record.keys = true


async def test_another_device_of_the_desk_is_told_and_gets_no_key(scene: Scene, office: Office) -> None:
    device = scene.spy.device_of(scene.desk_account)
    await office.alarms("desk_foreign_devices", words="another device is logged in")
    await office.ask()
    assert_unharmed(scene)
    scene.world.delete_device(scene.desk_account.devices[device.device_id])


async def test_who_was_removed_reads_nothing_that_comes_after(scene: Scene, office: Office) -> None:
    known = [mark for mark, where in scene.offices_of.items() if where is office]
    async with scene.product.admin() as admin:
        await admin.remove_member(office.name, office.agent.user_id)
    room = scene.world.rooms[office.room]
    await eventually(lambda: room.membership(office.agent.user_id) == "leave", what="the colleague is out")
    former = office.hands_over()
    scene.spy.devices.append(former.device)
    await office.ask()
    assert_unharmed(scene, known=known)
