"""Cross-signing keys of the bot account (Matrix spec, client-server API, "Cross-signing"): a master key that people
compare, a self-signing key for the bot's devices and a user-signing key that clients expect to exist."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from messenger.matrix.crypto.canonical import add_signature, canonical_json, master_key_of, ub64
from messenger.matrix.engine import OwnDevice
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.matrix.identity.values import IdentityLocked

SECRET_NAMES = {
    "master": "m.cross_signing.master",
    "self_signing": "m.cross_signing.self_signing",
    "user_signing": "m.cross_signing.user_signing",
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One Ed25519 cross-signing key."""

    seed: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "SigningKey":
        return cls(os.urandom(32))

    @property
    def public(self) -> str:
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return ub64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, value: Mapping[str, Any]) -> str:
        return ub64(Ed25519PrivateKey.from_private_bytes(self.seed).sign(canonical_json(value)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSigningKeys:
    """All three. Held only while an identity is made or restored."""

    master: SigningKey
    self_signing: SigningKey
    user_signing: SigningKey


def public_objects(keys: CrossSigningKeys, device: OwnDevice) -> dict[str, Any]:
    """The body of /keys/device_signing/upload: the master key signed by the device, the others signed by the master
    key."""
    user_id = device.user_id
    master = _key_object(user_id, "master", keys.master)
    self_signing = _key_object(user_id, "self_signing", keys.self_signing)
    user_signing = _key_object(user_id, "user_signing", keys.user_signing)
    add_signature(master, user_id, device.device_id, device.sign(master))
    for part in (self_signing, user_signing):
        add_signature(part, user_id, keys.master.public, keys.master.sign(part))
    return {"master_key": master, "self_signing_key": self_signing, "user_signing_key": user_signing}


def sign_device_keys(device: OwnDevice, self_signing: SigningKey) -> dict[str, Any]:
    """The device's own keys with both signatures: its own and the self-signing key's."""
    keys = device.device_keys()
    return add_signature(keys, device.user_id, self_signing.public, self_signing.sign(keys))


async def query_own_keys(http: HomeserverClient, user_id: str) -> Mapping[str, Any]:
    """An account's devices and cross-signing keys as the homeserver shows them."""
    answer = await http.call("POST", f"{CLIENT}/keys/query", {"device_keys": {user_id: []}})
    return answer if isinstance(answer, dict) else {}


def has_master_key(answer: Mapping[str, Any], user_id: str) -> bool:
    """Does the account have a master key, well-formed or not?"""
    masters = answer.get("master_keys")
    return isinstance(masters, dict) and bool(masters.get(user_id))


async def publish_identity(
    http: HomeserverClient, user_id: str, body: Mapping[str, Any], *, password: str | None
) -> None:
    """The account's FIRST upload. Homeservers need no password for that (MSC3967); older ones ask for it."""
    url = f"{CLIENT}/keys/device_signing/upload"
    try:
        await http.call("POST", url, body)
    except MatrixError as error:
        if error.status != 401 or "session" not in (error.body or {}):
            raise
        await _refuse_to_replace(http, user_id)
        auth = _password_proof(user_id, password, error.body)
        await _upload_with_password(http, url, {**body, "auth": auth})


async def upload_device_signature(http: HomeserverClient, device: OwnDevice, self_signing: SigningKey) -> None:
    """The body is exactly the uploaded device keys with only the new signature; the homeserver compares."""
    unsigned = {key: part for key, part in device.device_keys().items() if key not in ("signatures", "unsigned")}
    signed = add_signature(unsigned, device.user_id, self_signing.public, self_signing.sign(unsigned))
    answer = await http.call("POST", f"{CLIENT}/keys/signatures/upload", {device.user_id: {device.device_id: signed}})
    if answer.get("failures"):
        raise IdentityLocked(
            f"The homeserver did not accept the signature for device {device.device_id}. Check that this "
            "device still exists; if it was logged out, give the desk a new login."
        )


async def sign_person(http: HomeserverClient, own: str, user_signing: SigningKey, person: str, master_key: str) -> bool:
    """Puts our user-signing key's signature on somebody's master key, where a later device of this account finds it
    (nobody else is shown it). False if the homeserver shows another master key by now, or does not take it."""
    answer = await query_own_keys(http, person)
    if master_key_of(answer, person) != master_key:
        return False
    shown = answer["master_keys"][person]
    bare = {name: part for name, part in shown.items() if name not in ("signatures", "unsigned")}
    signed = add_signature(bare, own, user_signing.public, user_signing.sign(bare))
    taken = await http.call("POST", f"{CLIENT}/keys/signatures/upload", {person: {master_key: signed}})
    return not taken.get("failures")


def _key_object(user_id: str, usage: str, key: SigningKey) -> dict[str, Any]:
    return {"user_id": user_id, "usage": [usage], "keys": {"ed25519:" + key.public: key.public}}


async def _refuse_to_replace(http: HomeserverClient, user_id: str) -> None:
    # A password is asked for when an identity exists already: then an earlier /keys/query was wrong or somebody was
    # faster, and answering with the password would replace that identity.
    if has_master_key(await query_own_keys(http, user_id), user_id):
        raise IdentityLocked(
            "The account got an identity while this desk was setting one up. Nothing was replaced. Give the "
            "recovery key of that identity and start again."
        )


def _password_proof(user_id: str, password: str | None, challenge: Mapping[str, Any]) -> dict[str, Any]:
    offered = {stage for flow in challenge.get("flows", []) for stage in flow.get("stages", [])}
    if "m.login.password" not in offered:
        raise IdentityLocked(
            "The homeserver lets an identity be set up only by its own account page "
            f"({', '.join(sorted(offered)) or 'no flow named'}). Allow it there, then start again."
        )
    if password is None:
        raise IdentityLocked(
            "The homeserver asks for the account's password to set up the identity. Give the desk its "
            "password once and start again."
        )
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user_id},
        "password": password,
        "session": challenge["session"],
    }


async def _upload_with_password(http: HomeserverClient, url: str, body: Mapping[str, Any]) -> None:
    try:
        await http.call("POST", url, body)
    except MatrixError as error:
        if error.status not in (401, 403):
            raise
        raise IdentityLocked("The homeserver refused the account's password. Correct it and start again.") from error
