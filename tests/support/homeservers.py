"""A prepared Synapse folder, made once per Synapse version and copied for each server: a start takes half the time."""

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from messenger.demo.synapse import Synapse
from tests.support.databases import PREPARED, one_at_a_time
from tests.support.warm import WarmChild

SERVER_NAME = "test.localhost"
TEMPLATE = PREPARED / f"synapse-{version('matrix-synapse')}"
CHEAP = {
    "bcrypt_rounds": 4,  # else a quarter of a second of work for each account and each login; nobody attacks these
    # A quarter of the work on each event, for what no test looks at: who is to be notified, whom to tell on other
    # servers, statistics, who can be found by name.
    "push": {"enabled": False},
    "start_pushers": False,
    "send_federation": False,
    "stats": {"enabled": False},
    "update_user_directory": False,
    "gc_min_interval": ["5s", "30s", "60s"],
}


def fresh_homeserver(folder: Path, *, default_limits: bool = False) -> Synapse:
    """A homeserver that has never had a user, on a folder of its own."""
    with one_at_a_time("synapse"):
        if not TEMPLATE.exists():
            _make_template()
    shutil.copytree(TEMPLATE, folder)
    return Synapse(folder, server_name=SERVER_NAME, default_limits=default_limits, extra=CHEAP, child=WarmChild)


_WRITTEN_BY = """SELECT event_id FROM events
    WHERE room_id = ? AND sender = ? AND type IN ('m.room.message', 'm.room.encrypted')
    AND NOT outlier AND rejection_reason IS NULL ORDER BY topological_ordering, stream_ordering"""


def written_by(server: Synapse, user_id: str, room_id: str) -> list[str]:
    """The ids of somebody's messages in a room, in the order of /messages, from the homeserver's own tables while it
    works. Its pages would each bring the newest edits of what is on them: of a card with thousands that takes long."""
    with closing(_tables(server)) as tables:
        return [event_id for (event_id,) in tables.execute(_WRITTEN_BY, (room_id, user_id))]


@dataclass(frozen=True, slots=True, kw_only=True)
class InClear:
    """What one user has given the homeserver to read. `kind` is an event's type, or the table that keeps it."""

    kind: str
    text: str


_EVENTS = "SELECT json FROM event_json JOIN events USING (event_id) WHERE sender = ?"
_BESIDE_EVENTS = {
    "alias": "SELECT room_alias FROM room_aliases WHERE creator = ?",
    "file": "SELECT upload_name FROM local_media_repository WHERE user_id = ?",
    "device": "SELECT display_name FROM devices WHERE user_id = ?",
    "account data": "SELECT account_data_type || content FROM account_data WHERE user_id = ?",
    "room account data": "SELECT account_data_type || content FROM room_account_data WHERE user_id = ?",
}


def in_clear(server: Synapse, user_id: str) -> Iterator[InClear]:
    """All events that somebody has sent in any room, states that were replaced since among them; of encrypted ones what
    stands around the ciphertext. Then what they keep outside of rooms."""
    with closing(_tables(server)) as tables:
        for (event,) in tables.execute(_EVENTS, (user_id,)):
            yield _around_the_ciphertext(json.loads(event))
        for kind, query in _BESIDE_EVENTS.items():
            yield from (InClear(kind=kind, text=text) for (text,) in tables.execute(query, (user_id,)) if text)


def _around_the_ciphertext(event: dict[str, Any]) -> InClear:
    content = {key: value for key, value in event["content"].items() if key != "ciphertext"}
    said = [event.get("state_key", ""), content]
    return InClear(kind=event["type"], text=json.dumps(said, ensure_ascii=False))


def branches_of(server: Synapse, room_id: str) -> int:
    """How many events of the room are not yet named by a later one. Each new one costs work on all of them."""
    query = "SELECT count(*) FROM event_forward_extremities WHERE room_id = ?"
    with closing(_tables(server)) as tables:
        return int(tables.execute(query, (room_id,)).fetchone()[0])


def count_events(server: Synapse) -> int:
    """In all rooms, states among them."""
    with closing(_tables(server)) as tables:
        return int(tables.execute("SELECT count(*) FROM events").fetchone()[0])


def _tables(server: Synapse) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{server.folder / 'homeserver.db'}?mode=ro", uri=True)


def _make_template() -> None:
    draft = TEMPLATE.with_name(f"{TEMPLATE.name}.{os.getpid()}")
    asyncio.run(_start_once(Synapse(draft, server_name=SERVER_NAME)))
    for file in ("port", "synapse.log", "synapse.pid"):
        (draft / file).unlink(missing_ok=True)
    draft.rename(TEMPLATE)


async def _start_once(server: Synapse) -> None:
    await server.start()
    await server.stop()
