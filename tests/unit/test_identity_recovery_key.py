"""The recovery key as text: what a person types is read as it was written, or refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.matrix.identity import decode_recovery_key, encode_recovery_key, new_recovery_key

# Alice's private key of RFC 7748 section 6.1, and its recovery key in the tests of other Matrix clients.
KNOWN_KEY = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
KNOWN_TEXT = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d"


def test_the_text_is_the_one_that_other_clients_write_and_read() -> None:
    assert encode_recovery_key(KNOWN_KEY) == KNOWN_TEXT
    assert decode_recovery_key(KNOWN_TEXT) == KNOWN_KEY


@given(st.binary(min_size=32, max_size=32))
def test_every_key_survives_being_written_down(key: bytes) -> None:
    assert decode_recovery_key(encode_recovery_key(key)) == key


def test_two_new_keys_differ() -> None:
    assert new_recovery_key() != new_recovery_key()


@pytest.mark.parametrize("typed", [KNOWN_TEXT.replace(" ", ""), f"  {KNOWN_TEXT}\n", KNOWN_TEXT.replace(" ", "\n\t ")])
def test_white_space_does_not_matter(typed: str) -> None:
    assert decode_recovery_key(typed) == KNOWN_KEY


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (KNOWN_TEXT[:-5], "too short"),
        (KNOWN_TEXT + " abcd", "too short or too long"),
        ("E" + KNOWN_TEXT[1:].replace("T", "U"), "begins with other characters"),
        (KNOWN_TEXT.replace("LW2K", "LW2L"), "typing error"),
        (KNOWN_TEXT.replace("LW2K", "LW0K"), r"place 7, spaces not counted"),
        (KNOWN_TEXT.replace("LW2K", "LWÄK"), r"place 7"),
    ],
)
def test_a_mistyped_key_is_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        decode_recovery_key(typed)
    assert "UE4d" not in str(caught.value), "an error text repeats the key"


def test_nearly_every_single_wrong_character_is_noticed() -> None:
    """One parity byte lets about one error in 256 through; the secret storage's own check catches those."""
    text = KNOWN_TEXT.replace(" ", "")
    typos = [
        text[:place] + wrong + text[place + 1 :] for place in range(48) for wrong in BASE58 if wrong != text[place]
    ]
    accepted = [typo for typo in typos if _is_accepted(typo)]
    assert len(accepted) / len(typos) < 0.01


def _is_accepted(text: str) -> bool:
    try:
        return bool(decode_recovery_key(text))
    except ValueError:
        return False


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_keys_of_32_bytes_have_a_text(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        encode_recovery_key(bytes(length))


@given(st.text(max_size=80))
def test_no_text_at_all_makes_it_fail_in_another_way(text: str) -> None:
    try:
        assert len(decode_recovery_key(text)) == 32
    except ValueError as error:
        refusal = str(error)
        assert refusal
