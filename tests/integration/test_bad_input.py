"""What is too big, malformed or hostile, and a homeserver that misbehaves, with the real program: nothing is lost,
nothing is sent twice, and nobody else waits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from messenger.matrix.http import CLIENT, path
from tests.integration.bad_homeserver import Proxy
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.timeline import Seen
from tests.support.waiting import eventually, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(synapse: Synapse) -> AsyncIterator[Proxy]:
    proxy = Proxy(synapse)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, proxy: Proxy, test_databases: TestDatabases
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("bad")
    async with open_house(folder, synapse, test_databases, staff=["ben"], behind=proxy) as house:
        yield house


@pytest.fixture(autouse=True)
def _a_good_homeserver_at_first(proxy: Proxy) -> None:
    proxy.rules.clear()


@pytest.mark.parametrize("size", [pytest.param(29_000, marks=pytest.mark.long), 36_000])
async def test_a_text_as_long_as_an_event_can_be_goes_both_ways_whole(house: House, size: int) -> None:
    thread = await house.conversation(owner=house.ben)
    asked, answered = (" ".join(f"{word}{n:06}" for n in range(size // 11)) for word in ("word", "mots"))
    await thread.customer.say(thread.chat, asked)
    await thread.told(house.ben, asked[-40:])
    assert words_of(thread.lines(house.ben, "word0")) == asked.split(), "all parts, in order"
    await thread.say(house.ben, answered)
    await thread.received(answered[-40:])
    parts = [each for each in thread.customer.messages(thread.chat) if "mots0" in each.body]
    assert words_of(parts) == answered.split()


def words_of(parts: Sequence[Seen]) -> list[str]:
    """Without the name that stands before each part."""
    return " ".join(each.body.partition(": ")[2] for each in parts).split()


async def test_a_text_with_much_markup_arrives_as_plain_words(house: House) -> None:
    thread = await house.conversation()
    html = "<b>" + "x" * 14_000 + "</b>"
    formatted = {"format": "org.matrix.custom.html", "formatted_body": html}
    await thread.customer.say(thread.chat, "y" * 20_000, **formatted)
    shown = await thread.told(house.ben, "y" * 100)
    assert "y" * 20_000 in shown.body and "x" * 100 not in shown.content.get("formatted_body", "")


MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("m.room.message", {}),
    ("m.room.message", {"msgtype": 7, "body": ["x"]}),
    ("m.room.message", {"msgtype": "m.text"}),
    ("m.room.message", {"msgtype": "m.text", "body": None, "formatted_body": 1, "format": []}),
    ("m.room.message", {"msgtype": "m.image", "body": "p", "file": "no", "info": []}),
    ("m.room.message", {"msgtype": "m.file", "body": "p", "file": {"url": 1, "key": [], "hashes": "x", "iv": {}}}),
    ("m.room.message", {"msgtype": "m.text", "body": "\x00 \u202e"}),
    ("\x00\u202e" * 20, {"a": 1}),
]  # fmt: skip


async def test_malformed_messages_of_a_customer_stop_nothing(house: House) -> None:
    thread = await house.conversation()
    for kind, content in MALFORMED:
        await thread.customer.send(thread.chat, kind, content)
    await thread.customer.say(thread.chat, "and a good one")
    await thread.told(house.ben, "and a good one")


async def test_malformed_messages_of_staff_stop_nothing_and_leak_nothing(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    relation = {"rel_type": "m.thread", "event_id": thread.card}
    for kind, content in MALFORMED:
        await house.ben.send(house.room, kind, {"m.relates_to": relation, **content})
    await thread.say(house.ben, "and a good one")
    await thread.received("and a good one")


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src='https://tracker.example/x.png' onerror='x()'>",
        "<a href='javascript:alert(1)'>click</a>",
        "<svg/onload=alert(1)>",
        "<span style='position:fixed'>over</span>",
        "<mx-reply>quoted</mx-reply>",
        "<div>" * 300 + "deep",
        "<a href='https://matrix.to/#/@room'>@room</a>",
    ],
)
async def test_hostile_markup_is_harmless_on_both_sides(house: House, html: str) -> None:
    thread = await shared_thread(house)
    token = f"harmless{abs(hash(html))}"
    formatted = {"format": "org.matrix.custom.html", "formatted_body": f"{token} {html}"}
    await thread.customer.say(thread.chat, token, **formatted)
    await thread.say(house.ben, f"{token} back", **formatted)
    shown, received = await thread.told(house.ben, token), await thread.received(f"{token} back")
    for seen in (shown, received):
        markup = seen.content.get("formatted_body", "").lower()
        for word in ("<script", "<img", "javascript:", "onload", "onerror", "style=", "<svg", "quoted"):
            assert word not in markup
    assert received.content["m.mentions"] == {}
    assert shown.content["m.mentions"] == {"user_ids": [house.ben.user_id]}


_shared: dict[int, Thread] = {}


async def shared_thread(house: House) -> Thread:
    if id(house) not in _shared:
        _shared[id(house)] = await house.conversation(owner=house.ben)
    return _shared[id(house)]


async def test_an_event_near_the_limit_that_is_not_ours_to_relay_is_harmless(house: House) -> None:
    thread = await house.conversation()
    body = {"msgtype": "m.text", "body": "z" * 60_000}
    await thread.customer.server.call(
        "PUT", f"{CLIENT}/rooms/{path(thread.chat, 'send', 'm.room.message', 'huge')}", body
    )
    await thread.received("was not encrypted")
    await thread.customer.say(thread.chat, "smaller")
    await thread.told(house.ben, "smaller")


def to_room(room: str) -> str:
    return f"PUT .*/rooms/{path(room).replace('%21', '!').replace('%3A', ':')}/send/".replace("!", "(?:!|%21)")


async def test_a_throttled_answer_waits_while_other_conversations_go_on(house: House, proxy: Proxy) -> None:
    slow, quick = await house.conversation(owner=house.ben), await house.conversation(owner=house.ben)
    rule = proxy.throttle(to_room(slow.chat), times=4, wait_ms=1500)
    waiting = [await slow.say(house.ben, f"slow {number}") for number in range(3)]
    await quick.say(house.ben, "quick")
    await quick.received("Ben: quick")
    assert rule.hits < 4, "the throttled one still waits"
    await slow.received("Ben: slow 2")
    texts = [each.body for each in slow.customer.messages(slow.chat, sender=house.product.desk)]
    assert [text for text in texts if "slow" in text] == ["Ben: slow 0", "Ben: slow 1", "Ben: slow 2"]
    for event in waiting:
        await slow.fate(event, Fate.DELIVERED)


@pytest.mark.parametrize(
    "after", [pytest.param(False, id="before", marks=pytest.mark.long), pytest.param(True, id="after")]
)
async def test_a_line_that_is_cut_while_sending_loses_and_doubles_nothing(
    house: House, proxy: Proxy, after: bool
) -> None:
    thread = await house.conversation(owner=house.ben)
    proxy.cut("PUT .*/send/", times=4, after=after)
    proxy.cut("PUT .*/sendToDevice/", times=1, after=after)
    answers = [await thread.say(house.ben, f"answer {number}") for number in range(4)]
    asked = [await thread.customer.say(thread.chat, f"question {number}") for number in range(4)]
    assert len(answers) == len(asked) == 4
    await thread.received("answer 3")
    await thread.told(house.ben, "question 3")
    await settled(lambda: len(thread.customer.events(thread.chat)), quiet_s=1)
    said = [each.body for each in thread.customer.messages(thread.chat, sender=house.product.desk)]
    assert [text for text in said if text.startswith("Ben: answer")] == [f"Ben: answer {number}" for number in range(4)]
    shown = [each.body.rpartition(": ")[2] for each in thread.lines(house.ben, ": question")]
    assert shown == [f"question {number}" for number in range(4)]


async def test_a_homeserver_that_answers_with_errors_for_a_while_is_waited_for(house: House, proxy: Proxy) -> None:
    thread = await house.conversation(owner=house.ben)
    proxy.fail("GET .*/sync", times=1)
    proxy.fail("GET .*/sync", times=1, status=500)
    proxy.cut("GET .*/sync", times=1)
    proxy.fail("PUT .*/send/", times=2, status=503)
    proxy.fail("POST .*/keys/", times=2)
    await thread.customer.say(thread.chat, "through all that")
    await thread.say(house.ben, "an answer through all that")
    await thread.told(house.ben, "through all that")
    await thread.received("an answer through all that")


async def test_a_homeserver_that_wants_to_be_asked_more_rarely_is_obeyed_and_nothing_is_lost(
    house: House, proxy: Proxy
) -> None:
    thread = await house.conversation(owner=house.ben)
    rules = [proxy.throttle(f"{asked}$", times=2, wait_ms=300) for asked in ("GET .*/sync", "POST .*/keys/query")]
    newcomer = await house.conversation(owner=house.ben)
    await thread.customer.say(thread.chat, "after all those pauses")
    await thread.say(house.ben, "an answer after all those pauses")
    await thread.told(house.ben, "after all those pauses")
    await thread.received("an answer after all those pauses")
    await newcomer.say(house.ben, "welcome")
    await newcomer.received("welcome")
    assert [rule.hits for rule in rules] == [2, 2]


async def test_a_file_waits_for_room_on_the_homeservers_disk(house: House, proxy: Proxy) -> None:
    """And what was written after it waits behind it."""
    thread = await house.conversation(owner=house.ben)
    rule = proxy.fail("POST .*/upload", times=2, status=507)
    await thread.customer.send_file(thread.chat, b"a text of some length", name="full.txt", mimetype="text/plain")
    await thread.customer.say(thread.chat, "did it arrive?")
    await thread.told(house.ben, "did it arrive?")
    assert rule.hits == 2
    [file], [text] = thread.lines(house.ben, "full.txt"), thread.lines(house.ben, "did it arrive?")
    order = [each.event_id for each in house.ben.messages(house.room, thread=thread.card)]
    assert order.index(file.event_id) < order.index(text.event_id)


async def test_an_answer_that_is_no_json_is_no_answer(house: House, proxy: Proxy) -> None:
    thread = await house.conversation(owner=house.ben)
    proxy.fail("GET .*/sync", times=2, status=200)
    await thread.customer.say(thread.chat, "after the nonsense")
    await thread.told(house.ben, "after the nonsense")


async def test_a_chat_that_cannot_be_entered_at_once_is_entered_later(house: House, proxy: Proxy) -> None:
    proxy.throttle("POST .*/join/", times=1, wait_ms=500)
    proxy.fail("GET .*/rooms/[^/]+/state$", times=1)
    thread = await house.conversation("Hello through a bad door")
    await thread.received("Linden Health")


@pytest.mark.parametrize("how", [pytest.param("kick", marks=pytest.mark.long), "ban"])
async def test_a_desk_that_was_thrown_out_says_so_and_comes_back_when_it_is_asked(house: House, how: str) -> None:
    customer, desk = await house.people.person("anna"), house.product.desk
    chat = await customer.create_room(invite=[desk], is_direct=True, wait_until_joined=True)
    thread = await house.asked(customer, chat, "Hello", owner=house.ben)
    room = f"{CLIENT}/rooms/{path(chat)}"
    await customer.server.call("POST", f"{room}/{how}", {"user_id": desk})
    await thread.told(house.ben, "no longer in the room of")
    lost = await thread.say(house.ben, "nobody reads this")
    await thread.fate(lost, Fate.FAILED)
    if how == "ban":
        await customer.server.call("POST", f"{room}/unban", {"user_id": desk})
    await customer.invite(chat, desk)
    await customer.wait_for_members(chat, [desk])
    await customer.say(chat, "there you are")
    await thread.told(house.ben, "there you are")
    await thread.say(house.ben, "here again")
    await thread.received("here again")


async def test_the_program_lives_and_worked_everything_off(house: House) -> None:
    assert house.product.is_running
    thread = await house.conversation(owner=house.ben)
    await asyncio.gather(*(thread.customer.say(thread.chat, f"end {number}") for number in range(3)))
    for number in range(3):
        await thread.told(house.ben, f"end {number}")
    lines = house.product.log_text().splitlines()
    unknown = [line for line in lines if "inbox row failed" in line or "cannot be converted" in line]
    assert unknown == []
    await eventually(house.nothing_is_left)
