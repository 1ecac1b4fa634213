"""Broken /sync bodies: real ones with something wrong in them, the same for the same seed.

Pure noise ends at the JSON parser. What finds faults are answers that are right but for one place, so every body starts
from a real answer and gets one to four wounds: a value of the wrong type, a missing or doubled key, an absurd number or
text, a cut-off end."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**53, 2**63, -(2**64), 1e308, 0.1, "", "\x00", "\u202e", "a" * 5000, "@", "!", "$", "#:",
    "@a:b:c", "m.room.encrypted", "m.room.member", [], {}, [[]], [None], [{}], {"": ""}, {"type": {}}, {"content": []},
    {"body": {"body": {}}}, {"m.relates_to": []}, {"rel_type": 7}, {"event_id": ["$x"]}, {"state_key": None},
)  # fmt: skip
DEPTH = 2000

Path = list[tuple[Any, Any]]
Wound = Callable[[random.Random, Any, Any], None]


def fuzzed_bodies(answers: Sequence[Any], *, seed: int, count: int) -> Iterator[bytes]:
    """`answers` are real /sync answers, the richer the better."""
    chance = random.Random(seed)
    for _ in range(count):
        body = deepcopy(chance.choice(answers))
        for _ in range(chance.randint(1, 4)):
            wound(chance, body)
        yield _encoded(chance, body)


def wound(chance: random.Random, body: Any) -> None:
    """Damages one place somewhere in the body."""
    places = list(_places(body))
    if places:
        container, key = chance.choice(places)
        chance.choice(WOUNDS)(chance, container, key)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) below a value."""
    if isinstance(value, dict):
        children: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    else:
        return
    for key, child in children:
        yield value, key
        yield from _places(child)


def _other_value(chance: random.Random, container: Any, key: Any) -> None:
    container[key] = deepcopy(chance.choice(JUNK))


def _missing(chance: random.Random, container: Any, key: Any) -> None:
    del container[key]


def _twice(chance: random.Random, container: Any, key: Any) -> None:
    if isinstance(container, list):
        container.insert(key, deepcopy(container[key]))
    else:
        container[f"{key}{chance.randint(0, 9)}"] = deepcopy(container[key])


def _swapped(chance: random.Random, container: Any, key: Any) -> None:
    other = chance.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[key], container[other] = container[other], container[key]


def _bent_text(chance: random.Random, container: Any, key: Any) -> None:
    if isinstance(container[key], str) and container[key]:
        place = chance.randrange(len(container[key]))
        container[key] = container[key][:place] + chance.choice("\x00!@$#:=/é\U0001f600") + container[key][place + 1 :]


WOUNDS: Sequence[Wound] = (_other_value, _other_value, _missing, _twice, _swapped, _bent_text)


def _encoded(chance: random.Random, body: Any) -> bytes:
    data = json.dumps(body).encode()
    match chance.randrange(40):
        case 0:
            return data[: chance.randrange(len(data))]
        case 1:
            return b"[" * DEPTH + b"]" * DEPTH
        case 2:
            return data.replace(b":", b": NaN, :", 1)
        case 3:
            return data.replace(b'"', b"\xff", 1)
        case _:
            return data
