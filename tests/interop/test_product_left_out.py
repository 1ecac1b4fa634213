"""A colleague whose device is not signed by its owner gets no keys under the house rule; the room is told what to
do."""

import pytest

from messenger.demo.synapse import Synapse
from tests.interop.conftest import StartElement
from tests.support.people import People
from tests.support.product import Product

pytestmark = pytest.mark.oracle


async def test_an_unsigned_device_is_named_in_the_room(
    product: Product, people: People, synapse: Synapse, element: StartElement
) -> None:
    account = await synapse.register("mia-watches")
    mia = await element(account)
    unsigned, customer = await people.person("ben"), await people.person("anna")
    members = [(account.user_id, "Mia Wolf", "agent"), (unsigned.user_id, "Ben Li", "agent")]
    await product.add_group("General", members, default=True, device_policy="cross-signed-tofu")
    await product.start()
    room = await product.group_room("General")
    await mia.is_invited(room)
    await mia.do("join", room=room)
    chat = await customer.start_direct_chat(product.desk)
    await customer.say(chat, "hello")

    told = await mia.waits_for(lambda each: each["ev"] == "event" and "Ben Li: your device" in _body(each))
    assert unsigned.device.device_id in _body(told)
    assert not any(seen.is_readable for seen in unsigned.events(room) if seen.was_encrypted)


def _body(report: dict[str, object]) -> str:
    content = report.get("content")
    return str(content.get("body", "")) if isinstance(content, dict) else ""
