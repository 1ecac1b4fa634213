"""Element's engine as a colleague whose account shows a new device: nothing leaves until a lead has decided, and what
has waited then comes in its order."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from messenger.demo.synapse import Registered, Synapse
from tests.interop.conftest import StartElement
from tests.interop.oracle import Element, Report
from tests.support.people import People
from tests.support.product import Product

pytestmark = pytest.mark.oracle


@dataclass
class Team:
    product: Product
    lead: Element
    ben: Element
    bens_account: Registered
    room: str

    async def decides(self, command: str) -> None:
        """The lead comes into the direct chat that the desk has opened, reads why, and decides."""
        invited = await self.lead.waits_for(
            lambda each: each["ev"] == "my_membership" and each["membership"] == "invite" and each["room"] != self.room,
            what="an invitation to a direct chat",
            timeout_s=60,
        )
        direct = str(invited["room"])
        await self.lead.join(direct)
        alert = await reads(self.lead, direct, "A new device of")
        assert self.ben.user_id in text_of(alert) and "!trust" in text_of(alert) and "!remove" in text_of(alert)
        await self.lead.send(direct, f"{command} {self.ben.user_id}")
        await reads(self.lead, direct, "What waited leaves now")

    async def an_operator_decides(self) -> None:
        """As `stellwerk trust list` and `stellwerk trust accept` do it."""
        async with self.product.admin() as admin:
            [alert], _ = await admin.trust(all=False)
            assert (alert.person, alert.cause) == (self.ben.user_id, "unsigned_device")
            assert await admin.decide_trust(self.ben.user_id, trusted=True) == 1
            assert (await admin.trust(all=False))[0] == []


@pytest.fixture
async def team(product: Product, synapse: Synapse, element: StartElement) -> AsyncIterator[Team]:
    accounts = [await synapse.register(f"{name}{secrets.token_hex(3)}") for name in ("zoe", "ben")]
    lead, ben = [await element(account) for account in accounts]
    members = [(lead.user_id, "Zoe Li", "lead"), (ben.user_id, "Ben Li", "agent")]
    await product.add_group("General", members, default=True, device_policy="cross-signed-tofu")
    await product.start()
    room = await product.group_room("General")
    for person in (lead, ben):
        await person.is_invited(room)
        await person.join(room)
    yield Team(product, lead, ben, accounts[1], room)
    await product.stop()


def text_of(report: Report) -> str:
    return str(report["content"].get("body", ""))


async def reads(element: Element, room: str, text: str) -> Report:
    return await element.waits_for(
        lambda each: each["ev"] == "event" and each["room"] == room and text in text_of(each),
        what=repr(text),
        timeout_s=90,
    )


@pytest.mark.parametrize(
    "command",
    ["!trust", pytest.param("!remove", marks=pytest.mark.long), pytest.param("operator", marks=pytest.mark.long)],
)
async def test_a_new_device_stops_the_room_until_a_lead_decides(
    team: Team, people: People, element: StartElement, command: str
) -> None:
    customers = [await people.person(name) for name in ("anna", "bea", "cem")]
    chats = [await each.start_direct_chat(team.product.desk) for each in customers]
    await customers[0].say(chats[0], "apple")
    await reads(team.ben, team.room, "apple")
    added = await element(team.bens_account, bootstrap=False)
    await customers[1].say(chats[1], "banana")
    await customers[2].say(chats[2], "cherry")
    await team.lead.waits_for(lambda each: each["ev"] == "my_membership" and each["room"] != team.room, timeout_s=60)
    assert not any("banana" in text_of(each) for each in team.ben.reports if each["ev"] == "event")
    if command == "operator":
        await team.an_operator_decides()
    else:
        await team.decides(command)
    for word in ("banana", "cherry"):
        assert await reads(team.ben, team.room, word)
    if command != "!remove":
        assert await reads(added, team.room, "cherry")
    else:
        assert not any("banana" in text_of(each) for each in added.reports if each["ev"] == "event")
    assert [each for each in team.ben.undecryptable if each["room"] == team.room] == []


async def test_a_device_that_logs_out_is_in_no_key_that_comes_after(
    product: Product, people: People, synapse: Synapse, element: StartElement
) -> None:
    account = await synapse.register(f"ben{secrets.token_hex(3)}")
    ben = await element(account, recovery=True)
    await product.add_group(
        "General", [(ben.user_id, "Ben Li", "agent")], default=True, device_policy="cross-signed-tofu"
    )
    await product.start()
    room = await product.group_room("General")
    await ben.is_invited(room)
    await ben.join(room)
    phone = await element(account, recovery_key=ben.info["recovery_key"])  # signed by its owner: no doubt
    customers = [await people.person(name) for name in ("anna", "bea", "cem")]
    chats = [await each.start_direct_chat(product.desk) for each in customers]
    sessions = []
    for customer, chat, word in zip(customers, chats, ("apple", "banana", "cherry"), strict=True):
        if word == "cherry":
            await phone.do("logout")
        await customer.say(chat, word)
        report = await reads(ben, room, word)
        sessions.append(report["wire_content"]["session_id"])
        if word != "cherry":
            await reads(phone, room, word)
    assert sessions[0] == sessions[1] != sessions[2]
    await product.stop()
