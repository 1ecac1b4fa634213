"""The identity at rest and in logs."""

from dataclasses import replace

import pytest

from messenger.matrix.identity import Identity

IDENTITY = Identity(
    mode="created",
    user_id="@desk:test",
    master_key="abcdEFGHijkl",
    self_signing_seed=b"s" * 32,
    backup_version="7",
    backup_public_key="public",
    backup_private_key=b"p" * 32,
    user_signing_seed=b"u" * 32,
    recovery_key="EsTc LW2K",
)


def test_a_stored_identity_comes_back_without_its_recovery_key() -> None:
    assert Identity.from_secret(IDENTITY.to_secret()) == replace(IDENTITY, mode="unchanged", recovery_key=None)


def test_the_recovery_key_is_not_stored() -> None:
    assert b"EsTc" not in IDENTITY.to_secret()


def test_printing_an_identity_shows_no_secret() -> None:
    for secret in ("EsTc", "ssss", "pppp", "uuuu"):
        assert secret not in repr(IDENTITY)


def test_people_compare_the_master_key_in_groups_of_four() -> None:
    assert IDENTITY.fingerprint == "abcd EFGH ijkl"


@pytest.mark.parametrize("damaged", [b"", b"{}", b"[]", b"null", b"\xff", b'{"user_id": 1}'])
def test_a_damaged_stored_identity_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError):
        Identity.from_secret(damaged)
