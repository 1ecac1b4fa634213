"""Secrets in account data: only the right key opens them, under the right name, unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.matrix.crypto.canonical import ub64, unb64
from messenger.matrix.identity.secret_storage import (
    WrongKey,
    decrypt_secret,
    encrypt_secret,
    key_description,
    opens,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
NAME = "m.cross_signing.master"


@given(st.binary(max_size=200), st.text(max_size=40))
def test_a_secret_comes_back_as_it_was(secret: bytes, name: str) -> None:
    assert decrypt_secret(KEY, name, encrypt_secret(KEY, name, secret)) == secret


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(WrongKey, match=NAME):
        decrypt_secret(OTHER_KEY, NAME, encrypt_secret(KEY, NAME, b"seed"))


def test_a_secret_cannot_be_passed_off_as_another() -> None:
    box = encrypt_secret(KEY, "m.cross_signing.self_signing", b"seed")
    with pytest.raises(WrongKey):
        decrypt_secret(KEY, NAME, box)


@pytest.mark.parametrize("part", ["ciphertext", "mac"])
def test_a_changed_secret_is_noticed(part: str) -> None:
    box = encrypt_secret(KEY, NAME, b"seed")
    flipped = bytearray(unb64(box[part]))
    flipped[0] ^= 1
    with pytest.raises(WrongKey):
        decrypt_secret(KEY, NAME, {**box, part: ub64(bytes(flipped))})


@pytest.mark.parametrize(
    "damage", [{"iv": None}, {"iv": "ü"}, {"iv": "AAAA"}, {"ciphertext": 7}, {"mac": {}}, {"mac": ""}]
)
def test_a_damaged_secret_is_refused_without_another_failure(damage: dict[str, object]) -> None:
    with pytest.raises(WrongKey):
        decrypt_secret(KEY, NAME, {**encrypt_secret(KEY, NAME, b"seed"), **damage})


def test_the_counter_block_leaves_bit_63_free() -> None:
    assert all(unb64(encrypt_secret(KEY, NAME, b"seed")["iv"])[8] < 0x80 for _ in range(64))


def test_a_description_tells_the_right_key_from_others() -> None:
    description = key_description(KEY)
    assert opens(KEY, description)
    assert not opens(OTHER_KEY, description)


@pytest.mark.parametrize("description", [{}, {"iv": "AAAA", "mac": "AAAA"}, {"iv": 1, "mac": 2}, {"mac": "AAAA"}])
def test_a_key_that_cannot_be_checked_counts_as_wrong(description: dict[str, object]) -> None:
    assert not opens(KEY, description)
