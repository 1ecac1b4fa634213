"""Reactions, replies, edits and deletions across the relay, with the real program and a real homeserver."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from messenger.matrix.http import CLIENT, CLIENT_V1
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    async with open_house(
        tmp_path_factory.mktemp("changes"),
        synapse,
        test_databases,
        staff=("ben", "cleo"),
        more_groups={"Claims": {}},
    ) as house:
        yield house


async def shows(reader: Person, room: str, event: str, sender: str, *keys: str) -> None:
    """Waits until the reactions of this sender on the event are exactly these."""

    def now() -> bool:
        there = [each.key for each in reader.reactions(room) if each.target == event and each.sender == sender]
        return sorted(there) == sorted(keys)

    await eventually(now, what=f"{keys} on {event}")


async def answered(thread: Thread, text: str) -> tuple[str, str]:
    """An answer of Ben's: its event in the thread, and at the customer's."""
    said = await thread.say(thread.house.ben, text)
    received = await thread.received(text)
    await thread.fate(said, Fate.DELIVERED)
    return said, received.event_id


async def relayed(thread: Thread, text: str) -> tuple[str, str]:
    """A message of the customer's: its event in the chat, and in the thread."""
    said = await thread.customer.say(thread.chat, text)
    shown = await thread.told(thread.house.ben, text)
    return said, shown.event_id


