"""Whom and which group a command names: by mention, by Matrix address, by name."""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from messenger.app.items import StaffSaid
from messenger.app.turn import Turn
from messenger.domain.errors import NobodyNamed
from messenger.domain.people import Agent, SkillGroup

_ADDRESS = re.compile(r"@[^:\s]+:[^\s:]+(:\d+)?")


async def find_colleague(turn: Turn, item: StaffSaid, text: str) -> Agent:
    """A mention wins, as the client has resolved it; then the written address or name. Raises NobodyNamed."""
    mentioned = [address for address in item.mentions if address != item.account]
    word = _first_word(text)
    for address in [*mentioned, word]:
        found = await turn.unit.people.colleague(address)
        if found is not None:
            return found
    raise NobodyNamed()


def matrix_address(word: str) -> str:
    """The address that a person typed, or pasted as a link of matrix.to; empty if it is none."""
    plain = unquote(word.removeprefix("https://matrix.to/#/").partition("?")[0]) if "matrix.to" in word else word
    return plain if _ADDRESS.fullmatch(plain) and plain.isprintable() else ""


async def find_colleagues(turn: Turn, item: StaffSaid, text: str) -> Sequence[Agent]:
    """Everybody who is mentioned, or else each written word by itself. Raises NobodyNamed for one whom nobody knows."""
    mentioned = [address for address in item.mentions if address != item.account]
    found = [await turn.unit.people.colleague(word) for word in mentioned or text.replace(",", " ").split()]
    known = [person for person in found if person is not None]
    if len(known) < len(found):
        raise NobodyNamed()
    return known


def rest_after(colleague: Agent, text: str) -> str:
    """What follows the person's name, however it was written."""
    written = " ".join(text.split())
    local_part = colleague.address[1:].partition(":")[0]
    names = sorted({colleague.address, colleague.name, local_part, colleague.first_name}, key=len, reverse=True)
    for name in names:
        for spelt in (f"@{name.removeprefix('@')}", name):
            if written.casefold().startswith(spelt.casefold()):
                return written[len(spelt) :].strip(" ,:;")
    return written[len(_first_word(written)) :].strip(" ,:;")


def find_group(groups: Sequence[SkillGroup], text: str) -> tuple[str | None, str]:
    """The group whose name begins the text, and what follows it; of two, the longer name is meant."""
    folded = " ".join(text.split()).casefold()
    fitting = [group.name for group in groups if _begins(folded, group.name)]
    if not fitting:
        return None, text
    name = max(fitting, key=len)
    return name, " ".join(text.split())[len(name) :].strip(" ,:;")


def _begins(folded: str, name: str) -> bool:
    wanted = " ".join(name.split()).casefold()
    return folded == wanted or (folded.startswith(wanted) and not folded[len(wanted)].isalnum())


def _first_word(text: str) -> str:
    return next(iter(text.split(maxsplit=1)), "")
