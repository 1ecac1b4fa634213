"""The key backup on a real homeserver: everything arrives, comes back on a new device, and a foreign backup stops the
desk."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import vodozemac

from messenger.demo.synapse import Synapse
from messenger.matrix.crypto.canonical import ub64
from messenger.matrix.engine import RoomKey
from messenger.matrix.http import CLIENT
from messenger.matrix.identity import BackupChanged, Identity, KeyBackup, ensure_identity
from messenger.matrix.identity import key_backup as module
from messenger.matrix.identity.backup_version import ALGORITHM, current_backup, public_key_of
from tests.interop.accounts import BotLogin, logged_in, new_account
from tests.unit.identity_device import megolm_session

ROOMS = ("!one:test", "!two:test")


@pytest.fixture
async def bot(synapse: Synapse) -> AsyncIterator[BotLogin]:
    async with logged_in(synapse, await new_account(synapse)) as login:
        yield login


@pytest.fixture
async def identity(bot: BotLogin) -> Identity:
    return await ensure_identity(bot.http, bot.device)


@pytest.fixture
def sessions(bot: BotLogin) -> list[RoomKey]:
    """Seven sessions in two rooms, waiting to be backed up."""
    bot.device.pending = [megolm_session(ROOMS[number % 2], sender=bot.device) for number in range(7)]
    return list(bot.device.pending)


def by_id(keys: list[RoomKey]) -> list[RoomKey]:
    return sorted(keys, key=lambda key: key.session_id)


async def test_all_sessions_are_uploaded_in_portions(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey]
) -> None:
    backup = KeyBackup(bot.http, bot.device, identity)
    assert [await backup.upload_pending(limit=3) for _ in range(4)] == [3, 3, 1, 0]
    stored = await current_backup(bot.http)
    assert stored is not None
    assert stored.count == len(sessions)


async def test_a_new_device_with_the_recovery_key_gets_every_session_back(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey], synapse: Synapse
) -> None:
    await KeyBackup(bot.http, bot.device, identity).upload_pending()
    async with logged_in(synapse, bot.account) as fresh:
        restored = await ensure_identity(fresh.http, fresh.device, recovery_key=identity.recovery_key)
        assert await KeyBackup(fresh.http, fresh.device, restored).restore() == len(sessions)
        assert by_id(fresh.device.imported) == by_id(sessions)


async def test_a_large_backup_is_read_room_by_room(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = KeyBackup(bot.http, bot.device, identity)
    await backup.upload_pending()
    monkeypatch.setattr(module, "WHOLE_LIMIT", 3)
    assert await backup.restore(rooms=ROOMS) == len(sessions)
    assert by_id(bot.device.imported) == by_id(sessions)


async def test_an_entry_that_the_homeserver_slipped_in_is_not_imported(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey], caplog: pytest.LogCaptureFixture
) -> None:
    backup = KeyBackup(bot.http, bot.device, identity)
    await backup.upload_pending()
    box = vodozemac.PkEncryption.from_key(
        vodozemac.Curve25519PublicKey.from_base64(identity.backup_public_key)
    ).encrypt(b"{}")
    data = {"ciphertext": ub64(box.ciphertext), "mac": ub64(box.mac), "ephemeral": ub64(box.ephemeral_key)}
    entry = {"first_message_index": 0, "forwarded_count": 0, "is_verified": True, "session_data": data}
    await bot.http.call(
        "PUT", f"{CLIENT}/room_keys/keys/!one:test/forged", entry, query={"version": identity.backup_version}
    )
    assert await backup.restore() == len(sessions)
    assert by_id(bot.device.imported) == by_id(sessions)
    assert "1 of 8 entries" in caplog.text


async def test_an_erased_session_is_gone_from_the_backup(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey]
) -> None:
    backup = KeyBackup(bot.http, bot.device, identity)
    await backup.upload_pending()
    await backup.forget(sessions[0].room_id, sessions[0].session_id)
    assert await backup.restore() == len(sessions) - 1
    assert sessions[0] not in bot.device.imported


async def replace_backup(bot: BotLogin) -> None:
    await bot.http.call(
        "POST",
        f"{CLIENT}/room_keys/version",
        {"algorithm": ALGORITHM, "auth_data": {"public_key": public_key_of(bytes(range(32)))}},
    )


async def delete_backup(bot: BotLogin) -> None:
    backup = await current_backup(bot.http)
    assert backup is not None
    await bot.http.call("DELETE", f"{CLIENT}/room_keys/version/{backup.version}")


@pytest.mark.parametrize("somebody_does", [replace_backup, delete_backup])
async def test_a_backup_that_is_no_longer_ours_gets_no_keys_and_none_of_our_own_making(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey], somebody_does: Callable[[BotLogin], Awaitable[None]]
) -> None:
    backup = KeyBackup(bot.http, bot.device, identity)
    await somebody_does(bot)
    bot.http.calls.clear()
    with pytest.raises(BackupChanged):
        await backup.upload_pending()
    with pytest.raises(BackupChanged):
        await backup.restore()
    assert bot.device.pending == sessions
    assert bot.http.changes == []


async def strip_signatures(bot: BotLogin) -> None:
    """What a homeserver could do: the same version and key, but nobody vouches for it."""
    backup = await current_backup(bot.http)
    assert backup is not None
    body = {"algorithm": ALGORITHM, "version": backup.version, "auth_data": {"public_key": backup.public_key}}
    await bot.http.call("PUT", f"{CLIENT}/room_keys/version/{backup.version}", body)


async def test_a_backup_without_our_signature_is_not_read(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey]
) -> None:
    backup = KeyBackup(bot.http, bot.device, identity)
    await backup.upload_pending()
    await strip_signatures(bot)
    with pytest.raises(BackupChanged, match="not signed"):
        await backup.restore()
    assert bot.device.imported == []


async def test_after_a_deleted_backup_the_recovery_key_makes_a_new_one(
    bot: BotLogin, identity: Identity, sessions: list[RoomKey]
) -> None:
    await delete_backup(bot)
    renewed = await ensure_identity(bot.http, bot.device, recovery_key=identity.recovery_key)
    assert renewed.master_key == identity.master_key
    assert renewed.backup_version != identity.backup_version
    assert await KeyBackup(bot.http, bot.device, renewed).upload_pending() == len(sessions)
