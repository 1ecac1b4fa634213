"""The desk's keys as a page that can be published where the homeserver cannot change it: at
`/.well-known/net.stellwerk.desk.json` of the organisation's own site.

It is signed by the desk's self-signing key, and holds that key with the master key's signature over it: whoever has
compared the master key once can check every later page, and the page itself may travel by any way."""

from collections.abc import Mapping
from typing import Any

from messenger.matrix.crypto.canonical import add_signature, owner_signed, public_key_of, verify_signature
from messenger.matrix.identity.cross_signing import SigningKey
from messenger.matrix.identity.values import Identity

PATH = "/.well-known/net.stellwerk.desk.json"


class NotOurs(Exception):
    """The homeserver does not show the desk's own identity: such keys are not published."""


def desk_page(identity: Identity, answer: Mapping[str, Any], device_id: str, *, made_at: str) -> dict[str, Any]:
    """`answer` is that of /keys/query for the desk itself. Raises NotOurs."""
    user_id = identity.user_id
    if owner_signed(answer, user_id, device_id) != identity.master_key:
        raise NotOurs(f"the homeserver does not show device {device_id} signed by {identity.fingerprint}")
    self_signing = SigningKey(identity.self_signing_seed)
    shown = answer["self_signing_keys"][user_id]
    if public_key_of(shown) != self_signing.public:
        raise NotOurs("the homeserver shows another self-signing key")
    page: dict[str, Any] = {
        "user_id": user_id,
        "master_key": identity.master_key,
        "fingerprint": identity.fingerprint,
        "device_id": device_id,
        "device_key": answer["device_keys"][user_id][device_id]["keys"][f"ed25519:{device_id}"],
        "self_signing_key": shown,
        "made_at": made_at,
    }
    return add_signature(page, user_id, self_signing.public, self_signing.sign(page))


def is_genuine(page: Any, master_key: str) -> bool:
    """Does this page come from whom the master key belongs to?"""
    try:
        user_id, self_signing = page["user_id"], page["self_signing_key"]
        key = public_key_of(self_signing)
        is_signed = key is not None and verify_signature(self_signing, user_id, master_key, master_key)
        return is_signed and page["master_key"] == master_key and verify_signature(page, user_id, str(key), str(key))
    except (KeyError, TypeError):
        return False
