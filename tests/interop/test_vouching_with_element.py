"""A group that gives keys only to people for whom somebody has vouched (`device_policy=verified`), with Element's
engine."""

import secrets

import pytest

from messenger.demo.synapse import Registered, Synapse
from messenger.matrix.crypto.canonical import verify_signature
from messenger.matrix.http import CLIENT, HomeserverClient
from tests.interop.conftest import StartElement
from tests.support.people import People
from tests.support.product import Product
from tests.support.waiting import eventually

pytestmark = pytest.mark.oracle


async def test_who_was_vouched_for_reads_what_comes_after_and_is_signed_for_later_devices(
    product: Product, people: People, synapse: Synapse, element: StartElement
) -> None:
    ben = await element(await synapse.register(f"ben{secrets.token_hex(3)}"))
    members = [(ben.user_id, "Ben Li", "agent")]
    await product.add_group("General", members, default=True, device_policy="verified")
    await product.start()
    room = await product.group_room("General")
    await ben.is_invited(room)
    await ben.join(room)
    anna, bea = await people.person("anna"), await people.person("bea")
    chats = [await each.start_direct_chat(product.desk) for each in (anna, bea)]
    await anna.say(chats[0], "apple")
    await ben.waits_for(lambda each: each["ev"] == "utd" and each["room"] == room, what="a message without a key")
    async with product.admin() as admin:
        assert await admin.decide_trust(ben.user_id, trusted=True) == 0

    async def is_signed() -> bool:
        return await desk_has_signed(product, synapse, ben.user_id)

    await eventually(is_signed, what="the signature of the desk")
    await bea.say(chats[1], "banana")
    await ben.waits_for(
        lambda each: each["ev"] == "event" and each["room"] == room and "banana" in str(each["content"].get("body")),
        timeout_s=60,
        what="the card",
    )
    await product.stop()


async def desk_has_signed(product: Product, synapse: Synapse, person: str) -> bool:
    """What a later device of the desk would find: only the signer is shown such signatures."""
    account = Registered(product.desk, (product.folder / "desk.password").read_text())
    http = HomeserverClient(synapse.url)
    try:
        user = {"type": "m.id.user", "user": account.user_id}
        login = {"type": "m.login.password", "password": account.password, "identifier": user}
        http.token = (await http.call("POST", f"{CLIENT}/login", login))["access_token"]
        answer = await http.call("POST", f"{CLIENT}/keys/query", {"device_keys": {person: [], product.desk: []}})
        await http.call("POST", f"{CLIENT}/logout", {})
    finally:
        await http.close()
    [signing_key] = answer["user_signing_keys"][product.desk]["keys"].values()
    return verify_signature(answer["master_keys"][person], product.desk, signing_key, signing_key)
