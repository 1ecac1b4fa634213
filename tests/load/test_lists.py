"""What lists and boards cost a desk with 5,000 open conversations and many resolved ones. Counted in pages that
PostgreSQL touches: no busy machine changes them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.parts import full_desk
from messenger.storage import boards, lists, routing
from messenger.storage.models.people import group_member, skill_group, staff

GROUPS, AGENTS, OPEN, RESOLVED = 20, 200, 5_000, 50_000


@pytest_asyncio.fixture
async def full(database: AsyncEngine) -> AsyncEngine:
    await full_desk.fill(database, groups=GROUPS, agents=AGENTS, open=OPEN, resolved=RESOLVED)
    return database


async def cost(database: AsyncEngine, query: sa.TextClause, **parameters: Any) -> tuple[int, int]:
    """Rows found and pages touched, as a generic plan: the one that a busy process comes to."""
    async with database.connect() as connection:
        await connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
        explained = sa.text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.text}")
        plan = (await connection.execute(explained, parameters)).scalar_one()
        await connection.rollback()
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return top["Actual Rows"], top["Shared Hit Blocks"] + top["Shared Read Blocks"]


async def test_lists_and_boards_touch_only_what_they_show(full: AsyncEngine) -> None:
    async with full.begin() as connection:
        [agent, *_] = await connection.scalars(sa.select(staff.c.id).order_by(staff.c.address))
        mine = sa.select(group_member.c.group_id).where(group_member.c.staff_id == agent)
        groups = [str(id) for id in await connection.scalars(mine)]
        now = await connection.scalar(sa.select(sa.func.now()))
    found, pages = await cost(full, lists._WAITING, groups=groups, most=10)
    assert (found, pages < 60) == (10, True), pages
    found, pages = await cost(full, lists._NEXT, groups=groups)
    assert (found, pages < 400) == (1, True), pages
    found, pages = await cost(full, lists._OWN, owner=str(agent))
    assert (found, pages < 100) == (OPEN // AGENTS * 3 // 5, True), pages
    _, pages = await cost(full, lists._HOW_MANY_WAIT, groups=groups)
    assert pages < 400
    _, pages = await cost(full, boards._COUNTS, group=groups[0], today=now, tomorrow=now)
    assert pages < 400
    found, pages = await cost(full, boards._PRESENT, group=groups[0], roles=["agent", "lead"])
    assert found == AGENTS * 3 // GROUPS
    assert pages < 25 * found


async def test_what_a_groups_people_have_in_work_costs_the_same_with_many_groups(database: AsyncEngine) -> None:
    """Those of one group have each 15 conversations at work, ten of them open, wherever these belong."""
    await full_desk.fill(database, groups=100, agents=1_000, open=25_000, resolved=1_000)
    async with database.begin() as connection:
        groups = list(await connection.scalars(sa.select(skill_group.c.id)))
        seats = sa.select(group_member.c.staff_id).where(group_member.c.group_id == groups[0])
        people = list(await connection.scalars(seats))
    rules = json.dumps({str(group): 60 for group in groups})
    found, pages = await cost(database, routing._IN_WORK_OF, rules=rules, staff=people, now=datetime.now(UTC))
    assert found == len(people), "each person's are of one group here"
    assert pages < (15 + 3) * len(people), "a page for each conversation, and the way to them"
