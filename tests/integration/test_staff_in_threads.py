"""What staff does in threads and on cards, with the real program: who owns, what leaves, what each message's fate
is."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import MARKERS, Fate
from tests.integration.staff_house import House, open_house
from tests.support.databases import TestDatabases
from tests.support.waiting import eventually, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("staff"), synapse, test_databases) as house:
        yield house


@pytest.mark.parametrize("key", ["👀", "👀\ufe0f", "🙋", "🙋🏽", "🙋🏻\u200d♀️"])
async def test_a_reaction_claims_in_every_spelling_of_a_keyboard(house: House, key: str) -> None:
    thread = await house.conversation()
    await house.ben.react(house.room, thread.card, key)
    await thread.told(house.ben, "You have K-")
    await eventually(lambda: house.ben.latest_text(house.room, thread.card).startswith("Ben Li"))


async def test_a_command_claims_and_a_second_claim_loses_with_a_text(house: House) -> None:
    thread = await house.conversation()
    claim = await thread.say(house.ben, "！übernehmen")
    await thread.fate(claim, Fate.DONE)
    late = await house.cleo.react(house.room, thread.card, "👀")
    lost = await thread.told(house.cleo, "was first")
    assert "Ben Li" in lost.body
    await eventually(lambda: late not in {each.event_id for each in house.ben.reactions(house.room)})
    again = await thread.say(house.cleo, "!take")
    await eventually(lambda: len(thread.lines(house.cleo, "was first")) == 2)
    await thread.fate(again, Fate.FAILED)


async def test_taking_the_reaction_back_releases(house: House) -> None:
    thread = await house.conversation()
    claim = await thread.claim(house.ben)
    await house.ben.redact(house.room, claim)
    await eventually(lambda: house.ben.latest_text(house.room, thread.card).startswith("Back in the queue"))
    await thread.claim(house.cleo)
    answer = await thread.say(house.cleo, "Now I look after you.")
    await thread.received("Cleo: Now I look after you.")
    await thread.fate(answer, Fate.DELIVERED)


async def test_a_lead_gives_back_what_a_colleague_has(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    refused = await thread.say(house.cleo, "!release")
    await thread.told(house.cleo, "only the owner Ben Li")
    await thread.fate(refused, Fate.FAILED)
    await thread.fate(await thread.say(house.lea, "!zurückgeben"), Fate.DONE)
    await eventually(lambda: house.ben.latest_text(house.room, thread.card).startswith("Back in the queue"))


async def test_a_clerk_reads_and_notes_and_nothing_else(house: House) -> None:
    thread = await house.conversation()
    claim = await house.dana.react(house.room, thread.card, "👀")
    await thread.told(house.dana, "only agents")
    await eventually(lambda: claim not in {each.event_id for each in house.ben.reactions(house.room)})
    for text in ("plain words", "!note a note", "!r an answer"):
        await thread.fate(await thread.say(house.dana, text), Fate.KEPT)
    everything = await thread.everything_the_customer_has()
    assert not any(text in everything for text in ("plain words", "a note", "an answer"))


async def test_a_colleagues_words_stay_inside_and_are_explained_once(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    for number in range(3):
        await thread.fate(await thread.say(house.cleo, f"from Cleo {number}"), Fate.KEPT)
    await thread.fate(await thread.say(house.lea, "from Lea"), Fate.KEPT)
    end = await thread.say(house.ben, "the end")
    await thread.fate(end, Fate.DELIVERED)
    assert len(thread.lines(house.ben, "only the owner's messages go to the customer (owner: Ben Li)")) == 2
    everything = await thread.everything_the_customer_has()
    assert "from Cleo" not in everything and "from Lea" not in everything


@pytest.mark.parametrize(
    "text",
    [
        "note: secret",
        "!note secret",
        "// secret",
        "/ secret",
        "Notiz: secret",
        "备注：secret",
        "🔒 secret",
        "\u200b// secret",
    ],
)
async def test_every_spelling_of_a_note_stays_inside(house: House, text: str) -> None:
    thread = await shared_thread(house)
    note = await thread.say(house.ben, text)
    await thread.fate(note, Fate.KEPT)


async def test_nothing_of_all_those_notes_reached_the_customer(house: House) -> None:
    thread = await shared_thread(house)
    await thread.say(house.ben, "the last word")
    await thread.received("the last word")
    assert "secret" not in await thread.everything_the_customer_has()


_shared: dict[int, object] = {}


async def shared_thread(house: House):  # type: ignore[no-untyped-def]
    """One conversation for the small cases that only add a message."""
    if id(house) not in _shared:
        _shared[id(house)] = await house.conversation(owner=house.ben)
    return _shared[id(house)]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.message", {"msgtype": "m.notice", "body": "internal kind"}),
        ("m.room.message", {"msgtype": "m.emote", "body": "internal kind"}),
        ("m.room.message", {"msgtype": "m.location", "body": "internal kind", "geo_uri": "geo:1,2"}),
        ("m.sticker", {"body": "internal kind", "url": "mxc://x/y", "info": {}}),
        ("m.poll.start", {"m.poll": {"question": {"m.text": "internal kind"}}, "m.text": "internal kind"}),
        ("org.matrix.msc3381.poll.start", {"org.matrix.msc3381.poll.start": {}, "body": "internal kind"}),
    ],
)
async def test_kinds_that_customers_do_not_get_are_kept_with_a_word(house: House, kind: str, content: dict) -> None:  # type: ignore[type-arg]
    thread = await house.conversation(owner=house.ben)
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": thread.card}}
    event = await house.ben.send(house.room, kind, {**content, **relation})
    await thread.fate(event, Fate.KEPT)
    await thread.told(house.ben, "Kept internal")
    assert "internal kind" not in await thread.everything_the_customer_has()


async def test_an_unknown_command_is_refused_with_a_guess_and_never_sent(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    typo = await thread.say(house.ben, "!relese the secret")
    await thread.told(house.ben, "Did you mean !release?")
    await thread.fate(typo, Fate.FAILED)
    incomplete = await thread.say(house.ben, "!r")
    await thread.told(house.ben, "Usage: !r TEXT")
    await thread.fate(incomplete, Fate.FAILED)
    assert "secret" not in await thread.everything_the_customer_has()


async def test_a_mention_is_held_and_sent_by_a_reaction(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    held = await thread.say(house.ben, "Cleo, can you look?", **{"m.mentions": {"user_ids": [house.cleo.user_id]}})
    await thread.fate(held, Fate.HELD)
    explained = await thread.told(house.ben, "mentions a colleague")
    assert explained.content["m.mentions"] == {"user_ids": [house.ben.user_id]}
    refused = await house.cleo.react(house.room, held, "📤")
    await thread.told(house.cleo, "only the owner Ben Li")
    await eventually(lambda: refused not in {each.event_id for each in house.ben.reactions(house.room)})
    assert thread.markers(held) == [MARKERS[Fate.HELD]]
    await house.ben.react(house.room, held, "📤")
    await thread.received("Cleo, can you look?")
    await thread.fate(held, Fate.DELIVERED)


async def test_help_says_what_the_reader_may_do_and_explains_a_command(house: House) -> None:
    thread = await house.conversation()
    asked = await thread.say(house.dana, "!help")
    short = await thread.told(house.dana, "Thread = customer")
    await thread.fate(asked, Fate.DONE)
    assert "!note" in short.body and "!claim" not in short.body
    await thread.say(house.ben, "！help ！接手")
    one = await thread.told(house.ben, "Who may: agents and leads")
    assert one.body.startswith("!claim [REF] — take the conversation") and "!übernehmen" in one.body
    incomplete = await thread.say(house.ben, "!note")
    usage = await thread.told(house.ben, "Usage: !note TEXT")
    assert "for example: !note the doctor" in usage.body
    await thread.fate(incomplete, Fate.FAILED)


async def test_a_mention_of_the_desk_is_held_too(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    held = await thread.say(house.ben, "desk, help me", **{"m.mentions": {"user_ids": [house.product.desk]}})
    await thread.fate(held, Fate.HELD)


async def test_a_held_message_can_be_kept_inside(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    held = await thread.say(house.ben, "Hello\n// but not this")
    await thread.fate(held, Fate.HELD)
    undo = await thread.say(house.ben, "!undo")
    await thread.fate(held, Fate.KEPT)
    await thread.fate(undo, Fate.DONE)
    await thread.fate(await thread.say(house.cleo, "!undo"), Fate.FAILED)
    await house.ben.react(house.room, held, "📤")
    await thread.say(house.ben, "the end")
    await thread.received("the end")
    assert "but not this" not in await thread.everything_the_customer_has()


async def test_team_chat_stays_team_chat_and_a_reply_beside_the_thread_gets_a_link(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    shown = thread.lines(house.ben, ": Hello")[0]
    await house.ben.say(house.room, "team chat")
    await house.ben.say(house.room, "beside the thread", reply_to=thread.card)
    await house.ben.say(house.room, "beside it again", reply_to=shown.event_id)

    def hints() -> int:
        return len(
            [e for e in house.ben.messages(house.room) if e.thread is None and "Not sent: please write" in e.body]
        )

    await eventually(lambda: hints() >= 2)
    hint = next(e for e in house.ben.messages(house.room) if "Not sent: please write" in e.body)
    assert "https://matrix.to/#/" in hint.body and "?via=" in hint.body
    everything = await thread.everything_the_customer_has()
    assert "team chat" not in everything and "beside" not in everything


async def test_a_reply_in_the_thread_leaves_without_the_note_that_it_quotes(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    note = await thread.say(house.cleo, "// she owes us money")
    body = f"> <{house.cleo.user_id}> // she owes us money\n\nYour invoice is on its way."
    html = "<mx-reply><blockquote>// she owes us money</blockquote></mx-reply>Your <b>invoice</b> is on its way."
    formatted = {"format": "org.matrix.custom.html", "formatted_body": html}
    answer = await house.ben.say(house.room, body, thread=thread.card, reply_to=note, **formatted)
    received = await thread.received("invoice is on its way")
    assert received.body == "Ben: Your invoice is on its way."
    await thread.fate(answer, Fate.DELIVERED)
    hidden = f"> <{house.cleo.user_id}> x\n\n!note hidden behind a quotation"
    await thread.fate(await house.ben.say(house.room, hidden, thread=thread.card, reply_to=note), Fate.KEPT)
    everything = await thread.everything_the_customer_has()
    assert "owes us" not in everything and "hidden" not in everything


async def test_an_edit_of_an_answer_follows_it_and_one_of_a_note_stays_inside(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    answer = await thread.say(house.ben, "first version")
    received = await thread.received("first version")
    note = await thread.say(house.ben, "// private")
    await thread.fate(note, Fate.KEPT)
    await house.ben.edit(house.room, answer, "second version")
    await house.ben.edit(house.room, note, "no longer private")
    await thread.customer.wait_for(
        thread.chat, lambda seen: seen.replaces == received.event_id and "second version" in seen.body
    )
    await thread.say(house.ben, "the end")
    await thread.received("the end")
    everything = await thread.everything_the_customer_has()
    assert "private" not in everything
    assert len([each for each in thread.customer.messages(thread.chat) if "version" in each.body]) == 1
    assert thread.markers(note) == [MARKERS[Fate.KEPT]]


async def test_an_edit_that_would_be_a_note_does_not_follow_and_its_author_hears_it(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    answer = await thread.say(house.ben, "what was sent")
    await thread.received("what was sent")
    await house.ben.edit(house.room, answer, "// what was meant")
    await thread.told(house.ben, "the new words are a note")
    assert "meant" not in await thread.everything_the_customer_has()


async def test_an_answer_that_is_taken_back_goes_at_the_customers_too(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    answer = await thread.say(house.ben, "said too soon")
    received = await thread.received("said too soon")
    await thread.fate(answer, Fate.DELIVERED)
    await house.ben.redact(house.room, answer)

    def is_gone() -> bool:
        return all(each.event_id != received.event_id for each in thread.customer.messages(thread.chat))

    await eventually(is_gone, what="the answer is gone at the customer's")


async def test_a_customer_who_left_is_not_told_anything_and_the_author_hears_why(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    await thread.customer.leave_room(thread.chat)
    await house.desk_knows_that_left(thread.customer.user_id)
    answer = await thread.say(house.ben, "Are you still there?")
    failed = await thread.told(house.ben, "the customer left the room")
    assert failed.body.startswith("⚠️ Not sent to anna")
    assert failed.content["m.mentions"] == {"user_ids": [house.ben.user_id]}
    await thread.fate(answer, Fate.FAILED)


async def test_every_message_of_a_busy_thread_has_exactly_one_marker(house: House) -> None:
    """How soon is judged in turns (test_fates_at_once) and measured (benchmarks/relay.py)."""
    thread = await house.conversation(owner=house.ben)
    events: list[str] = []
    said = [
        "answer one",
        "// note",
        "!who",
        "!nonsense",
        "answer two",
        "Hello\n// inside",
        "!note x",
        "!r answer three",
    ]
    for text in said:
        event = await thread.say(house.ben, text)
        events.append(event)
        await eventually(lambda event=event: thread.markers(event))  # type: ignore[misc]
    await settled(lambda: [thread.markers(event) for event in events], quiet_s=1)
    assert [thread.markers(event) for event in events] == [
        [MARKERS[fate]]
        for fate in (
            Fate.DELIVERED, Fate.KEPT, Fate.DONE, Fate.FAILED, Fate.DELIVERED, Fate.HELD, Fate.KEPT, Fate.DELIVERED,
        )
    ]  # fmt: skip


async def test_nothing_went_wrong_inside(house: House) -> None:
    errors = [
        line for line in house.product.log_text().splitlines() if '"level": "error"' in line or "Traceback" in line
    ]
    assert errors == []
