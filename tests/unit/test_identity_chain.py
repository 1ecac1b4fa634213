"""Which answers of the homeserver count as "this very device is signed by our identity"."""

from typing import Any

import pytest

from messenger.matrix.identity.cross_signing import CrossSigningKeys, SigningKey, public_objects, sign_device_keys
from messenger.matrix.identity.ensure import is_signed_as_ours
from tests.unit.identity_device import KeyedDevice

USER = "@desk:test"


@pytest.fixture
def keys() -> CrossSigningKeys:
    return CrossSigningKeys(master=SigningKey.new(), self_signing=SigningKey.new(), user_signing=SigningKey.new())


def answer(device: KeyedDevice, keys: CrossSigningKeys, signed_by: SigningKey) -> dict[str, Any]:
    """What /keys/query says about an account with one device."""
    published = public_objects(keys, device)
    return {
        "master_keys": {USER: published["master_key"]},
        "self_signing_keys": {USER: published["self_signing_key"]},
        "device_keys": {USER: {device.device_id: sign_device_keys(device, signed_by)}},
    }


def test_our_device_signed_by_our_self_signing_key_counts(keys: CrossSigningKeys) -> None:
    device = KeyedDevice(USER, "DESK")
    assert is_signed_as_ours(answer(device, keys, keys.self_signing), device, keys.master.public)


def test_another_device_under_our_device_id_does_not_count(keys: CrossSigningKeys) -> None:
    ours, impostor = KeyedDevice(USER, "DESK"), KeyedDevice(USER, "DESK")
    assert not is_signed_as_ours(answer(impostor, keys, keys.self_signing), ours, keys.master.public)


def test_a_signature_of_another_key_does_not_count(keys: CrossSigningKeys) -> None:
    device = KeyedDevice(USER, "DESK")
    assert not is_signed_as_ours(answer(device, keys, SigningKey.new()), device, keys.master.public)


def test_the_chain_of_another_identity_does_not_count(keys: CrossSigningKeys) -> None:
    device = KeyedDevice(USER, "DESK")
    assert not is_signed_as_ours(answer(device, keys, keys.self_signing), device, SigningKey.new().public)


@pytest.mark.parametrize("shown", [{}, {"device_keys": {USER: {}}}, {"master_keys": {USER: "text"}}])
def test_an_incomplete_answer_does_not_count(shown: dict[str, Any], keys: CrossSigningKeys) -> None:
    assert not is_signed_as_ours(shown, KeyedDevice(USER, "DESK"), keys.master.public)
