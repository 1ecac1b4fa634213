"""Gives a bot account its identity and signs the running device with it. Without that, people whose client excludes
insecure devices can neither read nor write to the desk.

The order makes it safe to be killed between any two calls: the secrets go into secret storage FIRST, then the
identity is published, then the key backup is made, then the device is signed. Each step looks for what an interrupted
run left and goes on from there. An identity that exists and cannot be opened is never replaced: people would see a
stranger under the desk's name."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from messenger.matrix.crypto.canonical import master_key_of, owner_signed, self_signing_key_of
from messenger.matrix.crypto.canonical import public_key_of as published_key_of
from messenger.matrix.engine import OwnDevice
from messenger.matrix.http import HomeserverClient
from messenger.matrix.identity.backup_version import SECRET_NAME as BACKUP_SECRET
from messenger.matrix.identity.backup_version import BackupVersion, create_backup, current_backup, public_key_of
from messenger.matrix.identity.cross_signing import (
    SECRET_NAMES,
    CrossSigningKeys,
    SigningKey,
    has_master_key,
    public_objects,
    publish_identity,
    query_own_keys,
    sign_device_keys,
    upload_device_signature,
)
from messenger.matrix.identity.recovery_key import decode_recovery_key, encode_recovery_key, new_recovery_key
from messenger.matrix.identity.secret_storage import (
    AccountData,
    SecretStorage,
    WrongKey,
    open_storage,
    prepare_storage,
)
from messenger.matrix.identity.values import Identity, IdentityLocked, IdentityMode, grouped
from messenger.observability.failpoints import fp

KeepKey = Callable[[str], Awaitable[None]]


async def ensure_identity(
    http: HomeserverClient,
    device: OwnDevice,
    *,
    password: str | None = None,
    recovery_key: str | None = None,
    stored: Identity | None = None,
    keep_recovery_key: KeepKey | None = None,
) -> Identity:
    """Call after the device has uploaded its keys. Repeat after any failure, with the same arguments.

    `stored` is the identity of an earlier start: with it no recovery key is needed. `recovery_key` opens an existing
    identity, or becomes the key of a new one. `keep_recovery_key` is awaited with a freshly made recovery key before
    anything is changed on the homeserver: store it there and pass it as `recovery_key` until this function has
    returned once, otherwise a crash during the set-up leaves an identity that nobody can open. Raises IdentityLocked
    when the operator must act."""
    answer = await query_own_keys(http, device.user_id)
    published = _published_master(answer, device.user_id)
    if stored is not None:
        identity = _confirmed(stored, device, answer, published)
    elif published is not None:
        identity = await _restored(http, device, answer, published, recovery_key)
    else:
        identity = await _created(http, device, password, recovery_key, keep_recovery_key)
    if identity.user_signing_seed is None and recovery_key is not None:
        identity = await _with_user_signing(http, identity, answer, recovery_key)
    return await _with_signed_device(http, device, identity, answer)


def is_signed_as_ours(answer: Mapping[str, Any], device: OwnDevice, master_key: str) -> bool:
    """Does the homeserver show this very device (its keys, not only its id) signed by our identity?"""
    if owner_signed(answer, device.user_id, device.device_id) != master_key:
        return False
    shown = answer["device_keys"][device.user_id][device.device_id]
    return bool(shown.get("keys") == device.device_keys()["keys"])


def _published_master(answer: Mapping[str, Any], user_id: str) -> str | None:
    master = master_key_of(answer, user_id)
    if master is None and has_master_key(answer, user_id):
        raise IdentityLocked(
            "The homeserver shows a master key of this account that is malformed. Ask its administrator."
        )
    return master


def _confirmed(stored: Identity, device: OwnDevice, answer: Mapping[str, Any], published: str | None) -> Identity:
    if stored.user_id != device.user_id:
        raise IdentityLocked(f"The stored identity belongs to {stored.user_id}, the desk runs as {device.user_id}.")
    if published != stored.master_key:
        shown = grouped(published) if published else "none at all"
        raise IdentityLocked(
            f"The account's master key changed. Ours: {stored.fingerprint}; the homeserver shows: {shown}. If "
            "nobody in the organisation reset it, the account or the homeserver is in other hands."
        )
    if self_signing_key_of(answer, device.user_id) != SigningKey(stored.self_signing_seed).public:
        raise IdentityLocked(
            "The account's self-signing key was replaced. Start once without the stored identity and with the "
            "recovery key; if nobody in the organisation replaced it, change that key and the password first."
        )
    return replace(stored, mode="unchanged")


async def _restored(
    http: HomeserverClient, device: OwnDevice, answer: Mapping[str, Any], published: str, recovery_key: str | None
) -> Identity:
    if recovery_key is None:
        raise IdentityLocked(
            f"The account has an identity already ({grouped(published)}). Give the desk its recovery key."
        )
    storage = await open_storage(AccountData(http, device.user_id), _usable(recovery_key))
    if storage is None:
        raise IdentityLocked(
            "The recovery key does not open the account's secret storage. Give the right one; the identity "
            f"is {grouped(published)}."
        )
    keys = await _stored_keys(storage)
    if keys is None or keys.master.public != published:
        raise IdentityLocked(f"The secret storage does not hold the published identity {grouped(published)}.")
    if keys.self_signing.public != self_signing_key_of(answer, device.user_id):
        raise IdentityLocked("The secret storage does not hold the published self-signing key of this account.")
    backup = await current_backup(http)
    private_key = await _backup_key(storage, backup)
    version = await _trusted_version(http, device, keys.master, private_key, backup)
    return _identity("restored", device, keys, version, private_key)


async def _created(
    http: HomeserverClient,
    device: OwnDevice,
    password: str | None,
    recovery_key: str | None,
    keep_recovery_key: KeepKey | None,
) -> Identity:
    if recovery_key is None:
        recovery_key = new_recovery_key()
        if keep_recovery_key is not None:
            await keep_recovery_key(recovery_key)
    key, data, backup = _usable(recovery_key), AccountData(http, device.user_id), await current_backup(http)
    opened = await open_storage(data, key)
    if opened is None and backup is not None:
        raise _foreign_backup(backup)
    storage = opened or await prepare_storage(data, key)
    private_key = await _backup_key(storage, backup)
    keys = await _stored_keys(storage) or await _new_keys(storage)
    if opened is None:
        await storage.make_default()
    await publish_identity(http, device.user_id, public_objects(keys, device), password=password)
    fp("identity_published")
    version = await _trusted_version(http, device, keys.master, private_key, backup)
    return replace(_identity("created", device, keys, version, private_key), recovery_key=encode_recovery_key(key))


def _identity(
    mode: IdentityMode, device: OwnDevice, keys: CrossSigningKeys, version: str, private_key: bytes
) -> Identity:
    return Identity(
        mode=mode,
        user_id=device.user_id,
        master_key=keys.master.public,
        self_signing_seed=keys.self_signing.seed,
        backup_version=version,
        backup_public_key=public_key_of(private_key),
        backup_private_key=private_key,
        user_signing_seed=keys.user_signing.seed,
    )


async def _with_user_signing(
    http: HomeserverClient, identity: Identity, answer: Mapping[str, Any], recovery_key: str
) -> Identity:
    """An identity that an earlier version has stored lacks this seed; secret storage has it."""
    storage = await open_storage(AccountData(http, identity.user_id), _usable(recovery_key))
    seed = await _read(storage, SECRET_NAMES["user_signing"]) if storage else None
    shown = (answer.get("user_signing_keys") or {}).get(identity.user_id)
    is_ours = seed is not None and published_key_of(shown) == SigningKey(seed).public
    return replace(identity, user_signing_seed=seed) if is_ours else identity


def _usable(recovery_key: str) -> bytes:
    try:
        return decode_recovery_key(recovery_key)
    except ValueError as error:
        raise IdentityLocked(str(error)) from error


async def _read(storage: SecretStorage, name: str) -> bytes | None:
    try:
        secret = await storage.read(name)
    except WrongKey as error:
        raise IdentityLocked(f"{error} Somebody changed the account's secret storage.") from error
    return secret if secret is not None and len(secret) == 32 else None


async def _stored_keys(storage: SecretStorage) -> CrossSigningKeys | None:
    seeds = {usage: await _read(storage, name) for usage, name in SECRET_NAMES.items()}
    keys = {usage: SigningKey(seed) for usage, seed in seeds.items() if seed is not None}
    return CrossSigningKeys(**keys) if len(keys) == len(SECRET_NAMES) else None


async def _new_keys(storage: SecretStorage) -> CrossSigningKeys:
    keys = {usage: SigningKey.new() for usage in SECRET_NAMES}
    for usage, name in SECRET_NAMES.items():
        await storage.write(name, keys[usage].seed)
    return CrossSigningKeys(**keys)


async def _backup_key(storage: SecretStorage, backup: BackupVersion | None) -> bytes:
    """The backup's private key from secret storage, or a new one that is stored there before anyone uses it."""
    private_key = await _read(storage, BACKUP_SECRET)
    if private_key is None and backup is None:
        private_key = os.urandom(32)
        await storage.write(BACKUP_SECRET, private_key)
    if private_key is None or (backup is not None and backup.public_key != public_key_of(private_key)):
        assert backup is not None
        raise _foreign_backup(backup)
    return private_key


async def _trusted_version(
    http: HomeserverClient, device: OwnDevice, master: SigningKey, private_key: bytes, backup: BackupVersion | None
) -> str:
    if backup is None:
        return await create_backup(http, device, master, private_key)
    if not backup.is_signed_by(device.user_id, master.public):
        raise _foreign_backup(backup)
    return backup.version


def _foreign_backup(backup: BackupVersion) -> IdentityLocked:
    return IdentityLocked(
        f"The account's key backup (version {backup.version}) is not ours: it was made with another key. If nobody "
        "needs it, delete it in a client and start again; the desk then makes a new one."
    )


async def _with_signed_device(
    http: HomeserverClient, device: OwnDevice, identity: Identity, answer: Mapping[str, Any]
) -> Identity:
    self_signing = SigningKey(identity.self_signing_seed)
    if not is_signed_as_ours(answer, device, identity.master_key):
        await upload_device_signature(http, device, self_signing)
        fp("cross_signed")
        identity = replace(identity, mode="restored") if identity.mode == "unchanged" else identity
    device.signed_device_keys = sign_device_keys(device, self_signing)
    return identity
