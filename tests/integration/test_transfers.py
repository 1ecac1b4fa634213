"""Hand-over on a real database: who may, where it goes, and that nobody's comment is lost or sent."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import SendToCustomer
from messenger.domain.conversation import State
from messenger.domain.events import ConversationAssigned, ConversationTransferred
from messenger.storage.models.people import staff
from tests.integration.staff_desk import GROUP, StaffDesk

BEN, CLEO, DANA = "@ben:x", "@cleo:x", "@dana:x"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    """Ben and Cleo answer in Claims; Cleo and Dana in Prescriptions; nobody in Archive, whose work General takes."""
    desk = StaffDesk(database)
    await desk.set_up([BEN, CLEO])
    for name, settings in (("Prescriptions", {}), ("General", {}), ("Archive", {"fallback_group": "General"})):
        await desk.add_group(name, **settings)
    for address in (CLEO, DANA):
        await desk.add_member("Prescriptions", address)
    await desk.says(BEN, "!claim")
    return desk


async def test_a_comment_goes_along_as_a_note(desk: StaffDesk) -> None:
    await desk.says(BEN, "!transfer prescriptions needs a pharmacist")
    state, log = await desk.only_conversation()
    assert (state.state, state.owner, state.place) == (State.QUEUED, None, 2)
    moved = log[-1].event
    assert isinstance(moved, ConversationTransferred) and moved.note is not None
    async with desk.units() as unit:
        assert (await unit.messages.get(moved.note)).content.text == "needs a pharmacist"
    assert not [each for each in await desk.effects() if isinstance(each, SendToCustomer)]


async def test_a_colleague_in_the_same_group_gets_it_in_the_same_thread(desk: StaffDesk) -> None:
    await desk.says(BEN, "!transfer @cleo you know her", mentions=[CLEO])
    state, log = await desk.only_conversation()
    assert (state.state, state.place) == (State.OPEN, 1)
    assert isinstance(log[-1].event, ConversationAssigned) and log[-1].event.agent == state.owner


async def test_a_colleague_of_another_group_gets_it_there(desk: StaffDesk) -> None:
    await desk.says(BEN, "!transfer @dana")
    state, _ = await desk.only_conversation()
    assert (state.state, state.place, await desk.group_name(state.group)) == (State.OPEN, 2, "Prescriptions")


async def test_where_nobody_is_there_the_fallback_takes_it(desk: StaffDesk) -> None:
    await desk.says(BEN, "!transfer archive")
    state, log = await desk.only_conversation()
    assert await desk.group_name(state.group) == "General"
    assert isinstance(log[-1].event, ConversationTransferred) and log[-1].event.reason == "fallback"


async def test_where_all_are_away_the_fallback_takes_it(desk: StaffDesk) -> None:
    await desk.change_group("Prescriptions", fallback_group="General")
    async with desk.engine.begin() as connection:
        await connection.execute(staff.update().where(staff.c.address != BEN).values(availability="away"))
    await desk.says(BEN, "!transfer prescriptions")
    state, _ = await desk.only_conversation()
    assert await desk.group_name(state.group) == "General"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("!transfer Nowhere", "S17.unknown_group"),
        (f"!transfer {GROUP}", "S17.same_group"),
        ("!transfer General", "S17.forbidden"),
        ("!transfer @nobody", "S10c.nobody_named"),
    ],
)
async def test_what_cannot_be_is_refused_in_words_and_changes_nothing(desk: StaffDesk, text: str, refusal: str) -> None:
    await desk.change_group(GROUP, transfer_to=("Prescriptions",))
    before = await desk.only_conversation()
    await desk.says(BEN, text)
    assert await desk.only_conversation() == before
    assert [each.text for each in await desk.notices()][-1] == refusal


@pytest.mark.parametrize(
    ("permitted", "text"), [(("Prescriptions", "Archive"), "S17.forbidden"), ((GROUP,), "S17.forbidden.all")]
)
async def test_a_hand_over_that_is_not_permitted_names_what_is(
    desk: StaffDesk, permitted: tuple[str, ...], text: str
) -> None:
    await desk.change_group(GROUP, transfer_to=permitted)
    await desk.add_member("General", "@emil:x")
    for asked in ("!transfer General", "!transfer @emil"):
        await desk.says(BEN, asked)
    refused = [each for each in await desk.notices() if each.text.startswith("S17.forbidden")]
    assert [each.text for each in refused] == [text, text]
    named = [set(each.fields["groups"].split(", ")) for each in refused if "groups" in each.fields]
    assert named == ([{"Archive", "Prescriptions"}] * 2 if text == "S17.forbidden" else [])


async def test_only_the_owner_hands_over(desk: StaffDesk) -> None:
    before = await desk.only_conversation()
    await desk.says(CLEO, "!transfer Prescriptions")
    assert await desk.only_conversation() == before
    assert [each.text for each in await desk.notices()][-1] == "S10c.owner"
