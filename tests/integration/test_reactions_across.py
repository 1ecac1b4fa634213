"""Reactions on either side: who is counted, what crosses, what is shown when one goes."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import MirrorReactions
from messenger.app.effects.thread import PostNotice
from messenger.app.items import CustomerReacted, SendEnded, StaffRedacted
from messenger.app.records import Trace
from messenger.channels.messages import ChannelAccountId, Handle, MessageDeleted, ReactionsChanged, RemoteId
from messenger.domain.ids import ConversationId, MessageId
from tests.integration.staff_desk import AT, CHAT, CUSTOMER, DESK, ROOM, StaffDesk, staff_reacts, staff_says


class Reactions:
    """A conversation of Ben's in which the customer's first message is shown, and an answer has been sent."""

    def __init__(self, desk: StaffDesk, conversation: ConversationId) -> None:
        self.desk, self.conversation = desk, conversation

    async def prepare(self) -> None:
        await self.desk.put(staff_reacts("@ben:x", "👀"))
        await self.desk.work(1)
        await self.desk.put(staff_says("@ben:x", "We are on it.", event="$answer"))
        await self.desk.work(1)
        self.question = await self._is_shown("$first", "$copy of first", ROOM)
        self.answer = await self._is_shown("$answer", "$copy of answer", CHAT)

    async def _is_shown(self, event: str, copy: str, room: str) -> MessageId:
        async with self.desk.units() as unit:
            origin = await unit.messages.find_trace(DESK, event)
            assert origin is not None and origin.message is not None
            await unit.messages.add_trace(replace(origin, remote_id=copy, room=room, kind="copy"))
        return origin.message

    async def at(self, message: UUID) -> set[str]:
        async with self.desk.units() as unit:
            return set(await unit.reactions.keys(MessageId(message)))

    async def mirrored(self) -> list[UUID]:
        return [effect.message for effect in await self.desk.effects() if isinstance(effect, MirrorReactions)]


@pytest.fixture
async def reactions(database: AsyncEngine, request: pytest.FixtureRequest) -> Reactions:
    desk = StaffDesk(database)
    settings = getattr(request, "param", {})
    conversation = await desk.set_up(["@ben:x", "@cleo:x"], **settings)
    reactions = Reactions(desk, conversation)
    await reactions.prepare()
    return reactions


def customer_reacts(
    key: str, *, event: str = "$r", target: str = "$copy of answer", sender: str = CUSTOMER
) -> CustomerReacted:
    person = Handle(kind="mxid", value=sender)
    return CustomerReacted(account=DESK, room=CHAT, event=event, target=target, key=key, sender=person, at=AT)


def customer_takes_back(event: str) -> MessageDeleted:
    return MessageDeleted(
        account=ChannelAccountId(DESK),
        source_id=f"$no {event}",
        at=AT,
        sender=Handle(kind="mxid", value=CUSTOMER),
        target=RemoteId(event),
    )


def staff_takes_back(event: str) -> StaffRedacted:
    return StaffRedacted(account=DESK, room=ROOM, event=f"$no {event}", target=event, sender="@ben:x", at=AT)


async def test_a_customers_reaction_is_counted_until_the_last_one_goes(reactions: Reactions) -> None:
    await reactions.desk.put(customer_reacts("👍", event="$1"), customer_reacts("👍", event="$2"))
    await reactions.desk.work(1)
    assert await reactions.at(reactions.answer) == {"👍"}
    await reactions.desk.put(customer_takes_back("$1"))
    await reactions.desk.work(1)
    assert await reactions.at(reactions.answer) == {"👍"}
    await reactions.desk.put(customer_takes_back("$2"))
    await reactions.desk.work(1)
    assert await reactions.at(reactions.answer) == set()
    assert set(await reactions.mirrored()) == {reactions.answer}


async def test_the_same_reaction_twice_is_one(reactions: Reactions) -> None:
    await reactions.desk.put(customer_reacts("👍"), customer_reacts("👍"))
    await reactions.desk.work(1)
    await reactions.desk.put(customer_takes_back("$r"))
    await reactions.desk.work(1)
    assert await reactions.at(reactions.answer) == set()


@pytest.mark.parametrize(
    "item",
    [
        customer_reacts("👍", sender="@guest:x"),
        customer_reacts("👍", target="$first"),
        customer_reacts("👍", target="$greeting"),
        customer_reacts("\u200d"),
    ],
    ids=["somebody else's", "on a message of their own", "on a text of the desk", "nothing to see"],
)
async def test_what_is_no_reaction_of_the_customer_to_an_answer_is_nothing(
    reactions: Reactions, item: CustomerReacted
) -> None:
    await reactions.desk.put(item)
    await reactions.desk.work(1)
    assert await reactions.mirrored() == []
    assert await reactions.desk.inbox_states("CustomerReacted") == ["done"]


async def test_the_owners_reaction_to_the_customers_message_crosses_and_goes_again(reactions: Reactions) -> None:
    liked = staff_reacts("@ben:x", "❤️", target="$copy of first")
    await reactions.desk.put(liked)
    await reactions.desk.work(1)
    assert await reactions.at(reactions.question) == {"❤️"}
    await reactions.desk.put(staff_takes_back(liked.event))
    await reactions.desk.work(1)
    assert await reactions.at(reactions.question) == set()
    assert set(await reactions.mirrored()) == {reactions.question}


async def test_what_must_not_cross_leaves_nothing_and_is_not_spoken_of(reactions: Reactions) -> None:
    before = await reactions.desk.effects()
    await reactions.desk.put(
        staff_reacts("@cleo:x", "👍", target="$copy of first"),  # not the owner
        staff_reacts("@ben:x", "📤", target="$copy of first"),  # an order
        staff_reacts("@ben:x", "📤\ufe0f", target="$copy of first"),
        staff_reacts("@ben:x", "👍", target="$answer"),  # among colleagues
        staff_reacts("@stranger:x", "👍", target="$copy of first"),
    )
    await reactions.desk.work(1)
    assert await reactions.desk.effects() == before


@pytest.mark.parametrize("reactions", [{"reply_mode": "open"}], indirect=True)
async def test_in_mode_open_any_agents_reaction_crosses(reactions: Reactions) -> None:
    await reactions.desk.put(staff_reacts("@cleo:x", "👍", target="$copy of first"))
    await reactions.desk.work(1)
    assert await reactions.at(reactions.question) == {"👍"}


async def test_a_set_of_reactions_takes_the_place_of_the_last_one(reactions: Reactions) -> None:
    for n, now in enumerate([{"👍", "🎉"}, {"🎉", "✅"}, set()]):
        changed = ReactionsChanged(
            account=ChannelAccountId(DESK),
            source_id=f"$set {n}",
            at=AT,
            sender=Handle(kind="mxid", value=CUSTOMER),
            target=RemoteId("$copy of answer"),
            now=frozenset(now),
        )
        await reactions.desk.put(changed)
        await reactions.desk.work(1)
        assert {key.removesuffix("\ufe0f") for key in await reactions.at(reactions.answer)} == now


async def test_a_reaction_to_what_is_just_being_sent_waits_for_its_id(reactions: Reactions) -> None:
    await reactions.desk.claim_everything()
    await reactions.desk.put(customer_reacts("👍", target="$copy not noted yet"))
    await reactions.desk.work(1)
    assert await reactions.desk.inbox_states("CustomerReacted") == ["new"]
    async with reactions.desk.units() as unit:
        await unit.messages.add_trace(
            Trace(
                account=DESK,
                room=CHAT,
                remote_id="$copy not noted yet",
                kind="copy",
                conversation=reactions.conversation,
                message=reactions.answer,
            )
        )
    await reactions.desk.hurry_inbox()
    await reactions.desk.work(1)
    assert await reactions.at(reactions.answer) == {"👍"}


async def test_a_channel_without_reactions_is_spoken_of_once(reactions: Reactions) -> None:
    refused = SendEnded(
        conversation=reactions.conversation,
        message=reactions.question,
        effect="MirrorReactions",
        code="content_refused",
    )
    await reactions.desk.put(refused, refused)
    await reactions.desk.work(1)
    texts = [effect.text for effect in await reactions.desk.effects() if isinstance(effect, PostNotice)]
    assert texts.count("S14.reaction") == 1
