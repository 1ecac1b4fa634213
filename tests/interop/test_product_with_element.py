"""Element's engine judges the running product: a customer and an agent as devices of Element, in its default mode and
in the one that excludes insecure devices."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.demo.synapse import Registered, Synapse
from messenger.matrix.http import CLIENT, HomeserverClient
from tests.interop.conftest import StartElement
from tests.interop.oracle import Element, Isolation, Report
from tests.support.product import Product
from tests.support.waiting import eventually

pytestmark = pytest.mark.oracle

BOTH_MODES = pytest.mark.parametrize("isolation", ["all", "signed"])
# The strict mode is the harder one; the other runs with the long tests.
STRICT_MODE = pytest.mark.parametrize("isolation", [pytest.param("all", marks=pytest.mark.long), "signed"])
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"\n%%EOF\n"


class Desk:
    """The product with one strict group, an agent and a customer, both with Element's engine."""

    def __init__(self, product: Product, agent: Element, customer: Element, room: str) -> None:
        self.product, self.agent, self.customer, self.room = product, agent, customer, room
        self.chat = self.card = ""

    async def open_chat(self) -> None:
        """On a slow line: the engine asks for the desk's keys as it meets the desk, and the greeting waits for that."""
        await self.customer.do("slow_down", part="/keys/query", ms=800)
        self.chat = await self.customer.create_room(invite=(self.product.desk,), history="shared")
        await self.customer.sees_member(self.chat, self.product.desk)
        await self.customer.waits_for(
            lambda each: each["ev"] == "event" and each["room"] == self.chat and "Linden Health" in text_of(each)
        )
        await self.customer.do("slow_down", part=None, ms=0)

    async def ask(self, text: str) -> str:
        """The customer writes; returns the card that the agent sees."""
        await self.customer.send(self.chat, text)
        card = await self.agent.waits_for(
            lambda each: each["ev"] == "event" and is_root(each) and text in text_of(each), what="the card"
        )
        self.card = str(card["id"])
        return self.card

    async def claim(self) -> None:
        await self.agent.do("react", room=self.room, event=self.card, key="👀")
        await self.in_thread("You have K-")

    async def in_thread(self, text: str) -> Report:
        """Below the card, which itself may show the same words (see `is_root`)."""

        def is_there(each: Report) -> bool:
            is_below = each["ev"] == "event" and each.get("thread") == self.card and each["id"] != self.card
            return is_below and text in text_of(each)

        return await self.agent.waits_for(is_there, what=repr(text))

    async def at_the_customers(self, text: str) -> Report:
        return await self.customer.waits_for(
            lambda each: each["ev"] == "event" and each["room"] == self.chat and text in text_of(each), what=repr(text)
        )

    async def replaced(self, reader: Element, room: str, event: str, text: str) -> Report:
        return await reader.waits_for(
            lambda each: (
                each["ev"] == "event"
                and each["room"] == room
                and (each.get("relates") or {}).get("rel_type") == "m.replace"
                and each["relates"]["event_id"] == event
                and text in text_of(each)
            ),
            what=f"the change to {text!r}",
        )

    async def shields(self, element: Element, room: str) -> set[str]:
        """The colours next to everything that the desk has said."""
        said = [
            each["id"]
            for each in element.reports
            if each["ev"] == "event"
            and each["room"] == room
            and each["sender"] == self.product.desk
            and is_message(each)
        ]
        assert said
        return {(await element.shield(room, event))[0] for event in said}


def is_message(report: Report) -> bool:
    """Neither state, nor a reaction, nor an edit: those stand in no timeline of their own."""
    return "body" in report["content"] and "m.new_content" not in report["content"]


def text_of(report: Report) -> str:
    return str(report["content"].get("body", ""))


def is_root(report: Report) -> bool:
    """An event in no thread. If answers came as fast, the engine counts the root among them."""
    return report.get("thread") in (None, "", report["id"])


@pytest.fixture
async def desk(product: Product, synapse: Synapse, element: StartElement, isolation: Isolation) -> AsyncIterator[Desk]:
    """The agent's device is signed by its owner, as the group's policy asks."""
    account = await synapse.register(f"ben{secrets.token_hex(3)}", displayname="Ben Li")
    agent = await element(account, isolation=isolation)
    await product.add_group(
        "General", [(agent.user_id, "Ben Li", "agent")], default=True, device_policy="cross-signed-tofu"
    )
    await product.start()
    room = await product.group_room("General")
    await agent.is_invited(room)
    await agent.join(room)
    await agent.send(room, "good morning")  # the engine refuses for ever what comes before it knows the desk
    customer = await element(await synapse.register(f"anna{secrets.token_hex(3)}"), isolation=isolation)
    desk = Desk(product, agent, customer, room)
    await desk.open_chat()
    yield desk
    await product.stop()


@BOTH_MODES
async def test_a_conversation_goes_both_ways_and_element_finds_nothing_to_warn_of(desk: Desk, tmp_path: Path) -> None:
    await desk.ask("Grüße 你好 🎉")
    assert text_of(await desk.in_thread(": Grüße 你好 🎉"))
    await desk.claim()
    await desk.agent.send(desk.room, "// she sounds worried", thread=desk.card)
    await desk.agent.send(desk.room, "We are on it.", thread=desk.card)
    assert text_of(await desk.at_the_customers("We are on it.")) == "Ben: We are on it."
    (tmp_path / "letter.pdf").write_bytes(PDF)
    await desk.customer.send_file(desk.chat, tmp_path / "letter.pdf", mime="application/pdf", caption="my letter")
    shown = await desk.in_thread("my letter")
    assert await desk.agent.sha256_of_file(desk.room, shown["id"]) == hashlib.sha256(PDF).hexdigest()
    await desk.agent.send_file(desk.room, tmp_path / "letter.pdf", mime="application/pdf", thread=desk.card)
    received = await desk.customer.waits_for(
        lambda each: (
            each["ev"] == "event"
            and each["room"] == desk.chat
            and each["content"].get("msgtype") == "m.file"
            and each["sender"] == desk.product.desk
        )
    )
    assert await desk.customer.sha256_of_file(desk.chat, received["id"]) == hashlib.sha256(PDF).hexdigest()
    assert await desk.shields(desk.customer, desk.chat) == {"NONE"}
    assert await desk.shields(desk.agent, desk.room) == {"NONE"}
    assert desk.customer.undecryptable == [] and desk.agent.undecryptable == []
    assert not [each for each in desk.customer.reports if each["ev"] == "event" and "worried" in text_of(each)]


