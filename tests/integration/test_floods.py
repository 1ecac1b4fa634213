"""Limits and floods: what is too fast comes later, in order and marked; what is far too much is held back in one card,
nothing is lost, and everybody else is served meanwhile."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app import flood_card, to_thread
from messenger.app.effects.base import Effect
from messenger.app.effects.customer import WarnCustomer
from messenger.app.effects.groups import ShowFlood
from messenger.app.effects.staff import SayAnswer, TellPerson
from messenger.app.effects.thread import PostRemarks, RelayToThread
from messenger.app.flood_ports import Verdict
from messenger.app.hands import Hands, Organisation
from messenger.app.items import ChatReady
from messenger.app.notices import filled
from messenger.app.pace import Pace
from messenger.bootstrap.admin import Admin
from messenger.bootstrap.database import Storage
from messenger.channels.messages import ChannelAccountId, Handle, InboundMessage, MessageDeleted, RemoteId, Unsupported
from messenger.config import Settings
from messenger.domain.ids import ConversationId
from messenger.domain.limits import Limit, Scope
from messenger.i18n import texts
from messenger.observability import metrics
from messenger.queries.floods import Held
from messenger.storage.administration import NotPossible
from messenger.storage.floods import SqlBuckets
from messenger.storage.models.audit import audit
from messenger.storage.models.floods import flood
from messenger.storage.models.queues import inbox, outbox
from messenger.storage.outbox import space_remarks
from tests.integration.staff_desk import (
    AT,
    CARD,
    CHAT,
    CUSTOMER,
    DESK,
    GROUP,
    ROOM,
    StaffDesk,
    customer_says,
    staff_says,
)
from tests.integration.test_boards import Wall

LEAD, AGENT, CLERK = "@lead:x", "@ben:x", "@clerk:x"
ON_CARD = {"room": ROOM, "card": CARD}
CONTACT = {Scope.CONTACT: Limit(per_minute=20, burst=10)}


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    made = StaffDesk(database)
    await made.set_up([AGENT])
    await made.add_member(GROUP, LEAD, "lead")
    await made.add_member(GROUP, CLERK, "clerk")
    made.pace = Pace(limits=CONTACT)
    return made


def many(count: int, *, chat: str = CHAT, sender: str = CUSTOMER, first: int = 0) -> list[InboundMessage]:
    return [
        customer_says(f"${chat}-{n}", f"message {n}", sender=sender, chat=chat) for n in range(first, first + count)
    ]


async def shown(desk: StaffDesk) -> list[tuple[str, bool]]:
    """What was relayed, in order, and whether it is marked as late."""
    relayed = [effect.message for effect in await desk.effects() if isinstance(effect, RelayToThread)]
    async with desk.units() as unit:
        messages = [await unit.messages.get(id) for id in relayed]
    return [(message.content.text, message.is_late) for message in messages]


async def of_kind(desk: StaffDesk, kind: type[Effect]) -> list[Effect]:
    return [effect for effect in await desk.effects() if isinstance(effect, kind)]


async def held(desk: StaffDesk) -> int:
    async with desk.engine.begin() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).where(inbox.c.state == "held")) or 0)


async def floods(desk: StaffDesk) -> Sequence[sa.Row[tuple[object, ...]]]:
    async with desk.engine.begin() as connection:
        return (await connection.execute(sa.select(flood).order_by(flood.c.id))).all()


async def actions(desk: StaffDesk) -> list[tuple[str, str]]:
    async with desk.engine.begin() as connection:
        rows = await connection.execute(sa.select(audit.c.action, audit.c.actor).order_by(audit.c.seq))
        return [(row.action, row.actor) for row in rows if row.action.startswith("flood.")]


async def until_quiet(desk: StaffDesk) -> None:
    """Time passes: whatever waits is due, again and again."""
    done = 1
    while done:
        await desk.hurry_inbox()
        done = await desk.work(2)


async def says_beside(desk: StaffDesk, sender: str, text: str) -> list[str]:
    """In the main timeline of the group's room; the answers by their text ids."""
    before = len(await desk.effects())
    await desk.put(replace(staff_says(sender, text), thread=None))
    await desk.work(1)
    return [effect.text for effect in (await desk.effects())[before:] if isinstance(effect, SayAnswer)]


