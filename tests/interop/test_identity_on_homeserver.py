"""The desk's identity on a real homeserver: made once, opened again, never replaced; and whole after every crash."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from messenger.demo.synapse import Synapse
from messenger.matrix.crypto.canonical import master_key_of, owner_signed
from messenger.matrix.http import CLIENT, MatrixError
from messenger.matrix.identity import Identity, IdentityLocked, ensure_identity, new_recovery_key
from messenger.matrix.identity.backup_version import current_backup, public_key_of
from messenger.matrix.identity.cross_signing import (
    CrossSigningKeys,
    SigningKey,
    public_objects,
    publish_identity,
    query_own_keys,
)
from tests.interop.accounts import BotLogin, Killed, logged_in, new_account


@pytest.fixture
async def bot(synapse: Synapse) -> AsyncIterator[BotLogin]:
    async with logged_in(synapse, await new_account(synapse)) as login:
        yield login


async def assert_whole(login: BotLogin, identity: Identity) -> None:
    """Everything that other people's clients look at fits together."""
    answer = await query_own_keys(login.http, login.device.user_id)
    assert owner_signed(answer, login.device.user_id, login.device.device_id) == identity.master_key
    backup = await current_backup(login.http)
    assert backup is not None
    assert backup.version == identity.backup_version
    assert backup.public_key == public_key_of(identity.backup_private_key) == identity.backup_public_key
    assert backup.is_signed_by(login.device.user_id, identity.master_key)


async def reset_by_somebody(login: BotLogin) -> None:
    """What the account's password allows anybody to do: a new master key."""
    keys = CrossSigningKeys(master=SigningKey.new(), self_signing=SigningKey.new(), user_signing=SigningKey.new())
    body, url = public_objects(keys, login.device), f"{CLIENT}/keys/device_signing/upload"
    with pytest.raises(MatrixError) as challenge:
        await login.http.call("POST", url, body)
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": login.device.user_id},
        "password": login.account.password,
        "session": challenge.value.body["session"],
    }
    await login.http.call("POST", url, {**body, "auth": auth})


async def test_an_identity_that_an_earlier_version_has_stored_gets_its_user_signing_key_back(bot: BotLogin) -> None:
    whole = await ensure_identity(bot.http, bot.device)
    lacking = replace(whole, user_signing_seed=None)
    assert (await ensure_identity(bot.http, bot.device, stored=lacking)).user_signing_seed is None
    again = await ensure_identity(bot.http, bot.device, stored=lacking, recovery_key=whole.recovery_key)
    assert again.user_signing_seed == whole.user_signing_seed is not None


async def test_a_fresh_account_gets_a_whole_identity_without_its_password(bot: BotLogin) -> None:
    identity = await ensure_identity(bot.http, bot.device)
    assert identity.mode == "created"
    assert identity.recovery_key is not None
    await assert_whole(bot, identity)


async def test_the_signed_device_keys_for_other_peoples_clients_are_the_published_ones(bot: BotLogin) -> None:
    await ensure_identity(bot.http, bot.device)
    shown = (await query_own_keys(bot.http, bot.device.user_id))["device_keys"][bot.device.user_id][
        bot.device.device_id
    ]
    assert bot.device.signed_device_keys == {part: shown[part] for part in shown if part != "unsigned"}


async def test_a_warm_start_needs_no_recovery_key_and_changes_nothing(bot: BotLogin) -> None:
    first = await ensure_identity(bot.http, bot.device)
    bot.http.calls.clear()
    again = await ensure_identity(bot.http, bot.device, stored=Identity.from_secret(first.to_secret()))
    assert (again.mode, again.master_key, again.recovery_key) == ("unchanged", first.master_key, None)
    assert bot.http.changes == []
    assert bot.device.signed_device_keys is not None


async def test_the_recovery_key_brings_the_identity_to_a_new_device(bot: BotLogin, synapse: Synapse) -> None:
    first = await ensure_identity(bot.http, bot.device)
    async with logged_in(synapse, bot.account) as fresh:
        restored = await ensure_identity(fresh.http, fresh.device, recovery_key=first.recovery_key)
        assert (restored.mode, restored.fingerprint) == ("restored", first.fingerprint)
        assert restored.to_secret() == first.to_secret()
        await assert_whole(fresh, restored)


async def test_a_stored_identity_signs_a_new_device(bot: BotLogin, synapse: Synapse) -> None:
    first = await ensure_identity(bot.http, bot.device)
    async with logged_in(synapse, bot.account) as fresh:
        assert (await ensure_identity(fresh.http, fresh.device, stored=first)).mode == "restored"
        await assert_whole(fresh, first)


