"""One owner, whatever races: claims, releases and messages against one conversation in the real database."""

import random
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import JoinChat, SendToCustomer
from messenger.app.effects.staff import React
from messenger.app.effects.thread import PostNotice, RelayToThread
from messenger.app.items import ChatInvited, StaffRedacted
from messenger.app.orders import UNWIRED
from messenger.channels.messages import Handle
from messenger.domain.conversation import State, fold
from messenger.domain.events import ConversationClaimed, ConversationReleased, ReplyAccepted
from messenger.domain.replies import MARKERS, Fate
from messenger.observability.time import utc_now
from tests.integration.staff_desk import (
    AT,
    DESK,
    ROOM,
    StaffDesk,
    customer_says,
    staff_reacts,
    staff_says,
)

AGENTS = [f"@agent{number}:x" for number in range(25)]
WORKERS = 4


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


@pytest.mark.parametrize("count", [200, pytest.param(1_000, marks=pytest.mark.long)])
async def test_of_many_racing_claims_exactly_one_wins(desk: StaffDesk, count: int) -> None:
    id = await desk.set_up(AGENTS)
    claims = [
        staff_reacts(agent, random.choice("👀🙋")) if number % 2 else staff_says(agent, "!claim")
        for number in range(count // len(AGENTS))
        for agent in AGENTS
    ]
    random.Random(7).shuffle(claims)
    await desk.put(*claims)
    assert await desk.work(WORKERS) == count
    state, log = await desk.state_and_log(id)
    winners = [entry.event for entry in log if isinstance(entry.event, ConversationClaimed)]
    assert len(winners) == 1
    assert (state.owner, state.state) == (winners[0].agent, State.OPEN)
    lost = [each for each in await desk.effects() if isinstance(each, PostNotice) and each.text == "S3b"]
    assert len(lost) == count - count // len(AGENTS), "everybody but the winner was told"
    assert fold(log) == state


async def test_a_wild_mixture_never_gives_two_owners_and_the_log_is_the_state(desk: StaffDesk) -> None:
    id = await desk.set_up(AGENTS[:5])
    chance = random.Random(11)
    said = ["!claim", "!release", "!claim", "!release", "Hello", "// note", "!who", "!undo", "!nonsense"]
    items = [staff_says(chance.choice(AGENTS[:5]), chance.choice(said)) for _ in range(300)]
    items += [customer_says(f"$c{number}", "still here") for number in range(30)]
    chance.shuffle(items)
    await desk.put(*items)
    await desk.work(WORKERS)
    state, log = await desk.state_and_log(id)
    owner = None
    for entry in log:
        match entry.event:
            case ConversationClaimed(agent=agent):
                assert owner is None
                owner = agent
            case ConversationReleased(agent=agent):
                assert owner == agent
                owner = None
            case ReplyAccepted(author=author):
                assert owner == author, "only the owner's words left"
            case _:
                pass
    assert state.owner == owner
    assert fold(log) == state
    assert any(isinstance(entry.event, ConversationReleased) for entry in log), "the mixture was too tame"


async def test_a_claim_that_is_taken_back_at_once_does_not_stay(desk: StaffDesk) -> None:
    """The reaction and its redaction are in different lanes; the second may be looked at first."""
    id = await desk.set_up(AGENTS[:1])
    claim = staff_reacts(AGENTS[0], "👀")
    back = StaffRedacted(account=DESK, room=ROOM, event="$back", target=claim.event, sender=AGENTS[0], at=AT)
    await desk.put(back)
    await desk.work(1)
    await desk.put(claim)
    await desk.work(1)
    assert (await desk.state_and_log(id))[0].owner is not None
    assert await desk.inbox_states("StaffRedacted") == ["new"], "it waits for its target"


async def test_in_an_explicit_group_a_draft_leaves_by_approval_and_a_note_never(desk: StaffDesk) -> None:
    owner, colleague = AGENTS[:2]
    await desk.set_up(AGENTS[:2], reply_mode="explicit")
    await desk.put(staff_says(owner, "!claim"))
    await desk.work(1)
    await desk.put(
        staff_says(colleague, "Your report is here.", event="$draft"), staff_says(owner, "!note x", event="$n")
    )
    await desk.work(1)
    assert not [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
    await desk.put(staff_reacts(colleague, "📤", target="$draft"), staff_reacts(owner, "📤", target="$n"))
    await desk.work(1)
    assert not [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
    await desk.put(staff_reacts(owner, "📤", target="$draft"))
    await desk.work(1)
    [sent] = [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
    async with desk.units() as unit:
        message = await unit.messages.get(sent.message)  # type: ignore[arg-type]
    assert message.content.text == "Your report is here."


async def test_words_of_somebody_else_in_the_customers_room_are_marked(desk: StaffDesk) -> None:
    await desk.set_up(AGENTS[:1])
    await desk.put(customer_says("$friend", "I am her friend", sender="@friend:x"))
    await desk.work(1)
    relayed = [each for each in await desk.effects() if isinstance(each, RelayToThread)]
    async with desk.units() as unit:
        messages = [await unit.messages.get(each.message) for each in relayed]  # type: ignore[arg-type]
    assert [(each.is_unverified, each.speaker) for each in messages] == [(False, ""), (True, "@friend:x")]
    assert messages[1].speaker_contact is not None


async def test_a_message_that_is_earlier_than_its_chat_is_never_dropped(desk: StaffDesk) -> None:
    await desk.set_up(AGENTS[:1])
    await desk.put(customer_says("$early", "before the chat", chat="!other"))
    await desk.work(1)
    assert await desk.inbox_states("InboundMessage") == ["done", "new"]


async def test_a_server_that_floods_us_waits_in_its_own_lane(desk: StaffDesk) -> None:
    await desk.set_up(AGENTS[:1])
    later = utc_now() + timedelta(minutes=5)

    def invitation(server: str, number: int, *, late: bool) -> ChatInvited:
        sender = Handle(kind="mxid", value=f"@u{number}:{server}")
        return ChatInvited(
            account=DESK,
            chat=f"!{server}{number}",
            sender=sender,
            server=server,
            at=AT,
            not_before=later if late else None,
        )

    for number in range(3):
        await desk.put(invitation("flood.example", number, late=number > 0), lane="invite|flood.example")
    await desk.put(invitation("quiet.example", 0, late=False), lane="invite|quiet.example")
    await desk.work(WORKERS)
    joined = [each.chat for each in await desk.effects() if isinstance(each, JoinChat)]
    assert sorted(joined) == ["!flood.example0", "!quiet.example0"]
    assert await desk.inbox_states("ChatInvited") == ["done", "new", "new", "done"]


async def test_what_is_declared_but_not_carried_out_is_refused_and_changes_nothing(desk: StaffDesk) -> None:
    id = await desk.set_up(AGENTS[:1])
    before = await desk.state_and_log(id)
    await desk.put(*(staff_says(AGENTS[0], f"!{name} anything") for name in UNWIRED))
    await desk.work(1)
    effects = await desk.effects()
    refusals = [each for each in effects if isinstance(each, PostNotice) and each.text == "S10d"]
    assert {each.fields["action"] for each in refusals} == set(UNWIRED)
    assert [each.key for each in effects if isinstance(each, React)] == [MARKERS[Fate.FAILED]] * len(UNWIRED)
    assert await desk.state_and_log(id) == before


async def test_a_command_for_another_conversation_is_not_carried_out_on_this_one(desk: StaffDesk) -> None:
    id = await desk.set_up(AGENTS[:1])
    number = (await desk.state_and_log(id))[0].number
    await desk.put(staff_says(AGENTS[0], "!claim K-2222" if number != "K-2222" else "!claim K-3333"))
    await desk.work(1)
    assert (await desk.state_and_log(id))[0].owner is None
    assert "S10c.other" in [each.text for each in await desk.effects() if isinstance(each, PostNotice)]
    await desk.put(staff_says(AGENTS[0], f"!claim {number.lower()}"))
    await desk.work(1)
    assert (await desk.state_and_log(id))[0].owner is not None
