"""The homeserver is away for ten minutes while thousands of rows wait for it. When it is back, all of them leave at
once, in order: none waits for the end of a pause that its own failures have made long.

python -m pytest -m long tests/faults/test_away.py -s          (10,000 rows, ten minutes)
AWAY_ROWS=2000 AWAY_SECONDS=600 ...                            (a part of it)"""

import os
from pathlib import Path

import pytest

from tests.faults.away import Town, a_town
from tests.support.databases import TestDatabases

ROWS, SECONDS = int(os.environ.get("AWAY_ROWS", "10000")), float(os.environ.get("AWAY_SECONDS", "600"))
ROWS_OF_ONE, GOAL_S = 20, 300.0


async def all_leaves(town: Town, *, conversations: int, rows: int, seconds: float) -> None:
    await town.open(conversations + 1)
    await town.let_wait(rows, poison=town.talks[-1])
    await town.go_away(seconds)
    town.come_back()
    await town.drain()
    if seconds:
        await town.becomes_quiet()
    told = town.told
    print(
        f"\naway for {told.away_s:.0f} s: {told.waiting} rows in {told.lanes} lanes and {told.unhandled} messages "
        f"waited, tried up to {told.most_tries} times; the first arrived after {told.first_s:.1f} s, all after "
        f"{told.all_s:.1f} s, all was quiet after {told.quiet_s:.1f} s; load {os.getloadavg()[0]:.1f}"
    )
    assert told.waiting >= rows
    assert await town.damage() == {"lost": 0, "doubled": 0, "out of order": 0}


async def test_what_waited_for_the_homeserver_leaves_when_it_is_back(
    tmp_path: Path, test_databases: TestDatabases
) -> None:
    async with a_town(tmp_path, test_databases) as town:
        await all_leaves(town, conversations=4, rows=40, seconds=0)


@pytest.mark.long
async def test_ten_thousand_rows_leave_in_order_after_ten_minutes(
    tmp_path: Path, test_databases: TestDatabases
) -> None:
    async with a_town(tmp_path, test_databases) as town:
        await all_leaves(town, conversations=ROWS // ROWS_OF_ONE, rows=ROWS, seconds=SECONDS)
        assert town.told.all_s < GOAL_S