@STRICT_MODE
async def test_replies_edits_reactions_and_deletions_cross_between_two_devices_of_element(desk: Desk) -> None:
    bot, agent, customer = desk.product.desk, desk.agent, desk.customer
    await desk.ask("which letter?")
    question = (await customer.reads("which letter?", room=desk.chat))["id"]
    await desk.claim()
    shown = await desk.in_thread("which letter?")
    answer = await agent.send(desk.room, "the blue one", thread=desk.card, reply_to=shown["id"])
    received = await desk.at_the_customers("the blue one")
    assert received["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == question
    mine = await customer.send(desk.chat, "found it", reply_to=received["id"])
    found = await desk.in_thread("found it")
    assert found["relates"]["m.in_reply_to"]["event_id"] == answer and not found["relates"]["is_falling_back"]

    await customer.do("react", room=desk.chat, event=received["id"], key="👍")
    await eventually(lambda: shows(agent, desk.room, answer, {"✅": [bot], "👍": [bot]}), what="the customer's 👍")
    liked = await agent.do("react", room=desk.room, event=found["id"], key="🎉")
    await eventually(lambda: shows(customer, desk.chat, mine, {"🎉": [bot]}), what="the agent's 🎉")
    await agent.do("redact", room=desk.room, event=liked["event_id"])
    await eventually(lambda: shows(customer, desk.chat, mine, {}), what="the 🎉 is gone")

    await agent.do("edit", room=desk.room, event=answer, body="the green one")
    await desk.replaced(customer, desk.chat, received["id"], "the green one")
    await customer.do("edit", room=desk.chat, event=mine, body="found it at last")
    await desk.replaced(agent, desk.room, found["id"], "found it at last")
    assert await desk.shields(customer, desk.chat) == {"NONE"}
    await agent.do("redact", room=desk.room, event=answer)
    await customer.waits_for(lambda each: each["ev"] == "redaction" and each["redacts"] == received["id"])
    assert await desk.shields(agent, desk.room) == {"NONE"}
    assert customer.undecryptable == [] and agent.undecryptable == []


async def shows(element: Element, room: str, event: str, wanted: dict[str, list[str]]) -> bool:
    return bool(await element.do("reactions", room=room, event=event) == wanted)


@STRICT_MODE
async def test_element_understands_the_menu_and_the_desk_its_vote(desk: Desk) -> None:
    await desk.product.add_group("Pharmacy", menu_label="Medicines")
    await desk.product.add_group("Billing", [(desk.agent.user_id, "Ben Li", "agent")], menu_label="A bill")
    billing = await desk.product.group_room("Billing")
    await desk.agent.is_invited(billing)
    await desk.agent.join(billing)
    await desk.customer.send(desk.chat, "I have a question")
    poll = await desk.customer.waits_for(
        lambda each: each["ev"] == "event" and each["type"] == "org.matrix.msc3381.poll.start", what="the menu"
    )
    await desk.customer.do("vote", room=desk.chat, poll=poll["id"], answer="A bill")
    await desk.agent.waits_for(
        lambda each: each["ev"] == "event" and each["room"] == billing and "I have a question" in text_of(each),
        what="the message in the chosen group",
    )
    assert desk.customer.undecryptable == [] and desk.agent.undecryptable == []


@pytest.mark.parametrize("isolation", ["signed"])
async def test_the_operators_recovery_key_opens_the_desks_backup_in_element(
    desk: Desk, synapse: Synapse, element: StartElement
) -> None:
    await desk.ask("an old question")
    await desk.claim()
    await desk.agent.send(desk.room, "an old answer", thread=desk.card)
    await desk.at_the_customers("an old answer")
    settings = desk.product.settings
    recovery_key = settings.recovery_key_file(settings.desk()).read_text().strip()
    account = Registered(desk.product.desk, (desk.product.folder / "desk.password").read_text())

    homeserver = await synapse_login(synapse, account)
    await eventually(lambda: has_keys_in_backup(homeserver, at_least=3), what="the backup holds the keys")
    await homeserver.close()
    operator = await element(account, recovery_key=recovery_key)
    restored = operator.info["restored"]
    assert restored["backup_trusted"] and restored["imported"] == restored["total"] >= 3
    assert {"an old question", "Ben: an old answer"} <= set(await operator.texts(desk.chat))


async def synapse_login(synapse: Synapse, account: Registered) -> HomeserverClient:
    homeserver = HomeserverClient(synapse.url)
    user = {"type": "m.id.user", "user": account.user_id}
    body = {"type": "m.login.password", "password": account.password, "identifier": user}
    homeserver.token = (await homeserver.call("POST", f"{CLIENT}/login", body))["access_token"]
    return homeserver


async def has_keys_in_backup(homeserver: HomeserverClient, *, at_least: int) -> bool:
    """The customer's session, the desk's own in the chat and in the group's room."""
    return int((await homeserver.call("GET", f"{CLIENT}/room_keys/version"))["count"]) >= at_least
