"""The page with the desk's keys: whoever knows the master key can check it, wherever it lies."""

from typing import Any

import pytest

from messenger.matrix.identity.cross_signing import CrossSigningKeys, SigningKey, public_objects, sign_device_keys
from messenger.matrix.identity.values import Identity
from messenger.matrix.identity.well_known import NotOurs, desk_page, is_genuine
from tests.unit.identity_device import KeyedDevice

USER = "@desk:test"


def keys() -> CrossSigningKeys:
    return CrossSigningKeys(master=SigningKey.new(), self_signing=SigningKey.new(), user_signing=SigningKey.new())


def answer(device: KeyedDevice, ours: CrossSigningKeys) -> dict[str, Any]:
    published = public_objects(ours, device)
    return {
        "master_keys": {USER: published["master_key"]},
        "self_signing_keys": {USER: published["self_signing_key"]},
        "device_keys": {USER: {device.device_id: sign_device_keys(device, ours.self_signing)}},
    }


def identity_of(ours: CrossSigningKeys) -> Identity:
    return Identity(
        mode="unchanged", user_id=USER, master_key=ours.master.public, self_signing_seed=ours.self_signing.seed,
        backup_version="1", backup_public_key="", backup_private_key=b"",
    )  # fmt: skip


def page_of(ours: CrossSigningKeys) -> dict[str, Any]:
    device = KeyedDevice(USER, "DESK")
    page = desk_page(identity_of(ours), answer(device, ours), "DESK", made_at="2026-11-26T16:00:00+00:00")
    assert page["device_key"] == device.device_keys()["keys"]["ed25519:DESK"]
    return page


def test_the_page_can_be_checked_with_the_master_key_alone() -> None:
    ours = keys()
    page = page_of(ours)
    assert is_genuine(page, ours.master.public)
    assert page["fingerprint"].replace(" ", "") == page["master_key"] == ours.master.public


@pytest.mark.parametrize("name", ["user_id", "master_key", "device_key", "made_at", "self_signing_key"])
def test_a_changed_page_is_not_genuine(name: str) -> None:
    ours = keys()
    assert not is_genuine({**page_of(ours), name: "another"}, ours.master.public)


def test_the_page_of_somebody_else_is_not_genuine() -> None:
    assert not is_genuine(page_of(keys()), keys().master.public)


def test_what_the_homeserver_shows_of_somebody_else_is_not_published() -> None:
    device, ours = KeyedDevice(USER, "DESK"), keys()
    with pytest.raises(NotOurs):
        desk_page(identity_of(ours), answer(device, keys()), "DESK", made_at="")
