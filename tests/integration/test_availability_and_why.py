"""`!status` and `!why`: what people say about themselves, and what the desk says about its decisions."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.availability import read_status
from messenger.app.effects.staff import SayAnswer
from messenger.app.effects.thread import PostNotice
from messenger.app.render import Clock
from messenger.app.why import explained, told
from messenger.app.why import why as lines_of
from messenger.domain.ids import ConversationId
from messenger.domain.routing.availability import CHOSEN, Availability
from messenger.domain.routing.explanation import NOBODY, Filter
from messenger.i18n import LANGUAGES, texts
from messenger.storage.models.people import availability_log, staff
from tests.integration.routing_house import RoutingHouse

ANNA, BEN = "@anna.staff:x", "@ben:x"


@pytest.fixture
async def house(database: AsyncEngine) -> RoutingHouse:
    return RoutingHouse(database)


async def answers(house: RoutingHouse) -> list[SayAnswer]:
    return [each for each in await house.effects() if isinstance(each, SayAnswer)]


async def why(house: RoutingHouse, number: int) -> str:
    """What the newest `!why` says, in English."""
    await house.writes(ANNA, number, "!why")
    await house.work(1)
    said = [each for each in await house.effects() if isinstance(each, PostNotice) and each.text == "why"]
    return explained(texts("en"), said[-1].fields["lines"], Clock(now=house.now)).plain


async def test_who_is_busy_gets_nothing_and_who_is_back_gets_what_waits(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA])
    await house.customer("tax", 0)
    await house.work(1)
    await house.writes(ANNA, 0, "!status busy with the audit")
    await house.work(1)
    id = await house.customer("tax", 1)
    await house.work(1)
    assert await house.owner(id) is None
    await house.writes(ANNA, 0, "!status away")
    await house.work(1)
    away = (await answers(house))[-1]
    assert (away.text, away.fields["n"]) == ("status.set.away", "1"), "what she has stays with her"
    await house.writes(ANNA, 0, "!status verfügbar")
    await house.work(1)
    assert await house.owner(id) == ANNA


async def test_the_reason_is_sealed_and_the_log_holds_none(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA])
    await house.customer("tax", 0)
    await house.writes(ANNA, 0, "!status busy with the audit")
    await house.work(1)
    person = await house.person(ANNA)
    async with house.units() as unit:
        now = await unit.people.status(person)
    assert (now.availability, now.reason) == (Availability.BUSY, "with the audit")
    async with house.engine.begin() as connection:
        sealed = await connection.scalar(sa.select(staff.c.enc_availability_reason).where(staff.c.id == person))
        logged = (await connection.execute(sa.select(availability_log))).one()
    assert sealed is not None and b"audit" not in sealed
    assert (logged.availability, logged.source, "audit" in str(logged)) == ("busy", "self", False)
    assert "audit" not in str((await answers(house))[-1].fields), "colleagues may read along"


@pytest.mark.parametrize(("text", "refusal"), [("busy", "status.reason"), ("dancing", "status.unknown")])
async def test_a_status_that_cannot_be_changes_nothing(house: RoutingHouse, text: str, refusal: str) -> None:
    await house.group("tax", [ANNA])
    await house.customer("tax", 0)
    await house.writes(ANNA, 0, f"!status {text}")
    await house.work(1)
    assert refusal in [getattr(each, "text", "") for each in await house.effects()]
    async with house.units() as unit:
        assert (await unit.people.status(await house.person(ANNA))).availability is Availability.AVAILABLE


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Pause", (Availability.BREAK, "")),
        ("beschäftigt: am Telefon", (Availability.BUSY, "am Telefon")),
        ("忙 正在通话", (Availability.BUSY, "正在通话")),
        ("离开", (Availability.AWAY, "")),
        ("", (None, "")),
    ],
)
def test_a_status_is_understood_in_three_languages(text: str, read: tuple[Availability | None, str]) -> None:
    assert read_status(text) == read


async def test_why_tells_the_way_to_the_group_and_to_the_owner_with_numbers(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA, BEN])
    await house.change.set_status(BEN, Availability.BREAK, "")
    id = await house.customer("tax", 0)
    await house.work(1)
    assert await house.owner(id) == ANNA
    said = await why(house, 0)
    assert "to tax: a word of the first message" in said
    assert "anna.staff got it from the desk" in said
    assert "1 of 2 could take it" in said
    assert "1. anna.staff · 0 of 5 units" in said
    assert "– ben · not available" in said
    await house.writes(ANNA, 0, f"!assign {BEN}")
    await house.work(1)
    said = await why(house, 0)
    assert "anna.staff gave it to ben" in said and "could take it" not in said.splitlines()[-1]


async def test_why_tells_what_it_waits_for(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA])
    await house.capacity({ANNA: 1})
    await house.customer("tax", 0)
    await house.work(1)
    await house.customer("tax", 1)
    assert "about to be given out" in await why_now(house, 1)
    await house.work(1)
    said = await why(house, 1)
    assert "everybody who could take it is full" in said and "– anna.staff · full: 1 of 1 units" in said
    await house.change.change_settings("tax", {"assignment": "manual"})
    assert "by hand (!claim)" in await why(house, 1)


async def why_now(house: RoutingHouse, number: int) -> str:
    """Asked before the router had its turn."""
    async with house.units() as unit:
        chat = await unit.chats.find("@desk:x", f"!chat{number}")
        assert chat is not None and chat.conversation is not None
        conversation = await unit.conversations.lock(ConversationId(chat.conversation))
        return explained(texts("en"), told(await lines_of(unit, conversation)), Clock(now=house.now)).plain


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_and_every_availability_has_its_words(language: str) -> None:
    words = texts(language)
    for code in Filter:
        assert words.has(f"why.waits.{code}") and words.has(f"why.not.{code}")
    assert words.has(f"why.waits.{NOBODY}")
    assert all(words.has(f"availability.{value}") for value in Availability)
    assert all(read_status(value)[0] is value for value in CHOSEN)


async def test_what_was_queued_again_is_not_explained_by_old_reasons(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA])
    await house.customer("tax", 0)
    await house.work(1)
    house.now += timedelta(minutes=1)
    await house.writes(ANNA, 0, "!release")
    await house.work(1)
    said = await why(house, 0)
    assert "those who have room gave it back" in said and "anna.staff gave it back" in said
