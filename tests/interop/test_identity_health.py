"""The check-up sees what an attacker or a careless person can do to the desk's account, and says what to do."""

from collections.abc import AsyncIterator

import pytest

from messenger.demo.synapse import Synapse
from messenger.matrix.http import CLIENT
from messenger.matrix.identity import Finding, Identity, check_identity, ensure_identity
from tests.interop.accounts import BotLogin, logged_in, new_account
from tests.interop.test_identity_on_homeserver import reset_by_somebody
from tests.interop.test_key_backup_on_homeserver import delete_backup, replace_backup, strip_signatures


@pytest.fixture
async def bot(synapse: Synapse) -> AsyncIterator[BotLogin]:
    async with logged_in(synapse, await new_account(synapse)) as login:
        yield login


@pytest.fixture
async def identity(bot: BotLogin) -> Identity:
    return await ensure_identity(bot.http, bot.device)


async def findings(bot: BotLogin, identity: Identity) -> dict[str, Finding]:
    return {finding.code: finding for finding in await check_identity(bot.http, bot.device, identity)}


def troubles(found: dict[str, Finding]) -> dict[str, str]:
    return {code: finding.level for code, finding in found.items() if finding.level != "ok"}


async def test_a_whole_identity_has_no_trouble(bot: BotLogin, identity: Identity) -> None:
    found = await findings(bot, identity)
    assert troubles(found) == {}
    assert identity.fingerprint in found["master_key"].words
    assert len(found) == 6


async def test_the_check_up_changes_nothing(bot: BotLogin, identity: Identity) -> None:
    bot.http.calls.clear()
    await findings(bot, identity)
    assert bot.http.changes == [f"POST {CLIENT}/keys/upload"], "an empty upload only asks for the counts"


async def test_a_reset_identity_is_an_alarm(bot: BotLogin, identity: Identity) -> None:
    await reset_by_somebody(bot)
    found = await findings(bot, identity)
    assert {"master_key": "fail", "self_signing_key": "fail", "device_signed": "fail"}.items() <= troubles(
        found
    ).items()
    assert identity.fingerprint in found["master_key"].words


async def test_another_login_is_a_warning_and_one_that_the_identity_signed_an_alarm(
    bot: BotLogin, identity: Identity, synapse: Synapse
) -> None:
    async with logged_in(synapse, bot.account) as other:
        found = await findings(bot, identity)
        assert troubles(found) == {"foreign_devices": "warn"}
        assert other.device.device_id in found["foreign_devices"].words
        await ensure_identity(other.http, other.device, recovery_key=identity.recovery_key)
        assert troubles(await findings(bot, identity)) == {"foreign_devices": "fail"}


async def test_a_device_that_nobody_signed_is_an_alarm(bot: BotLogin, identity: Identity, synapse: Synapse) -> None:
    async with logged_in(synapse, bot.account) as unsigned:
        assert troubles(await findings(unsigned, identity))["device_signed"] == "fail"


async def test_a_replaced_backup_is_an_alarm(bot: BotLogin, identity: Identity) -> None:
    await replace_backup(bot)
    found = await findings(bot, identity)
    assert troubles(found) == {"key_backup": "fail"}
    assert "replaced" in found["key_backup"].words


async def test_a_backup_that_lost_our_signature_is_an_alarm(bot: BotLogin, identity: Identity) -> None:
    await strip_signatures(bot)
    assert troubles(await findings(bot, identity)) == {"key_backup": "fail"}


async def test_a_deleted_backup_is_an_alarm(bot: BotLogin, identity: Identity) -> None:
    await delete_backup(bot)
    found = await findings(bot, identity)
    assert troubles(found) == {"key_backup": "fail"}
    assert "deleted" in found["key_backup"].words


@pytest.mark.parametrize(("left", "level"), [(0, "fail"), (19, "warn"), (20, None)])
async def test_running_out_of_one_time_keys_is_seen(synapse: Synapse, left: int, level: str | None) -> None:
    async with logged_in(synapse, await new_account(synapse), one_time_keys=left) as bot:
        found = await findings(bot, await ensure_identity(bot.http, bot.device))
        assert troubles(found).get("one_time_keys") == level


async def test_a_desk_that_was_logged_out_is_told_so(bot: BotLogin, identity: Identity) -> None:
    await bot.http.call("POST", f"{CLIENT}/logout", {})
    found = await findings(bot, identity)
    assert troubles(found) == {"homeserver": "fail"}
    assert "login" in found["homeserver"].words


async def test_a_homeserver_that_is_down_is_a_finding_and_not_a_crash(bot: BotLogin, identity: Identity) -> None:
    bot.http.base_url = "http://127.0.0.1:9"
    assert troubles(await findings(bot, identity)) == {"homeserver": "fail"}
