"""Reads back what arrived: what the homeserver has of the desk, in its order, as a person's own device opens it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nio.exceptions import EncryptionError

from messenger.matrix.http import AnswerTooLarge, MatrixError
from tests.support.homeservers import written_by
from tests.support.ledger import Arrived, digest, token_in
from tests.support.people import People, Person
from tests.support.timeline import Seen

AT_ONCE = 8  # downloads
NOT_TO_BE_HAD = "not to be had"  # instead of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message with a token, as somebody's device opened it. `file`: where it is, its key, its hash."""

    event_id: str
    token: str
    thread: str | None
    file: Mapping[str, Any] | None


async def lines_of(people: People, reader: Person, room: str, writer: str) -> list[Line]:
    """All that `writer` said in the room, edits left out."""
    seen = await reader.these(room, written_by(people.synapse, writer, room))
    return [line for line in map(_line, seen) if line is not None]


def _line(event: Seen) -> Line | None:
    token = None if event.replaces or event.is_redacted else token_in(event.body)
    if token is None:
        return None
    file = (event.content.get("file") or {"url": event.content["url"]}) if event.msgtype == "m.file" else None
    return Line(event_id=event.event_id, token=token, thread=event.thread, file=file)


async def arrivals(lanes: Mapping[str, tuple[Person, Sequence[Line]]]) -> dict[str, list[Arrived]]:
    """By lane who reads it and what they read; their files are fetched and opened, a few at a time."""
    turns = asyncio.Semaphore(AT_ONCE)
    wanted = [(reader, line) for reader, lines in lanes.values() for line in lines if line.file]
    fetched = await asyncio.gather(*(_digest(turns, reader, line) for reader, line in wanted))
    digests = {line.event_id: each for (_, line), each in zip(wanted, fetched, strict=True)}
    return {
        lane: [Arrived(line.token, digests.get(line.event_id, "")) for line in lines]
        for lane, (_, lines) in lanes.items()
    }


async def _digest(turns: asyncio.Semaphore, reader: Person, line: Line) -> str:
    assert line.file is not None
    async with turns:
        try:
            return digest(await reader.download_file(line.file))
        except (MatrixError, AnswerTooLarge, EncryptionError):
            return NOT_TO_BE_HAD


def by_thread(lines: Iterable[Line], threads: Mapping[str, str]) -> dict[str, list[Line]]:
    """By lane, of which `threads` names the root. A lane without lines is there, too."""
    lane_of = {root: lane for lane, root in threads.items()}
    found: dict[str, list[Line]] = {lane: [] for lane in threads}
    for line in lines:
        if line.thread in lane_of:
            found[lane_of[line.thread]].append(line)
    return found
