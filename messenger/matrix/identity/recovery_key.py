"""The recovery key: 32 bytes that open the bot's secret storage, in the form a person can keep on paper (Matrix spec,
client-server API, "Recovery key"): base58 of `8B 01`, the key and a parity byte, in groups of four."""

import os
from functools import reduce
from operator import xor

KEY_BYTES = 32
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PREFIX = b"\x8b\x01"
_TOTAL_BYTES = len(_PREFIX) + KEY_BYTES + 1


def new_recovery_key() -> str:
    """A fresh key from the system's random source, as text."""
    return encode_recovery_key(os.urandom(KEY_BYTES))


def encode_recovery_key(key: bytes) -> str:
    """The text for a 32 byte key, for example `EsTj 3yST y93F …`."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"A recovery key holds {KEY_BYTES} bytes, not {len(key)}.")
    payload = _PREFIX + key
    text = _base58(payload + bytes([_parity(payload)]))
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def decode_recovery_key(text: str) -> bytes:
    """The 32 bytes of a recovery key; white space is ignored. The texts of its ValueErrors are for the operator and
    never repeat the key."""
    raw = _unbase58("".join(text.split()))
    if len(raw) != _TOTAL_BYTES:
        raise ValueError(
            "The recovery key is too short or too long: it has 48 characters, usually in twelve groups of four."
        )
    if raw[:2] != _PREFIX:
        raise ValueError("This is not a Matrix recovery key: it begins with other characters than such a key does.")
    if _parity(raw):
        raise ValueError("The recovery key has a typing error: its check digit does not fit.")
    return raw[2:-1]


def _parity(data: bytes) -> int:
    return reduce(xor, data, 0)


def _base58(data: bytes) -> str:
    # `data` never begins with a zero byte (the prefix is 8B), so the leading-zero rule of base58 has no case here.
    number, digits = int.from_bytes(data, "big"), []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _unbase58(text: str) -> bytes:
    if not text:
        raise ValueError("The recovery key is empty.")
    number = 0
    for position, character in enumerate(text, start=1):
        digit = _ALPHABET.find(character)
        if digit < 0:
            raise ValueError(
                f"The recovery key holds a character that cannot be in one (place {position}, spaces not counted)."
            )
        number = number * 58 + digit
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
