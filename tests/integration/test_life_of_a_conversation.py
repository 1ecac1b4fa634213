"""The life of a conversation as its people see it: the real program, homeserver and database, encrypted rooms."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.history import cross_sign
from tests.support.people import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    async with open_house(
        tmp_path_factory.mktemp("life"), synapse, test_databases, more_groups={"Prescriptions": {}}
    ) as house:
        yield house


async def test_a_pause_ends_with_the_customers_message_and_a_pack(house: House) -> None:
    thread = await house.conversation("Is my report there?", owner=house.ben)
    paused = await thread.say(house.ben, "!pause reply waiting for the hospital")
    told = await thread.told(
        house.cleo, 'Paused by Ben Li until the customer writes ("waiting for the hospital"). Earlier'
    )
    assert "!resume" in told.body
    await thread.fate(paused, Fate.DONE)
    await card_says(house, thread, house.cleo, "Paused until the customer writes")
    await thread.customer.say(thread.chat, "here it is")
    pack = await thread.told(house.ben, "is back, Ben Li: the customer wrote")
    assert "Is my report there?" in pack.body and "Last comment: waiting for the hospital" in pack.body
    assert pack.body.count("here it is") == 0, "what comes below is not quoted above"
    await thread.told(house.ben, ": here it is")
    assert len(thread.lines(house.ben, "is back")) == 1
    await card_says(house, thread, house.cleo, "Ben Li · ")


async def test_a_colleague_resumes_what_another_has_paused_and_goes_on_with_it(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    await thread.say(house.ben, "!pausieren morgen 9 Rückruf")
    await thread.told(house.cleo, "Paused by Ben Li until ")
    await thread.say(house.cleo, "!resume")
    await thread.told(house.cleo, "Cleo Marsh has K-")
    answer = await thread.say(house.cleo, "I have your report now.")
    assert (await thread.received("I have your report now.")).body.startswith("Cleo: ")
    await thread.fate(answer, Fate.DELIVERED)
    note = await thread.say(house.ben, "thank you Cleo")
    await thread.fate(note, Fate.KEPT)


async def test_a_handed_over_conversation_goes_on_in_the_other_group_with_everything(house: House) -> None:
    thread = await house.conversation("I need a new prescription", owner=house.ben)
    await thread.customer.send_file(thread.chat, b"%PDF-1.4\n%%EOF\n", name="letter.pdf", mimetype="application/pdf")
    await thread.told(house.ben, "letter.pdf")
    await thread.say(house.ben, "!transfer Prescriptions needs a pharmacist")
    there = await house.product.group_room("Prescriptions")
    card = await house.cleo.wait_for(
        there, lambda seen: seen.thread is None and "I need a new prescription" in seen.body
    )
    pack = await house.cleo.wait_for(
        there, lambda seen: seen.thread == card.event_id and "comes from Ben Li" in seen.body
    )
    assert "Last comment: needs a pharmacist" in pack.body and "letter.pdf" in pack.body
    file = await house.cleo.wait_for(there, lambda seen: seen.thread == card.event_id and seen.msgtype == "m.file")
    assert await house.cleo.download(file) == b"%PDF-1.4\n%%EOF\n"
    gone = await thread.told(house.ben, 'to Prescriptions ("needs a pharmacist").')
    assert f"matrix.to/#/{there}" in gone.body.replace("%21", "!").replace("%3A", ":")
    await thread.changed(house.ben, thread.card, "Transferred to Prescriptions")
    await thread.received("A colleague from Prescriptions takes over.")
    late = await thread.say(house.ben, "one more thing")
    await thread.fate(late, Fate.KEPT)
    await thread.told(house.ben, "goes on here")
    await house.cleo.react(there, card.event_id, "👀")
    await house.cleo.wait_for(there, lambda seen: seen.thread == card.event_id and "You have K-" in seen.body)
    await house.cleo.say(there, "The pharmacist has it.", thread=card.event_id)
    await thread.received("The pharmacist has it.")
    everything = await thread.everything_the_customer_has()
    assert "one more thing" not in everything and "pharmacist has it" in everything


async def test_what_was_resolved_is_open_again_when_the_customer_writes(house: House) -> None:
    thread = await house.conversation("Thank you for your help", owner=house.ben)
    await house.ben.react(house.room, thread.card, "✅")
    await thread.told(house.ben, "Resolved by Ben Li: solved.")
    await card_says(house, thread, house.cleo, "Resolved")
    held = await thread.say(house.ben, "by the way")
    await thread.fate(held, Fate.HELD)
    await thread.customer.say(thread.chat, "one more question")
    await thread.told(house.ben, "is open again (Ben Li): the customer wrote")
    await thread.told(house.ben, ": one more question")
    await thread.say(house.ben, "Here is the answer.")
    await thread.received("Here is the answer.")
    assert "by the way" not in await thread.everything_the_customer_has()


async def test_an_answer_that_is_taken_back_in_time_never_leaves(house: House) -> None:
    async with house.product.admin() as admin:
        await admin.change_group("General", hold_seconds=5)
    thread = await house.conversation(owner=house.ben)
    wrong = await thread.say(house.ben, "wrong customer")
    await thread.fate(wrong, Fate.QUEUED)
    await house.ben.redact(house.room, wrong)
    await thread.told(house.ben, "Stopped in time.")
    changed = await thread.say(house.ben, "at nine o'clock")
    await thread.fate(changed, Fate.QUEUED)
    await house.ben.edit(house.room, changed, "at ten o'clock")
    assert (await thread.received("o'clock")).body == "Ben: at ten o'clock"
    assert "wrong customer" not in await thread.everything_the_customer_has()


async def test_the_card_says_that_nobody_vouches_for_the_customers_device_until_somebody_does(house: House) -> None:
    thread = await house.conversation("from the library")
    [first] = [each for each in house.ben.messages(house.room) if each.event_id == thread.card]
    assert "Unverified: the customer has not confirmed the device" in first.body
    await cross_sign(thread.customer.server, thread.customer.device)
    await thread.customer.say(thread.chat, "my own phone again")
    await thread.told(house.ben, "my own phone again")
    await house.ben.wait_for(house.room, lambda seen: seen.replaces == thread.card and "Unverified" not in seen.body)


async def card_says(house: House, thread: Thread, reader: Person, text: str) -> None:
    await reader.wait_for(house.room, lambda seen: seen.replaces == thread.card and text in seen.body)