@pytest.fixture
async def room(desk: StaffDesk) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE skill_group SET room_id = :room"), {"room": ROOM})


async def test_what_is_too_fast_comes_later_in_order_and_is_marked(desk: StaffDesk) -> None:
    await desk.put(*many(25), lane=CHAT)
    await desk.work(2)
    assert len(await shown(desk)) == 1 + 10  # one was there before
    await until_quiet(desk)
    assert await shown(desk) == [("Hello", False), *((f"message {n}", n >= 10) for n in range(25))]
    assert await floods(desk) == []


async def test_a_flood_is_held_back_in_one_card_and_everybody_else_is_served(desk: StaffDesk) -> None:
    await desk.greet("@kim:x", "Kim", chat="!kim")
    await desk.put(*many(100), lane=CHAT)
    await desk.put(*many(5, chat="!kim", sender="@kim:x"), lane="!kim")
    await desk.work(2)
    said = [text for text, _ in await shown(desk)]
    assert [text for text in said if text.startswith("message")].count("message 4") == 2  # of both
    assert await held(desk) == 90
    [row] = await floods(desk)
    assert row.scope == "contact"
    assert len(await of_kind(desk, ShowFlood)) == 1
    assert [effect.text for effect in await of_kind(desk, TellPerson)] == ["S37.lead"]
    assert [effect.text for effect in await of_kind(desk, WarnCustomer)] == ["C16"]
    assert [each.text for each in await desk.notices()] == ["S37.thread"]
    assert await actions(desk) == [("flood.held", "system")]


async def test_what_follows_is_held_too_and_nobody_is_told_again(desk: StaffDesk) -> None:
    await desk.put(*many(60), lane=CHAT)
    await desk.work(2)
    await desk.put(*many(40, first=60), lane=CHAT)
    await until_quiet(desk)
    assert await held(desk) == 90
    assert len(await floods(desk)) == len(await of_kind(desk, TellPerson)) == len(await of_kind(desk, ShowFlood)) == 1


async def test_an_agent_lets_it_in_and_nothing_is_lost_or_out_of_order(desk: StaffDesk, room: None) -> None:
    await desk.put(*many(60), lane=CHAT)
    await desk.work(2)
    number = (await floods(desk))[0].id
    assert await says_beside(desk, AGENT, "!flood") == ["flood.list"]
    await desk.put(*many(3, first=60), lane=CHAT)
    assert await says_beside(desk, AGENT, f"!flood {number} admit") == ["flood.admitted"]
    await until_quiet(desk)
    assert [text for text, _ in await shown(desk)] == ["Hello", *(f"message {n}" for n in range(63))]
    assert [is_late for _, is_late in await shown(desk)][11:61] == [True] * 50
    [row] = await floods(desk)
    assert (row.verdict, row.messages, row.people) == ("admitted", 50 + 3 * (row.messages == 53), 1)
    assert [action for action, _ in await actions(desk)] == ["flood.held", "flood.admitted"]
    assert await says_beside(desk, AGENT, f"!flood {number} admit") == ["flood.unknown"]


async def test_only_a_lead_throws_it_away_and_says_why(desk: StaffDesk, room: None) -> None:
    await desk.put(*many(60), lane=CHAT)
    await desk.work(2)
    number = (await floods(desk))[0].id
    await says_beside(desk, AGENT, f"!flood {number} drop it is nonsense")
    await says_beside(desk, CLERK, f"!flood {number} admit")
    assert await says_beside(desk, LEAD, f"!flood {number} drop") == ["flood.reason"]
    assert await held(desk) == 50
    assert await says_beside(desk, LEAD, f"!flut {number} verwerfen nur Werbung") == ["flood.dropped"]
    await until_quiet(desk)
    assert await held(desk) == 0
    assert len(await shown(desk)) == 1 + 10
    action, actor = (await actions(desk))[-1]
    assert action == "flood.dropped" and actor.startswith("agent:")
    desk.pace = Pace(limits=CONTACT)  # a minute later
    await desk.put(*many(1, first=60), lane=CHAT)
    await desk.work(1)
    assert (await shown(desk))[-1] == ("message 60", False)


