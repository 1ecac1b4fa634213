"""What a claim costs when much is waiting. Counted in pages that PostgreSQL touches: no busy machine changes them."""

import json
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage import inbox, outbox
from messenger.storage.statements import Statement

ROWS = 10_000
MOST, LOOK_AT = 32, 16
PAGES_A_LANE = 25  # down an index of this size twice, and the row itself with its new version
LANES = {"one lane": "'lane'", "5,000 lanes": "'lane' || (n % 5000)"}

_OUTBOX = """INSERT INTO outbox (lane, desk, txn, kind, enc_body, {more})
    SELECT {lane}, '@desk:test', 'm' || n, 'EditCard', '\\x00', {values}"""
_INBOX = """INSERT INTO inbox (source, source_id, lane, kind, enc_body, {more})
    SELECT 'test', n, {lane}, 'SendEnded', '\\x00', {values}"""
_CLAIM_OUTBOX = {
    "desk": "@desk:test",
    "device": "D",
    "token": UUID(int=1),
    "most": MOST,
    "resource": "desk:test",
    "epoch": 1,
    "holds_answers": False,
    "latest": None,
}


async def fill(database: AsyncEngine, insert: str, lane: str, *, more: str = "state", values: str = "'new'") -> None:
    async with database.begin() as connection:
        statement = insert.format(lane=lane, more=more, values=values)
        await connection.exec_driver_sql(f"{statement} FROM generate_series(1, {ROWS}) AS n")
        await connection.exec_driver_sql("INSERT INTO lease VALUES ('desk:test', 'test', 1, now() + interval '1 h')")
    async with database.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql("ANALYZE")


async def cost(database: AsyncEngine, claim: Statement, **parameters: Any) -> tuple[int, int]:
    """Rows found and pages touched, as a generic plan: the one that a busy process comes to."""
    async with database.connect() as connection:
        await connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
        explained = sa.text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claim.of.text}")
        plan = (await connection.execute(explained, {"after": "lane77", **parameters})).scalar_one()
        await connection.rollback()
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return top["Actual Rows"], top["Shared Hit Blocks"] + top["Shared Read Blocks"]


@pytest.mark.parametrize("lane", LANES.values(), ids=list(LANES))
async def test_an_outbox_claim_touches_only_the_heads_of_lanes(database: AsyncEngine, lane: str) -> None:
    await fill(database, _OUTBOX, lane)
    found, pages = await cost(database, outbox._CLAIM, **_CLAIM_OUTBOX)
    assert found == (1 if lane == "'lane'" else MOST)
    assert pages < PAGES_A_LANE * found + 50


@pytest.mark.parametrize("lane", LANES.values(), ids=list(LANES))
async def test_an_inbox_claim_touches_only_the_heads_of_a_few_lanes(database: AsyncEngine, lane: str) -> None:
    await fill(database, _INBOX, lane)
    found, pages = await cost(database, inbox._CLAIM, resource="desk:test", epoch=1)
    assert found == 1
    assert pages < PAGES_A_LANE * (1 if lane == "'lane'" else LOOK_AT)


async def test_rows_behind_a_claimed_head_cost_nothing(database: AsyncEngine) -> None:
    """A lane of 10,000 rows whose first is on its way: every other claim walks past it."""
    await fill(
        database,
        _OUTBOX,
        "'lane'",
        more="state, claimed_until",
        values="CASE n WHEN 1 THEN 'claimed' ELSE 'new' END, now() + interval '1 h'",
    )
    found, pages = await cost(database, outbox._CLAIM, **_CLAIM_OUTBOX)
    assert found == 0
    assert pages < PAGES_A_LANE


async def test_an_outage_of_all_lanes_is_walked_past_in_few_pages_each(database: AsyncEngine) -> None:
    """Every head waits for its next try."""
    await fill(database, _OUTBOX, LANES["5,000 lanes"], more="next_at", values="now() + interval '1 h'")
    found, pages = await cost(database, outbox._CLAIM, **_CLAIM_OUTBOX)
    assert found == 0
    assert pages < 10 * 5_000
