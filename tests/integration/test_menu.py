"""The customer chooses from a menu, on a real database: what came before is shown in its order, and no answer is ever a
message."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import EndMenu, OfferMenu, TellCustomer
from messenger.app.effects.places import PostCard
from messenger.app.effects.thread import RelayToThread
from messenger.app.items import TimerDue
from messenger.app.records import Trace
from messenger.channels.messages import ChannelAccountId, Handle, MessageEdited, RemoteId, Unsupported
from messenger.channels.messages import Content as Words
from messenger.domain.conversation import State, fold
from messenger.domain.events import ConversationQueued, MenuOffered
from messenger.domain.ids import ConversationId, MessageId
from messenger.storage.models.queues import timer
from tests.integration.staff_desk import AT, CHAT, CUSTOMER, DESK, StaffDesk, customer_says, ready, votes

GROUPS = {"Billing": "A bill", "Pharmacy": "Medicines"}
POLL = "$poll"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.add_group("General", is_default=True)
    for name, label in GROUPS.items():
        await desk.add_group(name, menu_label=label, keywords=["invoice"] if name == "Billing" else [])
    await desk.put(ready())
    await desk.work(1)
    return desk


async def say(desk: StaffDesk, *texts: str) -> None:
    for text in texts:
        await desk.put(customer_says(f"${text}", text), lane="chat")
    await desk.work(1)


async def offered(desk: StaffDesk) -> list[OfferMenu]:
    return [effect for effect in await desk.effects() if isinstance(effect, OfferMenu)]


async def deliver(desk: StaffDesk) -> ConversationId:
    """What the menu's delivery leaves behind."""
    menu = (await offered(desk))[0]
    id = ConversationId(menu.conversation)
    async with desk.units() as unit:
        trace = Trace(account=DESK, room=CHAT, remote_id=POLL, kind="notice", conversation=id)
        await unit.messages.add_trace(trace)
    return id


async def relayed(desk: StaffDesk) -> list[str]:
    async with desk.units() as unit:
        shown = [effect for effect in await desk.effects() if isinstance(effect, RelayToThread)]
        return [(await unit.messages.get(MessageId(effect.message))).content.text for effect in shown]


async def chosen(desk: StaffDesk) -> tuple[str, str]:
    """The group's name and why."""
    _, log = await desk.state_and_log((await desk.conversations())[0])
    queued = next(entry.event for entry in log if isinstance(entry.event, ConversationQueued))
    async with desk.units() as unit:
        return (await unit.people.group(queued.group)).name, queued.reason


async def test_a_number_chooses_and_what_was_said_before_comes_in_its_order(desk: StaffDesk) -> None:
    await say(desk, "Hello", "is anybody there?", "2")
    assert await chosen(desk) == ("Pharmacy", "choice")
    assert await relayed(desk) == ["Hello", "is anybody there?"]
    effects = [type(effect) for effect in await desk.effects()]
    assert effects.index(PostCard) < effects.index(RelayToThread)
    state, log = await desk.state_and_log((await desk.conversations())[0])
    assert state.state is State.QUEUED and fold(log) == state


async def test_a_vote_chooses_and_is_no_message(desk: StaffDesk) -> None:
    await say(desk, "Hello")
    await deliver(desk)
    await desk.put(votes("1", POLL))
    await desk.work(1)
    assert await chosen(desk) == ("Billing", "choice")
    assert await relayed(desk) == ["Hello"]


async def test_later_votes_and_votes_of_others_do_nothing(desk: StaffDesk) -> None:
    await say(desk, "Hello")
    await deliver(desk)
    await desk.put(votes("2", POLL, sender="@stranger:x"))
    await desk.work(1)
    assert (await desk.state_and_log((await desk.conversations())[0]))[0].state is State.NEW
    await say(desk, "1")
    before = await desk.effects()
    await desk.put(votes("2", POLL), votes("7", POLL))
    await desk.work(1)
    assert await desk.effects() == before
    assert await chosen(desk) == ("Billing", "choice")


async def test_other_words_are_kept_and_the_menu_is_said_once_more_at_most(desk: StaffDesk) -> None:
    await say(desk, "Hello", "I do not know", "really not", "help me")
    assert len(await offered(desk)) == 2
    assert await relayed(desk) == []
    await say(desk, "medicines")
    assert await relayed(desk) == ["Hello", "I do not know", "really not", "help me"]


async def test_a_keyword_needs_no_menu(desk: StaffDesk) -> None:
    await say(desk, "where is my invoice?")
    assert await offered(desk) == []
    assert await chosen(desk) == ("Billing", "keyword")


async def test_without_an_answer_in_time_the_default_group_gets_it_once(desk: StaffDesk) -> None:
    await say(desk, "Hello")
    id = (await desk.conversations())[0]
    async with desk.engine.begin() as connection:
        due = await connection.scalar(sa.select(timer.c.due_at).where(timer.c.kind == "menu"))
    assert due is not None and timedelta(minutes=9) < due - datetime.now(UTC) <= timedelta(minutes=10)
    await desk.put(*[TimerDue(kind="menu", conversation=id, due=due)] * 2)
    await desk.work(1)
    assert await chosen(desk) == ("General", "no_choice")
    await say(desk, "2")
    assert await relayed(desk) == ["Hello", "2"], "now it is a word like any other"


async def test_after_the_choice_the_menu_is_ended_and_the_customer_told(desk: StaffDesk) -> None:
    await say(desk, "Hello", "2")
    ends = [effect for effect in await desk.effects() if isinstance(effect, EndMenu)]
    menus = await offered(desk)
    assert [end.message for end in ends] == [menus[0].message]
    assert ends[0].lane == menus[0].lane


async def test_edits_and_unknown_things_before_the_choice_are_kept(desk: StaffDesk) -> None:
    await say(desk, "Hello")
    sender, account = Handle(kind="mxid", value=CUSTOMER), ChannelAccountId(DESK)
    edit = MessageEdited(
        account=account,
        source_id="$e",
        at=AT,
        sender=sender,
        target=RemoteId("$Hello"),
        content=Words(text="Hello you"),
        hints=(CHAT,),
    )
    strange = Unsupported(account=account, source_id="$u", at=AT, sender=sender, what="m.location", hints=(CHAT,))
    await desk.put(edit, lane="chat")
    await desk.put(strange, lane="chat")
    await desk.work(1)
    await say(desk, "1")
    assert await relayed(desk) == ["Hello you", "[m.location]"]


async def test_a_closed_group_keeps_the_conversation_and_the_customer_hears_when_it_is_open(desk: StaffDesk) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    await desk.add_group("Closed", keywords=["parcel"], hours=f"{tomorrow} 9-12", time_zone="UTC")
    await say(desk, "my parcel", "again")
    assert await chosen(desk) == ("Closed", "keyword closed")
    told = [effect for effect in await desk.effects() if isinstance(effect, TellCustomer) and effect.text == "C2"]
    assert [effect.fields["until"] for effect in told] == [f"{tomorrow}T09:00:00+00:00"]


async def test_the_menu_names_its_groups_in_the_log(desk: StaffDesk) -> None:
    await say(desk, "Hello")
    _, log = await desk.state_and_log((await desk.conversations())[0])
    menus = [entry.event for entry in log if isinstance(entry.event, MenuOffered)]
    assert len(menus) == 1 and len(menus[0].groups) == 2