@pytest.mark.parametrize("verdict", ["admitted", "dropped"])
async def test_an_operator_decides_outside_of_matrix_and_the_room_says_so(desk: StaffDesk, verdict: Verdict) -> None:
    await desk.put(*many(60), lane=CHAT)
    await desk.work(2)
    admin = operator_of(desk)
    [row] = await admin.floods()
    assert (row.scope, row.group, row.messages, row.people, row.verdict) == ("contact", GROUP, 50, 1, None)
    assert row.ref is not None
    assert await admin.open_floods() == Held(floods=1, messages=50)
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().values(state="sent", merge_key=None))  # its card stands
    assert await admin.decide_flood(row.id, verdict, "nonsense") == 50
    await until_quiet(desk)
    assert len(await shown(desk)) == 1 + (60 if verdict == "admitted" else 10)
    assert (await actions(desk))[-1] == (f"flood.{verdict}", "shell:0")
    assert await admin.open_floods() == Held(floods=0, messages=0)
    assert [(each.id, each.messages, each.decided_by) for each in await admin.floods(decided=True)] == [
        (row.id, 50, "shell:0")
    ]
    for id, words in ((row.id, "decided already"), (999, "there is no flood 999")):
        with pytest.raises(NotPossible, match=words):
            await admin.decide_flood(id, verdict)
    assert await told_of_the_end(desk, row.id) == ["An operator", "An operator"]


def operator_of(desk: StaffDesk) -> Admin:
    settings = Settings.model_validate(
        {"matrix": {"homeserver": "http://x", "desks": [{"user_id": DESK, "password": "x"}]}}
    )
    return Admin(Storage(engine=desk.engine, keys=desk.keys, namespace=desk.namespace), settings, actor="shell:0")


async def told_of_the_end(desk: StaffDesk, id: int) -> list[object]:
    """Who has decided, as the card and the thread say it."""
    assert len(await of_kind(desk, ShowFlood)) == 2
    async with desk.units() as unit:
        found = await unit.floods.get(id)
        assert found is not None and found.conversation is not None
        card = await flood_card._fields(unit, texts("en"), found)
        case = await unit.conversations.case(found.conversation)
        thread = await filled(unit, case, (await desk.notices())[-1].fields)
    return [card["person"], thread["by"]]


async def test_what_somebody_takes_back_is_taken_back_whatever_is_decided(desk: StaffDesk, room: None) -> None:
    person = Handle(kind="mxid", value=CUSTOMER)
    taken_back = [
        MessageDeleted(account=DESK, source_id=f"$gone-{n}", at=AT, sender=person, target=RemoteId(f"${CHAT}-{n}"))
        for n in (3, 40)
    ]
    await desk.put(*many(60), *taken_back, lane=CHAT)
    await desk.work(2)
    assert await held(desk) == 52
    number = (await floods(desk))[0].id
    await says_beside(desk, LEAD, f"!flood {number} drop nonsense")
    await until_quiet(desk)
    async with desk.units() as unit:
        trace = await unit.messages.find_trace(DESK, f"${CHAT}-3")
        assert trace is not None and trace.message is not None
        assert (await unit.messages.get(trace.message)).is_deleted
    assert await desk.inbox_states("MessageDeleted") == ["done", "done"]


async def newcomers(desk: StaffDesk, count: int, server: str) -> None:
    for n in range(count):
        person = Handle(kind="mxid", value=f"@p{n}:{server}")
        await desk.put(ChatReady(account=DESK, chat=f"!{server}-{n}", person=person, name=f"P{n}", at=AT))
    await desk.work(2)
    for n in range(count):
        await desk.put(*many(1, chat=f"!{server}-{n}", sender=f"@p{n}:{server}"), lane=f"!{server}-{n}")


@pytest.mark.parametrize("scope", [Scope.GROUP, Scope.ACCOUNT, Scope.SERVER])
async def test_too_many_newcomers_land_in_one_card_and_whom_we_know_is_served(desk: StaffDesk, scope: Scope) -> None:
    desk.pace = Pace(limits={**CONTACT, scope: Limit(per_minute=6, burst=5)})
    await newcomers(desk, 12, "evil.example")
    await desk.put(*many(3), lane=CHAT)
    await desk.work(2)
    assert len(await desk.conversations()) == 1 + 5
    assert [text for text, _ in await shown(desk)].count("message 2") == 1
    [row] = await floods(desk)
    assert (row.scope, row.about) == (scope.value, "evil.example" if scope is Scope.SERVER else "")
    assert len(await of_kind(desk, ShowFlood)) == 1
    await until_quiet(desk)
    assert len(await desk.conversations()) == 1 + 12 - await held(desk)
    async with desk.units() as unit:
        assert await unit.floods.decide(row.id, "admitted", by="shell:test")
    await until_quiet(desk)
    assert len(await desk.conversations()) == 1 + 12


