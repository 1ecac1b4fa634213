"""Doubts about people's keys and who decides: what the leads hear, what a decision does, and that nobody decides about
themselves."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import TellCustomer
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.staff import ProvideDirectRoom, SayAnswer, TellPerson
from messenger.app.effects.thread import PostNotice
from messenger.app.effects.trust import CarryOutTrust, SayOfTrust, TrustPerson
from messenger.app.items import (
    ChatReady,
    DeskIdentityChanged,
    DeviceLeftOut,
    StaffSaid,
    TrustDoubted,
    TrustSettled,
    VerificationNews,
)
from messenger.channels.messages import Content, Handle
from messenger.storage.models.conversations import conversation
from messenger.storage.models.people import skill_group
from messenger.storage.models.trust import trust_alert, verification
from messenger.storage.trust import unended_verifications
from tests.integration.staff_desk import AT, CHAT, DESK, GROUP, StaffDesk

ZOE, MIA, BEN = "@zoe:x", "@mia:x", "@ben:x"  # two leads and an agent
ROOM, DEVICE = "!group", "NEWDEVICE"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    for lead in (ZOE, MIA):
        await desk.add_member(GROUP, lead, "lead")
    async with database.begin() as connection:
        await connection.execute(skill_group.update().values(room_id=ROOM))
    return desk


def unsigned(user: str = BEN, room: str = ROOM) -> TrustDoubted:
    return TrustDoubted(account=DESK, room=room, user=user, cause="unsigned_device", device=DEVICE, key="abcdefgh")


def says(sender: str, text: str) -> StaffSaid:
    return StaffSaid(
        account=DESK, room=ROOM, thread=None, event=f"${sender}{text}", sender=sender, at=AT, type="m.text",
        content=Content(text=text), owner_signed=True,
    )  # fmt: skip


async def after(desk: StaffDesk, *items: object) -> list[object]:
    """The effects that these bring, one after the other."""
    before = len(await desk.effects())
    for item in items:
        await desk.put(item)  # type: ignore[arg-type]
        await desk.work(1)
    return list((await desk.effects())[before:])


async def states(desk: StaffDesk) -> list[str]:
    async with desk.engine.begin() as connection:
        return list(await connection.scalars(sa.select(trust_alert.c.state).order_by(trust_alert.c.id)))


def told(effects: list[object]) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, TellPerson)]


@pytest.mark.parametrize("has_other_lead", [True, False])
async def test_where_nobody_may_decide_the_group_hears_why_nothing_leaves_and_who_can(
    desk: StaffDesk, has_other_lead: bool
) -> None:
    for lead in [MIA] if has_other_lead else [MIA, ZOE]:
        await desk.remove_member(GROUP, lead)
    found = await after(desk, unsigned(user=BEN))
    in_group = [(effect.room, effect.text) for effect in found if isinstance(effect, SayOfTrust)]
    lines = [] if has_other_lead else ["S31.unsigned_device", "S31.no_lead"]
    assert in_group == [(ROOM, line) for line in lines]


async def test_a_doubt_about_the_only_lead_is_told_to_the_group(desk: StaffDesk) -> None:
    await desk.remove_member(GROUP, MIA)
    found = await after(desk, unsigned(user=ZOE))
    assert [effect.text for effect in found if isinstance(effect, SayOfTrust)] == ["S31.unsigned_device", "S31.no_lead"]


async def test_each_lead_hears_of_a_doubt_once_and_how_to_decide(desk: StaffDesk) -> None:
    found = await after(desk, unsigned(), unsigned())
    assert told(found) == ["S31.unsigned_device", "S31.unsigned_device"]
    assert sum(isinstance(effect, ProvideDirectRoom) for effect in found) == 2
    [first, _] = [effect for effect in found if isinstance(effect, TellPerson)]
    assert first.fields == {"place": GROUP, "person": BEN, "device": DEVICE, "key": "abcd efgh"}
    assert await states(desk) == ["open"]


@pytest.mark.parametrize(("command", "trusted"), [("!trust", True), ("!entfernen", False)])
async def test_a_leads_decision_is_carried_out_and_kept(desk: StaffDesk, command: str, trusted: bool) -> None:
    found = await after(desk, unsigned(), says(ZOE, f"{command} {BEN}"))
    [decision] = [effect for effect in found if isinstance(effect, CarryOutTrust)]
    assert decision == CarryOutTrust(
        room=ROOM, person=BEN, device=DEVICE, cause="unsigned_device", trusted=trusted, key="abcdefgh"
    )
    assert await states(desk) == ["trusted" if trusted else "removed"]
    async with desk.engine.begin() as connection:
        by = await connection.scalar(sa.select(trust_alert.c.decided_by))
        assert str(by).startswith("agent:")


async def test_an_agent_decides_nothing(desk: StaffDesk) -> None:
    found = await after(desk, unsigned(MIA), says(BEN, f"!trust {MIA}"), says(BEN, f"!remove {MIA}"))
    answers = [effect.text for effect in found if isinstance(effect, SayAnswer)]
    assert answers == ["S10c.lead", "S10c.lead"] and await states(desk) == ["open"]


async def test_nobody_decides_about_themselves(desk: StaffDesk) -> None:
    found = await after(desk, unsigned(ZOE), says(ZOE, f"!trust {ZOE}"))
    assert [effect.text for effect in found if isinstance(effect, SayAnswer)] == ["trust.oneself"]
    assert await states(desk) == ["open"]
    [alert] = [effect for effect in found if isinstance(effect, TellPerson)]  # the other lead
    assert alert.text == "S31.unsigned_device"


async def test_a_stranger_is_named_by_address_and_what_was_decided_is_asked_again_when_it_comes_back(
    desk: StaffDesk,
) -> None:
    ghost = TrustDoubted(account=DESK, room=ROOM, user="@ghost:y", cause="unexpected_member")
    found = await after(desk, ghost, says(MIA, "!remove @ghost:y"), ghost)
    assert [effect.trusted for effect in found if isinstance(effect, CarryOutTrust)] == [False]
    assert await states(desk) == ["removed", "open"]
    assert told(found) == ["S31.unexpected_member"] * 4


async def test_a_doubt_whose_cause_has_gone_is_cleared_without_anybody(desk: StaffDesk) -> None:
    found = await after(desk, unsigned(), TrustSettled(account=DESK, room=ROOM))
    assert told(found)[2:] == ["trust.cleared", "trust.cleared"]
    assert await states(desk) == ["cleared"]
    assert await after(desk, TrustSettled(account=DESK, room=ROOM)) == []


async def test_about_a_customers_room_the_thread_hears_it_too(desk: StaffDesk) -> None:
    found = await after(desk, TrustDoubted(account=DESK, room=CHAT, user="@ghost:y", cause="unexpected_member"))
    assert [effect.text for effect in found if isinstance(effect, PostNotice)] == ["S31.unexpected_member"]
    assert told(found) == ["S31.unexpected_member"] * 2


async def test_a_customers_new_identity_is_told_once_and_approved_by_a_lead(desk: StaffDesk) -> None:
    news = DeviceLeftOut(account=DESK, room=CHAT, user="@anna:x", device="newkey", code="identity_changed")
    found = await after(desk, news, news, says(ZOE, "!trust @anna:x"))
    assert [effect.text for effect in found if isinstance(effect, PostNotice)] == ["S31.customer_identity"]
    [decision] = [effect for effect in found if isinstance(effect, CarryOutTrust)]
    assert (decision.cause, decision.person, decision.trusted) == ("customer_identity", "@anna:x", True)
    assert decision.key == "newkey"


async def test_who_is_not_verified_hears_so_where_they_can_read_it(desk: StaffDesk) -> None:
    await desk.put(ChatReady(account=DESK, chat="!direct", person=Handle(kind="mxid", value=BEN), name="Ben", at=AT))
    await desk.work(1)
    news = DeviceLeftOut(account=DESK, room=ROOM, user=BEN, device="PHONE", code="not_verified")
    [said, told] = await after(desk, news)
    assert isinstance(said, SayOfTrust) and (said.room, said.text) == ("!direct", "S31.not_verified")
    assert isinstance(told, TellGroup) and told.text == "S31.not_verified"


async def test_a_lead_vouches_for_somebody_of_whom_nothing_is_doubted(desk: StaffDesk) -> None:
    found = await after(desk, says(ZOE, f"!trust {BEN}"), says(BEN, f"!trust {ZOE}"), says(ZOE, f"!remove {BEN}"))
    assert [effect.person for effect in found if isinstance(effect, TrustPerson)] == [BEN]
    answers = [effect.text for effect in found if isinstance(effect, SayAnswer)]
    assert answers == ["trust.done", "S10c.lead", "trust.nothing"]


async def test_another_identity_of_the_desk_is_told_in_every_open_conversation(desk: StaffDesk) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(conversation.update().values(card_event="$card"))
    assert [await desk_announces(desk, master) for master in ("one", "one", "two", "two")] == [
        False,
        False,
        True,
        False,
    ]
    found = await after(desk, DeskIdentityChanged(account=DESK, master="abcdefgh"))
    told = [effect for effect in found if isinstance(effect, TellCustomer | PostNotice)]
    assert [effect.text for effect in told] == ["verify.new_identity", "verify.new_identity.staff"]
    assert {effect.fields["key"] for effect in told} == {"abcd efgh"}
    async with desk.engine.begin() as connection:
        await connection.execute(conversation.update().values(state="resolved"))
    assert await after(desk, DeskIdentityChanged(account=DESK, master="again")) == []


async def desk_announces(desk: StaffDesk, master: str) -> bool:
    async with desk.units() as unit:
        return await unit.trust.announce(DESK, master)


async def test_verifications_are_kept_for_the_command_line(desk: StaffDesk) -> None:
    compare = VerificationNews(account=DESK, id="v1", user="@anna:x", room=CHAT, emoji=(1, 2), decimals=(1234, 5678))
    over = VerificationNews(account=DESK, id="v1", user="@anna:x", room=CHAT, is_over=True, master="key")
    await after(desk, compare, over)
    async with desk.engine.begin() as connection:
        row = (await connection.execute(sa.select(verification))).one()
    assert (row.emoji, row.decimals, row.state, row.master) == ("1 2", "1234 5678", "done", "key")


async def test_what_was_begun_and_not_ended_is_known_after_a_restart_while_somebody_waits_for_it(
    desk: StaffDesk,
) -> None:
    begun = [VerificationNews(account=DESK, id=id, user="@anna:x", room=CHAT) for id in ("v1", "v2", "v3")]
    over = VerificationNews(account=DESK, id="v2", user="@anna:x", room=CHAT, is_over=True, code="m.user")
    assert not await after(desk, *begun), "nothing is said of a beginning"
    await after(desk, over, begun[1])
    async with desk.engine.begin() as connection:
        long_ago = verification.update().where(verification.c.id == "v3")
        await connection.execute(long_ago.values(began_at=sa.func.now() - timedelta(hours=1)))
    assert await unended_verifications(desk.engine, DESK) == [("v1", "@anna:x", CHAT)]
    restart = VerificationNews(
        account=DESK, id="v1", user="@anna:x", room=CHAT, is_over=True, code="m.unknown_transaction", by_us=True
    )
    [told] = [effect for effect in await after(desk, restart) if isinstance(effect, SayOfTrust)]
    assert told.text == "verify.ended.restart"
    assert await unended_verifications(desk.engine, DESK) == []
