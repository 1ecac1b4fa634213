"""How sends end: the fence, the rows' final states, the ids under which the other side knows what was sent, and what
the inbox must hear, in one statement. Most ends leave nothing else behind, so that this is their whole transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.outcome import Outcome
from messenger.app.records import OutboxRow
from messenger.channels.errors import LeaseLost
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import fetch
from messenger.storage.inbox import sealed_row
from messenger.storage.leases import HELD, Lease
from messenger.storage.messages import trace_row
from messenger.storage.statements import Statement

_ENDED = {"id": "bigint", "token": "uuid", "state": "text", "code": "text"}
_TRACES = {
    "account": "text",
    "remote_id": "text",
    "part": "int",
    "kind": "text",
    "room": "text",
    "conversation_id": "uuid",
    "message_id": "uuid",
}
_ITEMS = {"source": "text", "source_id": "text", "lane": "text", "kind": "text", "enc_body": "bytea"}


def _arrays(prefix: str, columns: dict[str, str]) -> str:
    return ", ".join(f"CAST(:{prefix}_{name} AS {type}[])" for name, type in columns.items())


def _values(prefix: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {f"{prefix}_{name}": [row[name] for row in rows] for name in columns}


_TRACED = f""", traced AS (
  INSERT INTO remote_message ({", ".join(_TRACES)})
  SELECT {", ".join(f"new.{name}" for name in _TRACES)}
  FROM unnest({_arrays("trace", _TRACES)}, CAST(:trace_of AS bigint[])) AS new({", ".join(_TRACES)}, of_row)
  JOIN ended ON ended.id = new.of_row
  ON CONFLICT DO NOTHING
)"""  # noqa: S608 - fixed texts of ours
_HEARD = f""", heard AS (
  INSERT INTO inbox ({", ".join(_ITEMS)})
  SELECT {", ".join(f"new.{name}" for name in _ITEMS)}
  FROM unnest({_arrays("item", _ITEMS)}, CAST(:item_of AS bigint[]))
    WITH ORDINALITY AS new({", ".join(_ITEMS)}, of_row, number)
  JOIN ended ON ended.id = new.of_row
  ORDER BY new.number
  ON CONFLICT DO NOTHING
)"""  # noqa: S608 - fixed texts of ours


def _settle(*more: str) -> Statement:
    """A row whose claim is somebody else's by now leaves no trace and says nothing. Of a row that ended: is more to be
    sent in its lane? A single row that is not `held` says that the lease is lost."""
    return Statement(f"""
WITH {HELD}, ended AS (
  UPDATE outbox SET state = new.state, code = new.code, claimed_until = NULL, next_at = now()
  FROM held, unnest({_arrays("ended", _ENDED)}) AS new({", ".join(_ENDED)})
  WHERE outbox.id = new.id AND claim_token = new.token AND outbox.state = 'claimed'
  RETURNING outbox.id, outbox.lane
){"".join(more)}
SELECT fence.is_held, ended.id, EXISTS (
  SELECT FROM outbox AS next
  WHERE next.lane = ended.lane AND next.id > ended.id AND next.state IN ('new', 'claimed', 'unknown')
) AS has_more
FROM (SELECT EXISTS (SELECT FROM held) AS is_held) AS fence LEFT JOIN ended ON true""")  # noqa: S608 - fixed texts of ours


# By what there is to write. PostgreSQL plans a statement with arrays anew each time, the dearer the more is in it.
_SETTLE = {
    (False, False): _settle(),
    (True, False): _settle(_TRACED),
    (False, True): _settle(_HEARD),
    (True, True): _settle(_TRACED, _HEARD),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one row ends: `sent`, `failed`, `dead` or `unknown`, and what it leaves behind."""

    row: OutboxRow
    state: str
    outcome: Outcome
    code: str = ""

    @property
    def is_plain(self) -> bool:
        """`settle` writes all that it leaves behind."""
        rest = Outcome(traces=self.outcome.traces, items=self.outcome.items)
        return self.state not in ("dead", "unknown") and self.outcome == rest


async def settle(
    connection: AsyncConnection, keys: DataKeys, endings: Sequence[Ending], lease: Lease
) -> dict[int, bool]:
    """The ids of the rows whose claim we still held, and whether more waits in their lanes; the others are settled by
    whoever holds them now. Raises LeaseLost."""
    traces = [(ending.row.id, trace_row(trace)) for ending in endings for trace in ending.outcome.traces]
    items = [(ending.row.id, await sealed_row(keys, item)) for ending in endings for item in ending.outcome.items]
    values: dict[str, Any] = {
        "resource": lease.resource,
        "epoch": lease.epoch,
        "ended_id": [ending.row.id for ending in endings],
        "ended_token": [ending.row.token for ending in endings],
        "ended_state": [ending.state for ending in endings],
        "ended_code": [ending.code or None for ending in endings],
    }
    if traces:
        values |= _values("trace", [*_TRACES], [trace for _, trace in traces]) | {
            "trace_of": [row for row, _ in traces]
        }
    if items:
        values |= _values("item", [*_ITEMS], [item for _, item in items]) | {"item_of": [row for row, _ in items]}
    rows = await fetch(connection, _SETTLE[bool(traces), bool(items)], values)
    if not all(row.is_held for row in rows):
        raise LeaseLost(lease.resource)
    return {row.id: row.has_more for row in rows if row.id is not None}