async def test_people_of_our_own_homeserver_share_no_limit(desk: StaffDesk) -> None:
    desk.pace = Pace(limits={Scope.SERVER: Limit(per_minute=1, burst=1)})
    await newcomers(desk, 5, "x")
    await desk.work(2)
    assert len(await desk.conversations()) == 6


async def test_limits_hold_over_a_restart(desk: StaffDesk) -> None:
    now, store, key = datetime.now(UTC), SqlBuckets(desk.engine), ConversationId(desk.namespace)
    before, after = Pace(limits=CONTACT), Pace(limits=CONTACT)
    for _ in range(12):
        before.take(Scope.CONTACT, key, now)
    await before.save(store, now)
    await after.load(store, now)
    assert after.take(Scope.CONTACT, key, now) == now + timedelta(seconds=9)


async def test_what_comes_in_the_moment_of_the_decision_is_not_held_by_a_flood_that_is_over(desk: StaffDesk) -> None:
    await desk.put(*many(60), lane=CHAT)
    await desk.work(2)
    number = (await floods(desk))[0].id
    await desk.put(*many(1, first=60), lane=CHAT)
    async with desk.units() as unit:
        row = await unit.inbox.claim()
        assert row is not None
        async with desk.units() as other:
            assert await other.floods.decide(number, "admitted", by="shell:test")
        assert not await unit.floods.hold(row, number)


def unknown(first: int, count: int, what: str, *, sender: str = CUSTOMER, chat: str = CHAT) -> list[Unsupported]:
    who, account = Handle(kind="mxid", value=sender), ChannelAccountId(DESK)
    return [
        Unsupported(account=account, source_id=f"$u{n}", at=AT, sender=who, what=what, hints=(chat,))
        for n in range(first, first + count)
    ]


async def remarks(desk: StaffDesk) -> Sequence[sa.Row[tuple[float, str]]]:
    """(seconds that it has to wait, its state) of each message with remarks."""
    wait = sa.func.extract("epoch", outbox.c.next_at - outbox.c.made_at)
    async with desk.engine.begin() as connection:
        rows = sa.select(wait.label("wait"), outbox.c.state).where(outbox.c.kind == "PostRemarks")
        return (await connection.execute(rows.order_by(outbox.c.id))).all()


async def say_remarks(desk: StaffDesk, wall: Wall) -> str:
    """Delivers the newest ones, as the worker does, and returns what was said."""
    effect = (await of_kind(desk, PostRemarks))[-1]
    assert isinstance(effect, PostRemarks)
    hands = Hands(
        units=desk.units,
        desk=cast(Any, wall),
        channel=cast(Any, None),
        door=cast(Any, None),
        files=cast(Any, None),
        organisation=Organisation(name="Linden"),
    )
    outcome = await to_thread.post_remarks(hands, effect, "txn")
    assert outcome.remarked is not None
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().where(outbox.c.kind == "PostRemarks").values(state="sent"))
        await space_remarks(connection, outcome.remarked)
    return wall.said[-1].plain


async def test_what_the_desk_remarks_on_unasked_is_said_once_in_ten_seconds_and_nothing_waits_for_it(
    desk: StaffDesk, room: None
) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE conversation SET card_room = :room, card_event = :card"), ON_CARD)
    wall = Wall()
    await desk.put(*unknown(0, 5, "m.location"), *unknown(5, 1, "m.poll"), *many(2), lane=CHAT)
    await desk.work(2)
    assert await remarks(desk) == [(0, "new")], "the first need not wait, and the others have joined them"
    lines = (await say_remarks(desk, wall)).splitlines()
    assert [line.partition("(")[2] for line in lines] == [
        "m.location). Ask for it in words or as a file. (× 5)",
        "m.poll). Ask for it in words or as a file.",
    ]
    await desk.put(*unknown(6, 1, "m.location"), lane=CHAT)
    await until_quiet(desk)
    [_, (wait, state)] = await remarks(desk)
    assert 0 < wait <= 10 and state == "new"
    assert [effect.lane for effect in await of_kind(desk, PostRemarks)] == [f"remarks:{(await one(desk))}"] * 2
    assert [text for text, _ in await shown(desk)] == ["Hello", "message 0", "message 1"]


