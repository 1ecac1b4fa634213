"""Canonical JSON and the chain of signatures, without any server."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from messenger.matrix.crypto.canonical import (
    add_signature,
    canonical_json,
    master_key_of,
    owner_signed,
    ub64,
    unb64,
    verify_signature,
)

ANNA, DEVICE = "@anna:test", "PHONE"


def test_canonical_json_is_sorted_compact_utf8_without_signatures_and_unsigned() -> None:
    value = {"b": [1, None], "a": {"z": "ä", "y": True}, "signatures": {"x": 1}, "unsigned": {}}
    assert canonical_json(value) == '{"a":{"y":true,"z":"ä"},"b":[1,null]}'.encode()


@pytest.mark.parametrize("text", ["AAA", "AAA=", "AAAA", ""])
def test_base64_is_read_with_and_without_padding(text: str) -> None:
    assert ub64(unb64(text)) == text.rstrip("=")


@pytest.mark.parametrize("text", ["A", "A*AA", "ä"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unb64(text)


class Key:
    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = ub64(self._key.public_key().public_bytes_raw())

    def sign(self, value: dict[str, Any], name: str) -> dict[str, Any]:
        return add_signature(value, ANNA, name, ub64(self._key.sign(canonical_json(value))))


MASTER, SIGNING, OTHER = Key(), Key(), Key()


def cross_signing_key(usage: str, key: Key, user_id: str = ANNA) -> dict[str, Any]:
    return {"user_id": user_id, "usage": [usage], "keys": {"ed25519:" + key.public: key.public}}


def answer(*, signer: Key = SIGNING, chain: Key = MASTER, **changes: Any) -> dict[str, Any]:
    device = {"user_id": ANNA, "device_id": DEVICE, "keys": {}, **changes}
    return {
        "master_keys": {ANNA: cross_signing_key("master", MASTER)},
        "self_signing_keys": {ANNA: chain.sign(cross_signing_key("self_signing", SIGNING), MASTER.public)},
        "device_keys": {ANNA: {DEVICE: signer.sign(device, SIGNING.public)}},
    }


def test_a_device_with_the_whole_chain_is_signed_by_its_owner() -> None:
    assert owner_signed(answer(), ANNA, DEVICE) == MASTER.public


@pytest.mark.parametrize(
    "broken",
    [
        answer(signer=OTHER),
        answer(chain=OTHER),
        answer(user_id="@eve:test"),
        answer(device_id="OTHER"),
        {**answer(), "master_keys": {ANNA: cross_signing_key("master", OTHER)}},
        {**answer(), "master_keys": {ANNA: cross_signing_key("user_signing", MASTER)}},
        {**answer(), "master_keys": {ANNA: cross_signing_key("master", MASTER, "@eve:test")}},
        {**answer(), "self_signing_keys": {}},
        {**answer(), "master_keys": None},
        {"device_keys": []},
        None,
    ],
)
def test_a_device_with_a_broken_chain_is_not(broken: Any) -> None:
    assert owner_signed(broken, ANNA, DEVICE) is None


def test_a_master_key_object_with_two_keys_is_none() -> None:
    two = {**cross_signing_key("master", MASTER), "keys": {"ed25519:a": "a", "ed25519:b": "b"}}
    assert master_key_of({"master_keys": {ANNA: two}}, ANNA) is None


def test_a_changed_object_or_another_name_breaks_the_signature() -> None:
    signed = MASTER.sign({"a": 1}, "name")
    assert verify_signature(signed, ANNA, MASTER.public, "name")
    assert verify_signature({**signed, "unsigned": {"b": 2}}, ANNA, MASTER.public, "name")
    assert not verify_signature({**signed, "a": 2}, ANNA, MASTER.public, "name")
    assert not verify_signature(signed, ANNA, OTHER.public, "name")
    assert not verify_signature(signed, ANNA, MASTER.public, "other")
    assert not verify_signature(signed, "@eve:test", MASTER.public, "name")
    assert not verify_signature(signed, ANNA, "short", "name")


@pytest.mark.parametrize("value", [None, [], "x", {"signatures": 1}, {"signatures": {ANNA: {"ed25519:name": 5}}}])
def test_a_strangers_nonsense_is_simply_not_signed(value: Any) -> None:
    assert not verify_signature(value, ANNA, MASTER.public, "name")
