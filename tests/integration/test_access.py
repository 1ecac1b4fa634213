"""The gate in the use cases, on a real database: each access is one audit row, nothing foreign is shown; the glass."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.access import EFFECTS
from messenger.app.effects.base import Effect
from messenger.app.effects.customer import SendToCustomer, TellCustomer
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.staff import SayAnswer, TellPerson
from messenger.app.effects.thread import ShowHistory
from messenger.domain.access import GRANTABLE, HouseRole
from messenger.domain.command_table import COMMANDS
from messenger.domain.ids import ConversationId
from messenger.observability.time import utc_now
from messenger.queries.audit import AuditRow, rows
from messenger.storage.administration import NotPossible
from messenger.storage.audit_verify import verify
from messenger.storage.models.access import broken_glass
from messenger.storage.models.audit import audit
from messenger.storage.models.people import staff
from tests.integration.staff_desk import GROUP, ROOM, StaffDesk, customer_says, staff_says
from tests.integration.test_commands_outside import give_room, has_direct_chat, said, says

BEN, CLEO, LEA, DANA = "@ben:x", "@cleo:x", "@lea:x", "@dana:x"
ZOE, YVES = "@zoe:x", "@yves:x"
INSIDERS = {BEN: "agent", CLEO: "agent", LEA: "lead", DANA: "clerk"}
OUTSIDERS = {ZOE: "agent", YVES: "clerk"}
CHATS = {who: f"!{who[1:-2]}-and-desk" for who in (*INSIDERS, *OUTSIDERS)}


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


async def opened(desk: StaffDesk) -> tuple[ConversationId, str]:
    """A conversation of one group, with people of that group and of another; all have a chat with the desk."""
    id = await desk.set_up([BEN])
    for who, role in INSIDERS.items():
        await desk.add_member(GROUP, who, role)
    await desk.add_group("Other")
    for who, role in OUTSIDERS.items():
        await desk.add_member("Other", who, role)
    await give_room(desk, GROUP, ROOM)
    for who, chat in CHATS.items():
        await has_direct_chat(desk, who, chat)
    return id, (await desk.state_and_log(id))[0].number


async def log(desk: StaffDesk, after: int = 0) -> Sequence[AuditRow]:
    return await rows(desk.engine, after=after, most=10_000)


async def end(desk: StaffDesk) -> int:
    async with desk.engine.begin() as connection:
        return await connection.scalar(sa.select(sa.func.coalesce(sa.func.max(audit.c.seq), 0))) or 0


async def person(desk: StaffDesk, address: str) -> UUID:
    async with desk.engine.begin() as connection:
        found = await connection.scalar(sa.select(staff.c.id).where(staff.c.address == address))
    assert found is not None
    return UUID(str(found))


def _shows(effects: Sequence[Effect], id: ConversationId) -> list[Effect]:
    """What could let somebody read something of the conversation."""
    about = [each for each in effects if getattr(each, "conversation", None) == id]
    return [each for each in about if EFFECTS[type(each)] != "none"]


async def test_no_command_shows_or_changes_a_foreign_conversation(desk: StaffDesk) -> None:
    """Every command of the table, by everybody of another group, with the reference and a reason, and without."""
    id, number = await opened(desk)
    before, _ = await desk.state_and_log(id)
    for command, who, rest in product(COMMANDS, OUTSIDERS, ("", " @zoe:x because")):
        if command.name == "glass" and who == ZOE and rest:
            continue  # what it opens is shown below
        seen, text = await end(desk), f"!{command.name} {number}{rest}"
        assert _shows(await said(desk, says(who, text, room=CHATS[who])), id) == [], text
        about = [row for row in await log(desk, seen) if row.object == f"conversation:{id}"]
        assert [row.outcome for row in about] == ["refused"] * len(about), text
        assert about or not command.takes_ref or (command.needs_text and not rest), text
    assert (await desk.state_and_log(id))[0] == before


async def test_a_clerk_sends_nothing_by_any_command(desk: StaffDesk) -> None:
    _id, _ = await opened(desk)
    await desk.says(BEN, "!claim")
    before = await _to_customer(desk)
    for command in COMMANDS:
        await desk.says(DANA, f"!{command.name} words that must stay inside")
    await desk.says(DANA, "plain words")
    assert await _to_customer(desk) == before


async def _to_customer(desk: StaffDesk) -> list[Effect]:
    return [each for each in await desk.effects() if isinstance(each, SendToCustomer | TellCustomer)]


@pytest.mark.parametrize("number_of", [100, pytest.param(1_000, marks=pytest.mark.long)])
async def test_so_many_random_accesses_are_so_many_rows(desk: StaffDesk, number_of: int) -> None:
    """Each with who, what about and what for; refused ones too."""
    id, number = await opened(desk)
    chance, wanted = random.Random(7), Counter[tuple[str, str, str]]()
    names = {who: f"agent:{await person(desk, who)}" for who in CHATS}
    seen = await end(desk)
    for turn in range(number_of):
        who = chance.choice(list(CHATS))
        text = chance.choice(["!history", "!history 20", "!who", "!why"])
        action = "conversation.read" if "history" in text else "conversation.see"
        word, _, rest = text.partition(" ")
        await desk.put(says(who, f"{word} {number} {rest}", room=CHATS[who]))
        wanted[names[who], action, "allowed" if who in INSIDERS else "refused"] += 1
        if turn % 50 == 49:
            await desk.work(2)
    found = await log(desk, seen)
    assert {row.object for row in found} == {f"conversation:{id}"} and {row.purpose for row in found} == {"serve"}
    assert Counter((row.actor, row.action, row.outcome) for row in found) == wanted
    shown = [each for each in await desk.effects() if isinstance(each, ShowHistory)]
    reads = sum(
        n for (_, action, outcome), n in wanted.items() if (action, outcome) == ("conversation.read", "allowed")
    )
    assert len(shown) == reads and (await verify(desk.engine, desk.keys, [])).is_whole


async def test_an_item_that_is_handled_again_makes_no_second_row(desk: StaffDesk) -> None:
    await opened(desk)
    seen, item = await end(desk), staff_says(BEN, "!history")
    await desk.put(item)
    await desk.work(3)
    assert len(await log(desk, seen)) == 1


async def test_a_pack_and_a_context_are_read_by_the_one_they_are_for(desk: StaffDesk) -> None:
    _id, _ = await opened(desk)
    seen = await end(desk)
    await desk.says(BEN, "!claim")
    await desk.says(BEN, "!assign @cleo:x")
    reads = [row for row in await log(desk, seen) if row.action == "conversation.read"]
    assert [(row.actor, row.purpose) for row in reads] == [
        (f"agent:{await person(desk, BEN)}", "context"),
        (f"agent:{await person(desk, CLEO)}", "pack.claim"),
    ]


async def test_coming_into_a_room_of_its_own_is_a_row_for_each_who_comes(desk: StaffDesk) -> None:
    _id, _ = await opened(desk)
    await desk.says(BEN, "!claim")
    seen = await end(desk)
    await desk.says(BEN, "!room @zoe:x")
    joins = {row.actor for row in await log(desk, seen) if row.action == "conversation.join"}
    assert joins == {f"agent:{await person(desk, who)}" for who in (BEN, ZOE)}


async def test_a_seat_in_a_group_is_a_row_of_who_reads_its_room_from_then_on(desk: StaffDesk) -> None:
    await opened(desk)
    seen = await end(desk)
    await desk.add_member("Other", "@new:x", "agent")
    found = await log(desk, seen)
    assert [row.action for row in found] == ["config.seat", "group.join"]
    assert found[1].actor == f"agent:{await person(desk, '@new:x')}"


async def _broken(
    desk: StaffDesk, why: str = "an emergency, the practice is on the phone"
) -> tuple[ConversationId, str]:
    id, number = await opened(desk)
    await desk.put(says(ZOE, f"!glass {number} {why}", room=CHATS[ZOE]))
    await desk.work(1)
    return id, number


async def test_broken_glass_lets_one_read_alone_for_an_hour_and_do_nothing_else(desk: StaffDesk) -> None:
    id, number = await _broken(desk)
    seen = await end(desk)
    shown = await said(desk, says(ZOE, f"!history {number}", room=CHATS[ZOE]))
    [history] = [each for each in shown if isinstance(each, ShowHistory)]
    assert history.room == CHATS[ZOE]
    row = (await log(desk, seen))[0]
    assert (row.action, row.purpose, row.reason) == ("conversation.read", "glass", "glass")
    for text in (f"!claim {number}", f"!tag {number} +x", f"!pause {number}", f"!room {number}"):
        made = await said(desk, says(ZOE, text, room=CHATS[ZOE]))
        assert [each.text for each in made if isinstance(each, SayAnswer)] == ["glass.reads_only"], text
    assert not _shows(await said(desk, says(YVES, f"!history {number}", room=CHATS[YVES])), id)

    async with desk.engine.begin() as connection:
        await connection.execute(broken_glass.update().values(until=utc_now() - timedelta(seconds=1)))
    assert not _shows(await said(desk, says(ZOE, f"!history {number}", room=CHATS[ZOE])), id)


async def test_the_leads_hear_of_a_broken_glass_with_the_reason_which_the_log_keeps_sealed(desk: StaffDesk) -> None:
    id, _number = await _broken(desk)
    [told] = [each for each in await desk.effects() if isinstance(each, TellPerson) and each.text == "glass.told"]
    assert told.agent == await person(desk, LEA) and told.fields["why"] == "an emergency, the practice is on the phone"
    [row] = [row for row in await log(desk) if row.action == "conversation.glass"]
    assert row.outcome == "allowed" and row.has_words and row.object == f"conversation:{id}"
    async with desk.engine.begin() as connection:
        raw = (await connection.execute(sa.text("SELECT audit::text FROM audit"))).scalars().all()
    assert not any("emergency" in line or bytes("emergency", "utf8").hex() in line for line in raw)


async def test_the_glass_is_broken_only_with_a_reason_in_the_direct_chat_and_where_it_is_needed(
    desk: StaffDesk,
) -> None:
    _id, number = await opened(desk)
    for who, room, text, refused in (
        (ZOE, CHATS[ZOE], f"!glass {number}", "S10b"),
        (ZOE, CHATS[ZOE], "!glass because", "glass.reference"),
        (ZOE, CHATS[ZOE], "!glass K-9999 because", "S10c.no_such"),
        (BEN, CHATS[BEN], f"!glass {number} because", "glass.needless"),
        (BEN, ROOM, f"!glass {number} because", "glass.direct"),
        (YVES, CHATS[YVES], f"!glass {number} because", "S10c.agent"),
    ):
        made = await said(desk, says(who, text, room=room))
        assert [each.text for each in made if isinstance(each, SayAnswer)] == [refused], text
    async with desk.engine.begin() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(broken_glass)) == 0


async def test_without_a_direct_chat_a_lead_is_rung_in_the_room_without_the_reason(desk: StaffDesk) -> None:
    _id, number = await opened(desk)
    await desk.add_member(GROUP, "@new-lead:x", "lead")
    await desk.put(says(ZOE, f"!glass {number} an emergency", room=CHATS[ZOE]))
    await desk.work(1)
    [told] = [each for each in await desk.effects() if isinstance(each, TellGroup)]
    assert told.person == "@new-lead:x" and told.in_their_language and "emergency" not in str(told.fields)


async def test_content_and_configuration_never_meet_in_one_person(desk: StaffDesk) -> None:
    await opened(desk)
    change = desk._change
    with pytest.raises(NotPossible, match="would both read conversations and change the configuration"):
        await change.grant_role(BEN, HouseRole.ADMIN)
    await change.add_agent("@ada:x", "Ada", "en")
    await change.grant_role("@ada:x", HouseRole.ADMIN)
    await change.grant_role("@ada:x", HouseRole.AUDITOR)
    with pytest.raises(NotPossible):
        await change.grant_role("@ada:x", HouseRole.DPO)
    with pytest.raises(NotPossible):
        await change.add_member("Other", "@ada:x", "clerk")
    await change.take_role("@ada:x", HouseRole.ADMIN)
    await change.add_member("Other", "@ada:x", "clerk")


async def test_a_role_that_nothing_is_behind_is_given_to_nobody(desk: StaffDesk) -> None:
    await desk._change.add_agent("@ada:x", "Ada", "en")
    for role in set(HouseRole) - set(GRANTABLE):
        with pytest.raises(NotPossible, match="would open nothing"):
            await desk._change.grant_role("@ada:x", role)


async def test_a_disabled_person_may_do_nothing(desk: StaffDesk) -> None:
    id, number = await _broken(desk)
    await desk._change.disable(ZOE)
    assert await said(desk, says(ZOE, f"!history {number}", room=CHATS[ZOE])) == []
    await desk._change.disable(BEN)
    await desk.says(BEN, "!claim")
    assert (await desk.state_and_log(id))[0].owner is None


async def test_what_a_customer_writes_makes_no_row(desk: StaffDesk) -> None:
    """The relay is the hot path: it never waits for the log's end."""
    await opened(desk)
    seen = await end(desk)
    for number in range(5):
        await desk.put(customer_says(f"$more{number}", "more"))
    await desk.says(BEN, "plain words of a colleague")
    await desk.work(1)
    assert await end(desk) == seen