async def test_nothing_joins_remarks_that_may_have_got_through(desk: StaffDesk, room: None) -> None:
    """The homeserver would answer their repeat with the first, and forget what has joined."""
    await desk.put(*unknown(0, 1, "m.location"), lane=CHAT)
    await until_quiet(desk)
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().where(outbox.c.kind == "PostRemarks").values(attempts=1))
    await desk.put(*unknown(1, 1, "m.poll"), lane=CHAT)
    await until_quiet(desk)
    said = [effect for effect in await of_kind(desk, PostRemarks) if isinstance(effect, PostRemarks)]
    assert [[line.fields["what"] for line in each.lines] for each in said] == [["m.location"], ["m.poll"]]


async def test_of_very_many_remarks_the_rest_is_counted(desk: StaffDesk, room: None) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE conversation SET card_room = :room, card_event = :card"), ON_CARD)
    desk.pace = None
    for n in range(14):
        await desk.put(*unknown(n, 1, f"x.{n}"), lane=CHAT)
    await desk.work(2)
    lines = (await say_remarks(desk, Wall())).splitlines()
    assert len(lines) == 11 and lines[-1] == "And 4 more."


def dropped_remarks() -> float:
    return metrics.REGISTRY.get_sample_value("stellwerk_remarks_dropped_total") or 0.0


async def test_remarks_that_are_too_many_to_be_kept_are_counted(
    desk: StaffDesk, room: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.storage.outbox.MOST_REMARKS", 3)
    before, desk.pace = dropped_remarks(), None
    async with desk.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE conversation SET card_room = :room, card_event = :card"), ON_CARD)
    for n in range(6):
        await desk.put(*unknown(n, 1, f"x.{n}"), lane=CHAT)
    await desk.work(1)
    lines = (await say_remarks(desk, Wall())).splitlines()
    assert len(lines) == 4 and lines[-1] == "And 3 more."
    assert dropped_remarks() - before == 3


async def test_remarks_in_many_threads_come_into_a_room_one_after_the_other(desk: StaffDesk, room: None) -> None:
    """Nobody fills a team's room with them by way of many chats; another team's waits for none of it."""
    desk.pace, chats = None, [f"!chat{n}" for n in range(4)]
    for chat in chats:
        await desk.greet(f"@{chat[1:]}:x", "Kim", chat=chat)
        await desk.put(customer_says(f"$in{chat}", "Hello", sender=f"@{chat[1:]}:x", chat=chat))
    await desk.work(1)
    async with desk.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE conversation SET card_room = :room, card_event = :card"), ON_CARD)
        elsewhere = sa.text(
            "UPDATE conversation SET card_room = '!other' FROM chat WHERE chat.id = chat_id AND chat.remote = :last"
        )
        await connection.execute(elsewhere, {"last": chats[-1]})
    for n, chat in enumerate(chats):
        await desk.put(*unknown(n, 1, "m.location", sender=f"@{chat[1:]}:x", chat=chat))
        await desk.work(1)
    assert [wait for wait, _ in await remarks(desk)] == [0, 1, 2, 0]


async def one(desk: StaffDesk) -> ConversationId:
    return (await desk.conversations())[0]


async def test_the_cards_number_follows(desk: StaffDesk, room: None) -> None:
    await desk.put(*many(60), lane=CHAT)
    await desk.work(2)
    number = (await floods(desk))[0].id
    async with desk.engine.begin() as connection:
        await connection.execute(flood.update().values(event="$card-of-flood", shown=50, edit_at=sa.func.now()))
    async with desk.units() as unit:
        assert await unit.floods.stale() == []
    await desk.put(*many(5, first=60), lane=CHAT)
    await desk.work(2)
    async with desk.units() as unit:
        assert [id for id, _ in await unit.floods.stale()] == [number]