@pytest.mark.parametrize(
    ("recovery_key", "reason"),
    [
        (None, "Give the desk its recovery key"),
        (new_recovery_key(), "does not open"),
        ("EsTc", "too short"),
    ],
    ids=["none", "another", "too short"],
)
async def test_an_identity_that_cannot_be_opened_is_never_replaced(
    bot: BotLogin, synapse: Synapse, recovery_key: str | None, reason: str
) -> None:
    first = await ensure_identity(bot.http, bot.device)
    async with logged_in(synapse, bot.account) as fresh:
        with pytest.raises(IdentityLocked, match=reason):
            await ensure_identity(fresh.http, fresh.device, password=bot.account.password, recovery_key=recovery_key)
        assert fresh.http.changes == []
    await assert_whole(bot, first)


async def test_a_changed_master_key_stops_the_desk(bot: BotLogin) -> None:
    first = await ensure_identity(bot.http, bot.device)
    await reset_by_somebody(bot)
    with pytest.raises(IdentityLocked, match="master key changed"):
        await ensure_identity(bot.http, bot.device, stored=first, password=bot.account.password)
    with pytest.raises(IdentityLocked, match="does not hold the published identity"):
        await ensure_identity(bot.http, bot.device, recovery_key=first.recovery_key, password=bot.account.password)


async def test_the_password_is_not_given_away_to_replace_an_identity_that_came_up_meanwhile(bot: BotLogin) -> None:
    first = await ensure_identity(bot.http, bot.device)
    keys = CrossSigningKeys(master=SigningKey.new(), self_signing=SigningKey.new(), user_signing=SigningKey.new())
    with pytest.raises(IdentityLocked, match="Nothing was replaced"):
        await publish_identity(
            bot.http, bot.device.user_id, public_objects(keys, bot.device), password=bot.account.password
        )
    assert master_key_of(await query_own_keys(bot.http, bot.device.user_id), bot.device.user_id) == first.master_key


async def test_an_account_with_somebody_elses_key_backup_is_left_alone(bot: BotLogin) -> None:
    auth_data = {"public_key": public_key_of(bytes(range(32)))}
    await bot.http.call(
        "POST",
        f"{CLIENT}/room_keys/version",
        {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": auth_data},
    )
    bot.http.calls.clear()
    with pytest.raises(IdentityLocked, match="backup"):
        await ensure_identity(bot.http, bot.device)
    assert bot.http.changes == []


async def test_the_new_recovery_key_is_handed_over_before_anything_changes(bot: BotLogin) -> None:
    kept: list[str] = []

    async def keep(key: str) -> None:
        assert bot.http.changes == []
        kept.append(key)

    identity = await ensure_identity(bot.http, bot.device, keep_recovery_key=keep)
    assert [identity.recovery_key] == kept


async def test_a_crash_after_any_call_of_the_set_up_is_completed_by_the_next_start(synapse: Synapse) -> None:
    recovery_key = new_recovery_key()
    died_after: list[str] = []
    while True:
        async with logged_in(synapse, await new_account(synapse)) as login:
            login.http.dies_after = len(died_after) + 1
            try:
                await ensure_identity(login.http, login.device, recovery_key=recovery_key)
                break
            except Killed as death:
                died_after.append(str(death))
            login.http.dies_after = None
            identity = await ensure_identity(login.http, login.device, recovery_key=recovery_key)
            await assert_whole(login, identity)
            await assert_opens_on_another_device(synapse, login, recovery_key, identity)
    assert len(died_after) >= 10, died_after


async def test_a_crash_after_any_call_of_a_restore_is_completed_by_the_next_start(
    bot: BotLogin, synapse: Synapse
) -> None:
    first = await ensure_identity(bot.http, bot.device)
    for dies_after in range(1, 100):
        async with logged_in(synapse, bot.account) as fresh:
            fresh.http.dies_after = dies_after
            try:
                await ensure_identity(fresh.http, fresh.device, recovery_key=first.recovery_key)
                break
            except Killed:
                fresh.http.dies_after = None
            again = await ensure_identity(fresh.http, fresh.device, recovery_key=first.recovery_key)
            assert again.to_secret() == first.to_secret()
            await assert_whole(fresh, again)
    assert dies_after > 5


async def test_repeated_crashes_never_change_an_identity_once_it_is_published(synapse: Synapse) -> None:
    recovery_key, seen = new_recovery_key(), set()
    async with logged_in(synapse, await new_account(synapse)) as login:
        for dies_after in range(1, 40):
            login.http.calls.clear()
            login.http.dies_after = dies_after
            with suppress(Killed):
                await ensure_identity(login.http, login.device, recovery_key=recovery_key)
            login.http.dies_after = None
            seen.add(master_key_of(await query_own_keys(login.http, login.device.user_id), login.device.user_id))
    assert len(seen - {None}) == 1


async def assert_opens_on_another_device(
    synapse: Synapse, login: BotLogin, recovery_key: str, identity: Identity
) -> None:
    async with logged_in(synapse, login.account) as other:
        restored = await ensure_identity(other.http, other.device, recovery_key=recovery_key)
        assert restored.to_secret() == identity.to_secret()
