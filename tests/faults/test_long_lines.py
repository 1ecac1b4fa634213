"""The lines that fail slowly: dead at one end only, late, thin, away for a minute. Each takes as long as the program
may wait."""

import asyncio

import pytest

from tests.faults.conftest import Site
from tests.faults.test_lines import progress, write_everywhere

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]


@pytest.mark.parametrize("line", ["homeserver", "database"])
async def test_lines_that_are_dead_at_one_end_are_given_up(site: Site, line: str) -> None:
    """Nothing ends them: only who waits can know that it waits in vain."""
    await progress(site)
    assert getattr(site, line).half_open() > 0
    await write_everywhere(site)
    await progress(site)
    await site.nothing_is_missing()


@pytest.mark.parametrize("line", ["homeserver", "database"])
async def test_a_line_that_is_away_for_a_minute_loses_nothing(site: Site, line: str) -> None:
    async with getattr(site, line).broken("partition"):
        await write_everywhere(site)
        await asyncio.sleep(60)  # the time is what is tested
    await progress(site)
    await site.nothing_is_missing()


async def test_a_line_that_is_two_seconds_late_loses_nothing(site: Site) -> None:
    site.homeserver.latency_s = 1.0  # each way
    await write_everywhere(site)
    await progress(site)
    await site.nothing_is_missing()
    site.heal()


async def test_a_database_that_is_late_loses_nothing(site: Site) -> None:
    site.database.latency_s = 0.1  # each way, each statement: a turn has many
    await write_everywhere(site, 1)
    await progress(site)
    site.heal()
    await site.nothing_is_missing()


async def test_a_line_of_a_thousand_bytes_a_second_loses_nothing(site: Site) -> None:
    site.homeserver.bytes_per_s = 1_000
    await site.house.office.matters[0].asks.write()
    await site.house.goes_on(more=1, patience_s=300)
    site.heal()
    await site.nothing_is_missing()
