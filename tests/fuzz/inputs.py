"""What the fuzzers feed: right inputs with something wrong in them, the same for the same seed, and texts that make
careless readers slow."""

import json
import random
import string
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from tests.support.fuzz import wound

Chance = random.Random
Maker = Callable[[Chance], Any]

# What breaks readers of text: controls, directions, halves of characters, wide, joined and turned letters, numbers that
# are none, endings of everything.
ATOMS = (
    "\x00", "\x1b", "\u202e", "\u200b", "\ufeff", "\ud800", "\udfff", "\U0001f600", "\U0010ffff", "İ", "ß", "ﬁ", "Ⅷ",
    "²", "９", "٣", "߁", "e\u0301" * 40, "👨‍👩‍👧", "；", "：", "！", "／", "\n", "\r\n", "\u2028", "\t",
    " " * 200, "../",
    "\\", "%00", "%s", "{0.__class__}", "${x}", "{{7*7}}", "'", '"', "`", "<", ">", "&", "]]>", "-" * 50, "0", "-1",
    "1e999", "9" * 400, "NaN", "null", "[]", "{}", "[" * 90, "A" * 3000, "=", ";", "#", "@", ":", "$",
)  # fmt: skip
# Repeated to the full length of an event.
SLOW = (
    "a", " ", "\n", "\t ", "<", "<a ", "<b>", "</", "<!--", "<![", "&", "&#", "&amp;", "'", '"', "\\", "/", "../",
    "(",
    "[", "{", "}", ")", ":", ";", ",", ".", "-", "–", "!", "！", "> ", "> <@a:x> ", "0", "9:", "1.", "1h ", "until ",
    "mon ", "mon-", "fri 9-12, ", "next ", "下", "und ", "K-", "k-4f7q ", "@a:b ", "e\u0301", "\u200d", "\u200b",
    "👩\u200d", "\ufdfa", "İ", "ß", "\u0345", "= ", "a=1\n", "[a]\n", "a.", "a.a=1\n", "'''", '"""', "http://", "@",
    "%",
    "\u202e", "2026-", "2026-12-24 ", "AAAA", "\x00", "\ud800",
)  # fmt: skip
LONGEST = 65_536  # bytes of an event; nobody can send more at once


def texts(*seeds: str) -> Maker:
    """A few of the seeds, joined, cut and spoiled."""

    def make(chance: Chance) -> str:
        text = "".join(chance.choices(seeds, k=chance.randint(1, 3)))
        for _ in range(chance.randint(0, 6)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + _piece(chance, text) + text[at + chance.randint(0, 3) :]
        return text[:LONGEST]

    return make


def _piece(chance: Chance, text: str) -> str:
    match chance.randrange(6):
        case 0:
            return chr(chance.randrange(0x110000))
        case 1:
            return "".join(chance.choices(string.printable, k=chance.randint(1, 9)))
        case 2:
            at = chance.randrange(len(text) + 1)
            return text[at : at + chance.randint(1, 40)] * chance.choice([1, 2, 30])
        case _:
            return chance.choice(ATOMS)


def values(*models: Any) -> Maker:
    """One of the models with one to four wounds."""

    def make(chance: Chance) -> Any:
        body = {"": deepcopy(chance.choice(models))}
        for _ in range(chance.randint(1, 4)):
            wound(chance, body)
        return body.get("")

    return make


def json_bytes(*models: Any) -> Maker:
    make_value = values(*models)

    def make(chance: Chance) -> bytes:
        return spoiled(chance, json.dumps(make_value(chance)).encode())

    return make


def blobs(*seeds: bytes) -> Maker:
    return lambda chance: spoiled(chance, spoiled(chance, chance.choice(seeds)))


def spoiled(chance: Chance, data: bytes) -> bytes:
    match chance.randrange(10):
        case 0:
            return data[: chance.randrange(len(data) + 1)]
        case 1:
            return b"[" * 5_000 + data
        case 2:
            return data.replace(b":", b": NaN, :", 1)
        case 3:
            return data.replace(b'"', b"\xff", 1)
        case 4 if data:
            at = chance.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case 5:
            at = chance.randrange(len(data) + 1)
            return data[:at] + chance.randbytes(chance.randint(1, 30)) + data[at:]
        case _:
            return data


def one_of(*makers: Maker) -> Maker:
    return lambda chance: chance.choice(makers)(chance)


def pairs(*makers: Maker) -> Maker:
    return lambda chance: tuple(make(chance) for make in makers)


def slow_texts(length: int) -> Sequence[str]:
    """Each of `SLOW`, so often; some with another end."""
    plain = [piece * (length // len(piece)) for piece in SLOW]
    return [*plain, *(text + "!" for text in plain[:20])]
