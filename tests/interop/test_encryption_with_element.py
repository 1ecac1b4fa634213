"""Element's engine judges the desk's encryption: both ways, in its default mode and when it excludes insecure
devices."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from messenger.demo.synapse import Registered, Synapse
from tests.interop.accounts import new_account
from tests.interop.bare_desk import BareDesk
from tests.interop.conftest import StartElement
from tests.interop.oracle import Element, Isolation
from tests.support.waiting import eventually

pytestmark = pytest.mark.oracle

LogIn = Callable[[], Awaitable[BareDesk]]
BOTH_MODES = pytest.mark.parametrize("isolation", ["all", "signed"])


@pytest.fixture
async def account(synapse: Synapse) -> Registered:
    """The desk's account."""
    return await new_account(synapse)


@pytest.fixture
async def log_in(synapse: Synapse, account: Registered) -> AsyncIterator[LogIn]:
    """Makes devices of the desk's account, each with an empty store."""
    desks: list[BareDesk] = []

    async def new_device() -> BareDesk:
        desks.append(await BareDesk.log_in(synapse, account))
        return desks[-1]

    yield new_device
    for desk in desks:
        await desk.http.close()


@pytest.fixture
async def desk(log_in: LogIn) -> BareDesk:
    return await log_in()


async def person(synapse: Synapse, element: StartElement, isolation: Isolation = "signed") -> Element:
    return await element(await synapse.register(f"person{secrets.token_hex(4)}"), isolation=isolation)


async def room_of(customer: Element, desk: BareDesk) -> str:
    """The customer opens an encrypted room, the desk joins, both know it."""
    room = await customer.create_room(invite=(desk.user_id,), history="shared")
    await desk.join(room)
    await customer.sees_member(room, desk.user_id)
    await desk.sync_once()
    return room


async def text_read_by(desk: BareDesk, event_id: str) -> str:
    event = await eventually(lambda: desk.has_read(event_id), what=f"the desk reads {event_id}")
    assert event is not None
    return str(event.content["body"])


@BOTH_MODES
async def test_texts_and_threads_go_both_ways_without_a_shield(
    synapse: Synapse, element: StartElement, desk: BareDesk, isolation: Isolation
) -> None:
    await desk.ensure_identity()
    customer = await person(synapse, element, isolation)
    room = await room_of(customer, desk)
    question = await customer.send(room, "Grüße 你好 🎉")
    assert await text_read_by(desk, question) == "Grüße 你好 🎉"
    assert desk.events[question].owner_signed
    answer = await desk.send(room, "an answer", thread=question)
    assert (await customer.sees(answer))["thread"] == question
    assert await customer.shield(room, answer) == ("NONE", None)
    further = await customer.send(room, "further", thread=question)
    assert await text_read_by(desk, further) == "further"
    assert customer.undecryptable == []


@BOTH_MODES
async def test_files_arrive_byte_for_byte_both_ways(
    synapse: Synapse, element: StartElement, desk: BareDesk, isolation: Isolation, tmp_path: Path
) -> None:
    await desk.ensure_identity()
    customer = await person(synapse, element, isolation)
    room = await room_of(customer, desk)
    data = secrets.token_bytes(700_001)
    (tmp_path / "letter.pdf").write_bytes(data)
    sent = await customer.send_file(room, tmp_path / "letter.pdf", mime="application/pdf")
    await text_read_by(desk, sent)
    assert await desk.file_in(desk.events[sent]) == data
    returned = await desk.send_file(room, "answer.bin", data)
    await customer.sees(returned)
    assert await customer.sha256_of_file(room, returned) == hashlib.sha256(data).hexdigest()


async def test_a_desk_that_is_not_cross_signed_is_excluded_until_it_is(
    synapse: Synapse, element: StartElement, desk: BareDesk
) -> None:
    """The negative control: it shows that the mode `signed` of the other tests means something."""
    customer = await person(synapse, element, "signed")
    room = await room_of(customer, desk)
    assert await customer.cannot_read(await desk.send(room, "unsigned")) == "UNSIGNED_SENDER_DEVICE"
    withheld = await customer.send(room, "no key for you")
    await eventually(lambda: verdict_on(desk, withheld, "waiting_key"))
    await desk.ensure_identity()
    await eventually(lambda: can_now_read(customer, desk, room))
    await customer.do("rotate", room=room)
    assert await text_read_by(desk, await customer.send(room, "now you may")) == "now you may"


async def verdict_on(desk: BareDesk, event_id: str, state: str) -> bool:
    await desk.sync_once()
    return event_id in desk.events and desk.events[event_id].state == state


async def can_now_read(customer: Element, desk: BareDesk, room: str) -> bool:
    """The customer's client learns of the signature by a sync, so an early message may still be refused."""
    sent = await desk.send(room, "signed")
    seen = await customer.waits_for(lambda each: each["ev"] in ("event", "utd") and each["id"] == sent)
    return bool(seen["ev"] == "event")


async def test_the_default_mode_shows_a_red_shield_on_a_desk_that_is_not_cross_signed(
    synapse: Synapse, element: StartElement, desk: BareDesk
) -> None:
    customer = await person(synapse, element, "all")
    room = await room_of(customer, desk)
    sent = await desk.send(room, "unsigned")
    await customer.sees(sent)
    assert await customer.shield(room, sent) == ("RED", "UNSIGNED_DEVICE")


