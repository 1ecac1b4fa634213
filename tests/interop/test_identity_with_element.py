"""Element's engine judges the desk's identity: its recovery key, its secret storage, its key backup and its
signatures."""

import secrets
from collections.abc import AsyncIterator

import pytest

from messenger.demo.synapse import Synapse
from messenger.matrix.engine import RoomKey
from messenger.matrix.http import CLIENT, path
from messenger.matrix.identity import Identity, KeyBackup, ensure_identity
from tests.interop.accounts import BotLogin, logged_in, new_account
from tests.interop.conftest import StartElement
from tests.interop.oracle import Element
from tests.support.waiting import eventually
from tests.unit.identity_device import megolm_session

pytestmark = pytest.mark.oracle


@pytest.fixture
async def bot(synapse: Synapse) -> AsyncIterator[BotLogin]:
    async with logged_in(synapse, await new_account(synapse)) as login:
        yield login


@pytest.fixture
async def identity(bot: BotLogin) -> Identity:
    return await ensure_identity(bot.http, bot.device)


def sessions_to_back_up(bot: BotLogin, count: int) -> list[RoomKey]:
    bot.device.pending = [megolm_session(f"!room{number % 2}:test", sender=bot.device) for number in range(count)]
    return list(bot.device.pending)


async def customer_of(bot: BotLogin, synapse: Synapse, element: StartElement) -> Element:
    """Somebody who shares a room with the desk: the homeserver reports changed devices only to such people."""
    customer = await element(await synapse.register(f"customer{secrets.token_hex(4)}"))
    room = await customer.create_room(invite=(bot.device.user_id,))
    await bot.http.call("POST", f"{CLIENT}/join/{path(room)}", {})
    await customer.sees_member(room, bot.device.user_id)
    return customer


async def signed_devices(element: Element, bot: BotLogin) -> dict[str, bool]:
    """The desk's devices as this person's client sees them: are they signed by their owner?"""
    shown = await element.do("devices", user=bot.device.user_id)
    return {device["device"]: device["signed_by_owner"] for device in shown["devices"]}


async def test_the_recovery_key_opens_the_whole_identity_in_element(
    bot: BotLogin, identity: Identity, element: StartElement
) -> None:
    sessions = sessions_to_back_up(bot, 5)
    await KeyBackup(bot.http, bot.device, identity).upload_pending()
    operator = await element(bot.account, recovery_key=identity.recovery_key)
    assert operator.info["cross_signing"]
    assert operator.info["restored"] == {
        "total": 5,
        "imported": 5,
        "backup_trusted": True,
        "backup_key_matches": True,
        "storage_key_ok": True,
        "secret_storage_ready": True,
    }
    imported = {(key["room"], key["session"], key["shared_history"]) for key in await operator.do("export_keys")}
    assert imported == {(key.room_id, key.session_id, True) for key in sessions}


async def test_other_people_see_the_desks_device_as_signed_by_its_owner(
    bot: BotLogin, synapse: Synapse, element: StartElement
) -> None:
    customer, ours = await customer_of(bot, synapse, element), bot.device.device_id
    await eventually(lambda: shows(customer, bot, {ours: False}))
    await ensure_identity(bot.http, bot.device)
    await eventually(lambda: shows(customer, bot, {ours: True}))
    assert not (await customer.do("devices", user=bot.device.user_id))["needs_approval"]


async def test_devices_signed_by_element_and_by_the_desk_are_of_one_identity(
    bot: BotLogin, identity: Identity, synapse: Synapse, element: StartElement
) -> None:
    operator = await element(bot.account, recovery_key=identity.recovery_key)
    customer = await customer_of(bot, synapse, element)
    await eventually(lambda: shows(customer, bot, {bot.device.device_id: True, operator.device_id: True}))


async def test_an_identity_that_element_made_can_be_taken_over_with_its_recovery_key(
    bot: BotLogin, synapse: Synapse, element: StartElement
) -> None:
    operator = await element(bot.account, recovery=True)
    identity = await ensure_identity(bot.http, bot.device, recovery_key=operator.info["recovery_key"])
    assert identity.mode == "restored"
    customer = await customer_of(bot, synapse, element)
    await eventually(lambda: shows(customer, bot, {bot.device.device_id: True, operator.device_id: True}))
    sessions = sessions_to_back_up(bot, 3)
    assert await KeyBackup(bot.http, bot.device, identity).upload_pending() == len(sessions)


async def shows(element: Element, bot: BotLogin, expected: dict[str, bool]) -> bool:
    assert await signed_devices(element, bot) == expected
    return True
