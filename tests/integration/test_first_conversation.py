"""The story of a first conversation, with the real program, a real homeserver and a real database."""

import pytest

from messenger.domain.replies import MARKERS, Fate
from tests.support.people import People, Person
from tests.support.product import Product
from tests.support.timeline import Seen
from tests.support.waiting import eventually


class Story:
    """The product running with one group, an agent in it and a customer's chat."""

    def __init__(self, product: Product, customer: Person, agent: Person, chat: str, room: str) -> None:
        self.product, self.customer, self.agent, self.chat, self.room = product, customer, agent, chat, room

    async def opened(self, text: str) -> Seen:
        """The customer writes first; returns the card."""
        await self.customer.say(self.chat, text)
        return await self.agent.wait_for(self.room, lambda seen: seen.thread is None and text in seen.body)

    async def marker_on(self, event_id: str, fate: Fate) -> None:
        async def only_this() -> bool:
            keys = [
                each.key
                for each in self.agent.reactions(self.room)
                if each.target == event_id and each.sender == self.product.desk
            ]
            return keys == [MARKERS[fate]]

        await eventually(only_this, what=f"the marker {fate}")

    async def claim(self, card: Seen) -> None:
        await self.agent.react(self.room, card.event_id, "👀")
        await self.agent.wait_for(self.room, lambda seen: seen.thread == card.event_id and "You have K-" in seen.body)


@pytest.fixture
async def story(product: Product, people: People) -> Story:
    agent, customer = await people.person("ben"), await people.person("anna")
    await product.add_group("General", [(agent.user_id, "Ben Li", "agent")], default=True)
    await product.start()
    room = await product.group_room("General")
    chat = await customer.start_direct_chat(product.desk)
    await agent.wait_for_members(room, [agent.user_id])
    return Story(product, customer, agent, chat, room)


async def test_a_customer_is_greeted_with_the_truth_about_who_can_read(story: Story) -> None:
    greeting = await story.customer.wait_for(story.chat, lambda seen: "Linden Health" in seen.body)
    assert greeting.was_encrypted
    assert "our colleagues read it there" in greeting.body
    assert "dort lesen ihn unsere" in greeting.body
    assert "我们的同事" in greeting.body


async def test_a_customers_message_appears_in_a_thread_under_a_card(story: Story) -> None:
    card = await story.opened("Guten Tag, mein Rezept fehlt.")
    relayed = await story.agent.wait_for(story.room, lambda seen: seen.thread == card.event_id)
    assert card.was_encrypted and relayed.was_encrypted
    assert card.body.startswith("New · K-")
    assert relayed.body.endswith(": Guten Tag, mein Rezept fehlt.")


async def test_the_owners_answer_reaches_the_customer_and_shows_its_fate(story: Story) -> None:
    card = await story.opened("Hello")
    await story.claim(card)
    answer = await story.agent.say(story.room, "We are on it.", thread=card.event_id)
    received = await story.customer.wait_for(story.chat, lambda seen: "We are on it." in seen.body)
    assert received.sender == story.product.desk
    assert received.body == "Ben: We are on it."
    await story.marker_on(answer, Fate.DELIVERED)


async def test_notes_unknown_commands_and_team_chat_never_leave(story: Story) -> None:
    card = await story.opened("Hello")
    await story.claim(card)
    note = await story.agent.say(story.room, "// do not tell", thread=card.event_id)
    await story.agent.say(story.room, "!frobnicate the secret", thread=card.event_id)
    await story.agent.say(story.room, "secret team chat")
    await story.marker_on(note, Fate.KEPT)
    await story.agent.wait_for(story.room, lambda seen: "I do not know !frobnicate" in seen.body)
    await story.agent.say(story.room, "the end", thread=card.event_id)
    await story.customer.wait_for(story.chat, lambda seen: "the end" in seen.body)
    everything = " ".join(seen.body for seen in await story.customer.read_back(story.chat))
    assert "do not tell" not in everything and "secret" not in everything


async def test_removing_the_reaction_releases_the_conversation(story: Story) -> None:
    card = await story.opened("Hello")
    await story.claim(card)
    claim = next(
        each for each in story.agent.reactions(story.room) if each.key == "👀" and each.target == card.event_id
    )
    await story.agent.redact(story.room, claim.event_id)
    kept = await story.agent.say(story.room, "am I still the owner?", thread=card.event_id)
    await story.marker_on(kept, Fate.KEPT)
    await eventually(lambda: story.agent.latest_text(story.room, card.event_id).startswith("Back in the queue"))