async def test_the_desks_recovery_key_reads_all_old_messages_in_element(
    synapse: Synapse, element: StartElement, desk: BareDesk, account: Registered
) -> None:
    identity = await desk.ensure_identity()
    customer = await person(synapse, element)
    room = await room_of(customer, desk)
    await text_read_by(desk, await customer.send(room, "from the customer"))
    await customer.sees(await desk.send(room, "from the desk"))
    backed_up = await desk.backup(identity).upload_pending()
    operator = await element(account, recovery_key=identity.recovery_key)
    restored = operator.info["restored"]
    assert restored["total"] == restored["imported"] == backed_up >= 2
    assert restored["backup_trusted"]
    assert {"from the customer", "from the desk"} <= set(await operator.texts(room))


async def test_a_desk_that_lost_its_database_reads_old_messages_again(
    synapse: Synapse, element: StartElement, desk: BareDesk, log_in: LogIn
) -> None:
    identity = await desk.ensure_identity()
    customer = await person(synapse, element)
    room = await room_of(customer, desk)
    theirs = await customer.send(room, "from the customer")
    await text_read_by(desk, theirs)
    ours = await desk.send(room, "from the desk")
    backed_up = await desk.backup(identity).upload_pending()
    fresh = await log_in()
    restored = await fresh.ensure_identity(recovery_key=identity.recovery_key)
    assert (restored.mode, restored.fingerprint) == ("restored", identity.fingerprint)
    assert await fresh.backup(restored).restore() == backed_up
    customers, desks = await fresh.fetch(room, theirs), await fresh.fetch(room, ours)
    assert (customers.state, customers.content["body"]) == ("new", "from the customer")
    # Its own former device is another device now: what that wrote can be read, but does not count as the desk's word.
    assert (desks.state, desks.content["body"]) == ("quarantine", "from the desk")
    assert await fresh.backup(restored).upload_pending() == 0, "what came from the backup is in it already"


async def test_the_new_device_of_a_restored_desk_is_trusted_at_once(
    synapse: Synapse, element: StartElement, desk: BareDesk, log_in: LogIn
) -> None:
    identity = await desk.ensure_identity()
    customer = await person(synapse, element)
    room = await room_of(customer, desk)
    fresh = await log_in()
    await fresh.ensure_identity(recovery_key=identity.recovery_key)
    await fresh.sync_once()
    sent = await fresh.send(room, "back again")
    await customer.sees(sent)
    assert await customer.shield(room, sent) == ("NONE", None)
    assert await text_read_by(fresh, await customer.send(room, "welcome back")) == "welcome back"


async def test_a_colleague_who_is_invited_later_reads_the_whole_conversation(
    synapse: Synapse, element: StartElement, desk: BareDesk
) -> None:
    await desk.ensure_identity()
    first, late = await person(synapse, element), await person(synapse, element)
    room = await desk.create_room(invite=[first.user_id])
    await first.is_invited(room)
    await first.join(room)
    earlier = [f"message {number}" for number in range(5)]
    for text in earlier:
        await first.sees(await desk.send(room, text, policy="cross-signed-tofu"))
    shared = await desk.engine.share_history(room, late.user_id)
    assert (shared.sessions, shared.devices) == (1, 1)
    await desk.invite(room, late.user_id)
    await late.is_invited(room)
    await late.join(room)
    await eventually(lambda: has_texts(late, room, earlier))
    new = await desk.send(room, "after the join", policy="cross-signed-tofu")
    await late.sees(new)
    assert await late.shield(room, new) == ("NONE", None)


async def test_a_conversation_that_was_not_to_be_shared_stays_closed_to_a_late_colleague(
    synapse: Synapse, element: StartElement, desk: BareDesk
) -> None:
    """The negative control of the one above."""
    await desk.ensure_identity()
    first, late = await person(synapse, element), await person(synapse, element)
    room = await desk.create_room(invite=[first.user_id])
    await first.is_invited(room)
    await first.join(room)
    closed = await desk.send(room, "not for others", history=False)
    await first.sees(closed)
    assert (await desk.engine.share_history(room, late.user_id)).sessions == 0
    await desk.invite(room, late.user_id)
    await late.is_invited(room)
    await late.join(room)
    await late.sees(await desk.send(room, "after the join"))
    assert "not for others" not in await late.texts(room)


async def test_an_ex_colleague_cannot_read_the_next_message(
    synapse: Synapse, element: StartElement, desk: BareDesk
) -> None:
    await desk.ensure_identity()
    stays, goes = await person(synapse, element), await person(synapse, element)
    room = await desk.create_room(invite=[stays.user_id, goes.user_id])
    for each in (stays, goes):
        await each.is_invited(room)
        await each.join(room)
    before = await desk.send(room, "for both")
    await stays.sees(before)
    await goes.sees(before)
    await desk.kick(room, goes.user_id)
    after = await stays.sees(await desk.send(room, "for one"))
    sessions_left = {key["session"] for key in await goes.do("export_keys")}
    assert after["wire_content"]["session_id"] not in sessions_left


async def has_texts(element: Element, room: str, texts: list[str]) -> bool:
    assert set(texts) <= set(await element.texts(room))
    return True
