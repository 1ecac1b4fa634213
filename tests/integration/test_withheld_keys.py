"""A customer's app says that it gives the desk no key (Matrix spec, `m.room_key.withheld`): what the team and the
customer hear of it, whether the notice comes before its message, with it or after it. From /sync to the outbox, on a
database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import WarnCustomer
from messenger.app.effects.thread import PostRemarks, RelayToThread
from messenger.app.handle import handle_next
from messenger.app.items import KeyStillMissing, Unreadable
from messenger.i18n import LANGUAGES, texts
from messenger.matrix.engine import WITHHELD_CODES
from messenger.observability.time import utc_now
from messenger.storage.models.people import skill_group
from messenger.storage.timers import fire_due
from messenger.storage.unit_of_work import SqlUnits
from tests.integration.staff_desk import AT, CARD, DESK, GROUP, ROOM, StaffDesk
from tests.integration.test_bad_input_fuzz import Lookout, a_lookout
from tests.support.waiting import eventually

BEN = "@ben:x"
LATER = timedelta(minutes=1)  # the patience with a late key is over


class Team:
    """Reads what one customer writes, who has a conversation already."""

    def __init__(self, lookout: Lookout) -> None:
        self.lookout, self.customer = lookout, lookout.honest
        self.room, self.world = lookout.rooms[lookout.honest], lookout.server.world
        self.desk = StaffDesk(lookout.database, keys=lookout.keys)
        self.units = SqlUnits(lookout.database, lookout.keys, namespace=UUID(int=9), desk=lookout.user_id)

    async def begin(self) -> None:
        await self.desk.add_group(GROUP, is_default=True)
        self.customer.say(self.room, "hello")
        await self.reads()

    def unreadable(self) -> dict[str, Any]:
        """The customer writes under a new key, and gives it to nobody; returns what is sent."""
        self.customer.device.rotate(self.room)
        self.kept_back = self.customer.device.room_key(self.room)
        content = self.customer.device.encrypt(self.room, "m.room.message", {"msgtype": "m.text", "body": "at last"})
        self.world.emit(self.world.rooms[self.room], self.customer.user_id, "m.room.encrypted", content)
        return content

    def withhold(self, content: dict[str, Any], code: str = "m.unverified") -> None:
        said = {
            "algorithm": "m.megolm.v1.aes-sha2",
            "code": code,
            "room_id": self.room,
            "sender_key": self.customer.device.curve25519,
            "session_id": content["session_id"],
        }
        self.world.send_to_device(self.customer.user_id, "m.room_key.withheld", {self.lookout.user_id: {"*": said}})

    def hand_over_the_key(self) -> None:
        [desk] = self.world.accounts[self.lookout.user_id].devices.values()
        assert desk.keys is not None
        sealed = self.customer.device.encrypt_to_device(desk.keys, "m.room_key", self.kept_back)
        self.world.send_to_device(
            self.customer.user_id, "m.room.encrypted", {self.lookout.user_id: {desk.device_id: sealed}}
        )

    async def reads(self, *, after: timedelta = timedelta(0)) -> None:
        assert await self.lookout.step() == ""
        await self.fire(after=after)
        while await handle_next(self.units) is not None:
            pass

    async def fire(self, *, after: timedelta) -> None:
        await fire_due(self.lookout.database, self.lookout.keys, at=utc_now() + after)

    async def is_anybody_waiting(self) -> bool:
        waiting = "wait_event_type = 'Lock' AND datname = current_database()"
        query = sa.text(f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {waiting})")
        async with self.lookout.database.begin() as connection:
            return bool(await connection.scalar(query))

    async def remarks(self) -> list[str]:
        return [line.text for each in await self.effects(PostRemarks) for line in each.lines]

    async def warnings(self) -> list[str]:
        return [each.text for each in await self.effects(WarnCustomer)]

    async def effects(self, kind: type[Any]) -> Sequence[Any]:
        return [each for each in await self.desk.effects() if isinstance(each, kind)]


@pytest.fixture
async def team(database: AsyncEngine) -> AsyncIterator[Team]:
    async with a_lookout(database) as lookout:
        team = Team(lookout)
        await team.begin()
        yield team


async def test_a_notice_before_its_message_is_told_once_the_patience_is_over(team: Team) -> None:
    content = team.unreadable()
    team.withhold(content)
    await team.reads()
    assert await team.remarks() == [], "it may still come"
    await team.reads(after=LATER)
    assert await team.remarks() == ["S25.withheld.unverified"]


async def test_a_notice_that_comes_later_within_the_patience_is_what_is_told(team: Team) -> None:
    content = team.unreadable()
    await team.reads()
    team.withhold(content)
    await team.reads()
    await team.reads(after=LATER)
    assert await team.remarks() == ["S25.withheld.unverified"]


async def test_a_notice_after_the_team_was_told_to_wait_takes_the_promise_back_once(team: Team) -> None:
    content = team.unreadable()
    await team.reads()
    await team.reads(after=LATER)
    assert (await team.remarks(), await team.warnings()) == (["S25.customer"], [])
    await team.desk.claim_everything()
    for code in ("m.unverified", "m.unverified", "m.blacklisted"):
        team.withhold(content, code)
        await team.reads()
        await team.reads(after=LATER)
    team.lookout.loop._has_started = False  # as after a restart
    await team.reads(after=LATER)
    assert await team.remarks() == ["S25.customer", "S25.withheld.unverified"]
    assert await team.warnings() == ["C9.unverified"]


async def test_a_promise_that_has_not_left_yet_is_never_made(team: Team) -> None:
    content = team.unreadable()
    await team.reads()
    await team.reads(after=LATER)
    team.withhold(content)
    await team.reads()
    await team.reads()
    assert await team.remarks() == ["S25.withheld.unverified"]


async def test_a_notice_that_comes_while_the_team_is_being_told_is_told_once(team: Team) -> None:
    content = team.unreadable()
    await team.reads()
    await team.fire(after=LATER)
    team.withhold(content)
    await team.reads()
    await team.reads(after=LATER)
    assert await team.remarks() == ["S25.withheld.unverified"]


async def test_a_notice_that_meets_the_turn_in_which_the_team_is_told_to_wait_is_told_after_it(team: Team) -> None:
    content = team.unreadable()
    await team.reads()
    await team.fire(after=LATER)
    team.withhold(content)
    async with team.units() as unit:
        row = await unit.inbox.claim()
        assert row is not None and isinstance(row.item, KeyStillMissing)
        told = await unit.inbox.waiting(row.item.account, row.item.source_id)
        assert told is not None and told.reason == "waiting_key"
        reading = asyncio.create_task(team.lookout.step())
        await eventually(team.is_anybody_waiting, what="the one who brings the notice stands behind this turn")
        await unit.inbox.settle(row)
    assert await reading == ""
    await team.reads(after=LATER)
    assert await team.remarks() == ["S25.withheld.unverified"]


async def test_a_message_whose_key_comes_after_all_is_read(team: Team) -> None:
    team.withhold(team.unreadable())
    await team.reads()
    await team.reads(after=LATER)
    team.hand_over_the_key()
    await team.reads()
    await team.reads(after=LATER)
    assert await team.remarks() == ["S25.withheld.unverified"]
    assert len(await team.effects(RelayToThread)) == 2, "the first one, and this"


async def test_each_reason_is_said_in_its_own_words_and_no_vain_advice_is_given(team: Team) -> None:
    told = {
        "m.unverified": ("S25.withheld.unverified", "C9.unverified"),
        "m.blacklisted": ("S25.withheld.blacklisted", "C9.blacklisted"),
        "m.unauthorised": ("S25.withheld.unauthorised", "C9"),
        "m.unavailable": ("S25.withheld.unavailable", "C9"),
        "m.no_olm": ("S25.withheld.no_olm", "C9"),
        "org.example.whim": ("S25.withheld", "C9.withheld"),
    }
    assert told.keys() >= WITHHELD_CODES
    for code in told:
        team.withhold(team.unreadable(), code)
        await team.reads()
    await team.reads(after=LATER)
    assert await team.remarks() == [for_team for for_team, _ in told.values()]
    assert set(await team.warnings()) == {for_customer for _, for_customer in told.values()}
    for language, id in product(LANGUAGES, {*await team.remarks(), *await team.warnings()}):
        assert texts(language).has(id)


async def test_a_colleague_whose_app_gives_no_key_hears_that_writing_again_is_not_enough(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    async with database.begin() as connection:
        await connection.execute(skill_group.update().values(room_id=ROOM))
    for event, reason in (("$1", "waiting_key"), ("$2", "withheld.unverified"), ("$3", "withheld")):
        unreadable = Unreadable(account=DESK, room=ROOM, thread=CARD, event=event, sender=BEN, at=AT, reason=reason)
        await desk.put(unreadable, lane="thread")
    await desk.work(1)
    said = [notice.text for notice in await desk.notices()]
    assert said == ["S25.staff", "S25.staff.withheld", "S25.staff.withheld"]
