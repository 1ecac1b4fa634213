"""What the audit log costs: checking a long chain, and adding one row to a command's transaction.

    python benchmarks/audit.py [--rows 100000] [--appends 500]

PostgreSQL as durable as in production. Verifying reads every row, works out its link and compares; the target is
100,000 rows in less than 2 s. Appends are timed beside the same transaction without a row, in turns."""

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.parts import report, servers
from benchmarks.parts.meter import own_cpu_seconds, percentile
from messenger.app.audit import audit
from messenger.storage.audit import chain_scope
from messenger.storage.audit_chain import BEGINNING, COLUMNS, chain_secret, details_text, link
from messenger.storage.audit_verify import verify
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import connect
from messenger.storage.migration import upgrade
from messenger.storage.unit_of_work import SqlUnits
from tests.support.keyring import keys_of


async def fill(engine: AsyncEngine, keys: DataKeys, rows: int) -> None:
    """A chain as the product writes it, put in at once."""
    secret, mac, made = chain_secret(await keys.of(chain_scope(1))), BEGINNING, list[tuple[Any, ...]]()
    for seq in range(1, rows + 1):
        row = _row(seq)
        mac = link(secret, mac, [row[name] for name in COLUMNS])
        made.append((*row.values(), mac))
    async with engine.begin() as connection:
        await connection.execute(sa.text("SELECT 1"))
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.copy_records_to_table("audit", records=made, columns=[*_row(1), "mac"])
        await connection.execute(sa.text("UPDATE audit_head SET seq = :seq, mac = :mac"), {"seq": rows, "mac": mac})


def _row(seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": datetime.now(UTC),
        "actor": f"agent:{uuid4()}",
        "action": "conversation.history",
        "object": f"conversation:{uuid4()}",
        "purpose": "serve",
        "outcome": "allowed",
        "reason": "own_group",
        "details": details_text({"command": "history", "group": str(uuid4())}),
        "enc_words": None,
        "key_no": 1,
    }


async def verified(engine: AsyncEngine, keys: DataKeys, rows: int) -> report.Figures:
    await fill(engine, keys, rows)
    figures: report.Figures = {"rows": rows}
    for run in (1, 2, 3):
        begun, cpu = time.perf_counter(), own_cpu_seconds()
        verdict = await verify(engine, keys, [])
        assert verdict.is_whole and verdict.rows == rows
        figures[f"verify {run}, s"] = round(time.perf_counter() - begun, 3)
        figures[f"verify {run}, own CPU s"] = round(own_cpu_seconds() - cpu, 3)
    return figures


async def appended(units: SqlUnits, number: int) -> report.Figures:
    """Milliseconds of a small transaction with and without a row."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * number):
        with_row, begun = turn % 2 == 0, time.perf_counter()
        async with units() as unit:
            await unit.timers.set([])
            await unit.people.groups()
            if with_row:
                audit(unit, actor="agent:x", action="conversation.history", object="conversation:x", purpose="serve")
        times[with_row].append(1000 * (time.perf_counter() - begun))
    return {
        "transactions of each kind": number,
        "with a row, ms, half of all": percentile(times[True], 0.5),
        "with a row, ms, 95 of 100": percentile(times[True], 0.95),
        "a read only, ms, half of all": percentile(times[False], 0.5),
        "a read only, ms, 95 of 100": percentile(times[False], 0.95),
    }


async def side_by_side(units: SqlUnits, number: int, workers: int) -> report.Figures:
    """How many transactions with a row a second, when many want the chain's end at once."""

    async def work() -> None:
        for _ in range(number // workers):
            async with units() as unit:
                audit(unit, actor="agent:x", action="conversation.history", object="conversation:x", purpose="serve")

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    return {f"rows a second by {workers} at once": round(number / (time.perf_counter() - begun))}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--appends", type=int, default=500)
    options = parser.parse_args()
    async with servers.folder() as folder, servers.postgres(folder) as server:
        url = await server.create_database("stellwerk")
        engine, for_keys = connect(url), connect(url, pool_size=2)
        await upgrade(engine)
        keys = keys_of(for_keys)
        units = SqlUnits(engine, keys, namespace=uuid4(), desk="@desk:x")
        figures = await verified(engine, keys, options.rows)
        figures |= await appended(units, options.appends)
        figures |= await side_by_side(units, options.appends, 10)
        report.show("audit", {**figures, **report.surroundings()})
        await engine.dispose()
        await for_keys.dispose()


if __name__ == "__main__":
    asyncio.run(main())