async def test_a_customers_reactions_are_shown_on_the_answer_beside_its_marker(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    said, received = await answered(thread, "The money is on its way.")
    checked = await thread.customer.react(thread.chat, received, "✅")
    liked = await thread.customer.react(thread.chat, received, "👍")
    await shows(house.cleo, house.room, said, house.product.desk, "✅", "✅\ufe0f", "👍")
    await thread.customer.redact(thread.chat, checked)
    await shows(house.cleo, house.room, said, house.product.desk, "✅", "👍")
    await thread.customer.redact(thread.chat, liked)
    await shows(house.cleo, house.room, said, house.product.desk, "✅")


async def test_the_owners_reaction_reaches_the_customer_and_a_colleagues_does_not(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    asked, shown = await relayed(thread, "Thank you!")
    liked = await house.ben.react(house.room, shown, "❤️")
    await house.cleo.react(house.room, shown, "👎")
    await house.ben.react(house.room, shown, "📤")
    await shows(thread.customer, thread.chat, asked, house.product.desk, "❤️")
    again = await house.ben.react(house.room, shown, "🎉")
    await shows(thread.customer, thread.chat, asked, house.product.desk, "❤️", "🎉")
    await house.ben.redact(house.room, liked)
    await house.ben.redact(house.room, again)
    await shows(thread.customer, thread.chat, asked, house.product.desk)


async def test_a_customers_reply_is_a_true_one_in_the_thread_and_ours_is_one_at_the_customers(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    said, received = await answered(thread, "Which number is on the letter?")
    mine, shown = await relayed(thread, "I look for it.")
    await thread.customer.say(thread.chat, "It is 4711.", reply_to=received)
    to_answer = await thread.told(house.ben, "It is 4711.")
    assert (to_answer.reply_to, to_answer.is_falling_back) == (said, False)
    await thread.customer.say(thread.chat, "Found it.", reply_to=mine)
    assert (await thread.told(house.ben, "Found it.")).reply_to == shown
    await house.ben.say(house.room, "Take your time.", thread=thread.card, reply_to=shown)
    assert (await thread.received("Take your time.")).reply_to == mine


async def test_the_next_line_of_a_thread_is_no_reply_to_the_last_one(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    _, shown = await relayed(thread, "And the letter?")
    relation = {"rel_type": "m.thread", "event_id": thread.card, "is_falling_back": True}
    relation |= {"m.in_reply_to": {"event_id": shown}}
    await house.ben.say(house.room, "Sent today.", **{"m.relates_to": relation})
    assert (await thread.received("Sent today.")).reply_to is None


async def test_a_reply_to_a_text_of_the_desk_carries_the_words_it_quotes(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    greeting = await thread.customer.wait_for_text(thread.chat, "Linden Health")
    quoted = f"> <{house.product.desk}> Welcome to Linden Health.\n> Who reads this?\n\nAnd who is that?"
    await thread.customer.say(thread.chat, quoted, reply_to=greeting.event_id)
    shown = await thread.told(house.ben, "And who is that?")
    assert shown.body.endswith(": > Welcome to Linden Health. Who reads this?\n\nAnd who is that?")
    assert shown.reply_to is None or shown.is_falling_back
    await thread.customer.say(thread.chat, "without a quotation", reply_to=greeting.event_id)
    await thread.told(house.ben, "without a quotation")


async def test_a_relation_that_nobody_knows_loses_no_words(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    first, _ = await relayed(thread, "first")
    relation = {"rel_type": "org.example.unheard", "event_id": first}
    await thread.customer.say(thread.chat, "related somehow", **{"m.relates_to": relation})
    assert (await thread.told(house.ben, "related somehow")).body.endswith("related somehow")


async def test_a_customers_edit_grows_and_shrinks_in_the_thread(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    mine, shown = await relayed(thread, "short")
    long = "one " * 5_000 + "end of one. " + "two " * 5_000 + "end of two."
    await thread.customer.edit(thread.chat, mine, long)
    rest = await thread.told(house.ben, "end of two.")
    assert "one one" in house.ben.latest_text(house.room, shown)
    await thread.customer.edit(thread.chat, mine, "short again")
    await thread.changed(house.ben, shown, "short again")
    await eventually(lambda: rest.event_id not in {each.event_id for each in house.ben.messages(house.room)})


async def test_what_a_customer_deletes_stands_in_no_event_of_the_teams_room_any_more(house: House) -> None:
    """Not in the copy's own first words, nor in those that it was edited to."""
    thread = await house.conversation(owner=house.ben)
    mine, shown = await relayed(thread, "my number is 4711")
    await thread.customer.edit(thread.chat, mine, "my number is 4712")
    await thread.changed(house.ben, shown, "4712")
    await thread.customer.redact(thread.chat, mine)
    mark = await thread.told(house.cleo, "deleted this message")
    assert mark.reply_to == shown
    for event in await copies_on_server(house, shown):
        assert "ciphertext" not in event["content"]
    await thread.customer.say(thread.chat, "Sorry for that.")
    await thread.told(house.ben, "Sorry for that.")


async def copies_on_server(house: House, event: str) -> list[dict[str, Any]]:
    """The event and all its edits, as the homeserver gives them out."""
    room = quote(house.room, safe="")
    found = await house.ben.server.call("GET", f"{CLIENT}/rooms/{room}/event/{quote(event, safe='')}")
    url = f"{CLIENT_V1}/rooms/{room}/relations/{quote(event, safe='')}/m.replace"
    return [found, *(await house.ben.server.call("GET", url))["chunk"]]


async def test_an_answer_grows_and_shrinks_at_the_customers(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    said, received = await answered(thread, "brief")
    await house.ben.edit(house.room, said, "one " * 5_000 + "end of one. " + "two " * 5_000 + "end of two.")
    rest = await thread.received("end of two.")
    await house.ben.edit(house.room, said, "brief again")
    await thread.customer.wait_for(thread.chat, lambda seen: seen.replaces == received and "brief again" in seen.body)
    await eventually(lambda: rest.event_id not in {each.event_id for each in thread.customer.messages(thread.chat)})


PDF = b"%PDF-1.4\n%%EOF\n"


async def recaption(person: Person, room: str, file: Seen, caption: str) -> None:
    new = {**{key: file.content[key] for key in ("msgtype", "filename", "info", "file")}, "body": caption}
    text = str(new.pop("body"))
    await person.edit(room, file.event_id, text, **new)


async def test_captions_of_files_follow_their_edits_in_both_directions(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    mine = await thread.customer.send_file(thread.chat, PDF, name="letter.pdf", mimetype="application/pdf")
    shown = await thread.told(house.ben, "letter.pdf")
    own = await thread.customer.wait_for(thread.chat, lambda seen: seen.event_id == mine)
    await recaption(thread.customer, thread.chat, own, "page two is missing")
    changed = await thread.changed(house.ben, shown.event_id, "page two is missing")
    assert await house.ben.download(replaced(changed)) == PDF
    await house.ben.send_file(house.room, PDF, name="form.pdf", mimetype="application/pdf", thread=thread.card)
    received = await thread.customer.wait_for(thread.chat, lambda seen: seen.content.get("filename") == "form.pdf")
    sent = await house.ben.wait_for(house.room, lambda seen: seen.content.get("filename") == "form.pdf")
    await recaption(house.ben, house.room, sent, "please sign")
    at_customer = await thread.customer.wait_for(
        thread.chat, lambda seen: seen.replaces == received.event_id and "please sign" in seen.body
    )
    assert await thread.customer.download(replaced(at_customer)) == PDF


def replaced(edit: Seen) -> Seen:
    return replace(edit, content=edit.content["m.new_content"])


async def test_a_file_that_its_sender_takes_back_goes_from_the_thread_and_is_spoken_of(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    mine = await thread.customer.send_file(thread.chat, PDF, name="passport.pdf", mimetype="application/pdf")
    shown = await thread.told(house.ben, "passport.pdf")
    await thread.customer.redact(thread.chat, mine)
    await thread.told(house.ben, "took a file back at")
    await eventually(lambda: shown.event_id not in {each.event_id for each in house.ben.messages(house.room)})


async def test_after_a_hand_over_an_edit_changes_the_old_copy_and_is_read_in_the_new_thread(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    mine, shown = await relayed(thread, "I live in Ulm.")
    await thread.say(house.ben, "!transfer Claims")
    claims = await house.product.group_room("Claims")
    await house.cleo.wait_for_text(claims, "I live in Ulm.")
    await thread.customer.edit(thread.chat, mine, "I live in Bonn.")
    await thread.changed(house.ben, shown, "I live in Bonn.")
    there = await house.cleo.wait_for(claims, lambda seen: "I live in Bonn. (edited" in seen.body)
    await thread.customer.edit(thread.chat, mine, "I live in Rom.")
    await thread.changed(house.ben, shown, "I live in Rom.")
    await house.cleo.wait_for(claims, lambda seen: seen.replaces == there.event_id and "Rom" in seen.body)
    await thread.customer.say(thread.chat, "That was wrong.", reply_to=mine)
    corrected = await house.cleo.wait_for(claims, lambda seen: "That was wrong." in seen.body)
    assert corrected.reply_to == there.event_id


async def test_who_handed_it_over_reads_at_the_old_place_that_an_edit_does_not_follow(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    said, received = await answered(thread, "You get 100 euros.")
    await thread.say(house.ben, "!transfer Claims")
    await thread.told(house.ben, "Claims")
    await house.ben.edit(house.room, said, "You get 200 euros.")
    await thread.told(house.ben, "you do not answer in this conversation now")
    await house.ben.redact(house.room, said)
    await eventually(lambda: received not in {each.event_id for each in thread.customer.messages(thread.chat)})
    assert not [each for each in thread.customer.events(thread.chat) if "200 euros" in each.body]


async def test_nothing_went_wrong_inside(house: House) -> None:
    await settled(lambda: len(house.ben.events(house.room)), quiet_s=1)
    await eventually(house.nothing_is_left, what="all is sent and nothing is dead")
