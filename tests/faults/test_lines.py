"""Lines that fail, while people write on both sides: what was acknowledged arrives, once, in order. F7 to F11, F16 and
F32 of the list in tests/README.md, each in a short form."""

import asyncio
import resource

import pytest
import sqlalchemy as sa

from messenger.storage.models.conversations import conversation
from tests.faults.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def write_everywhere(site: Site, count: int = 2) -> None:
    lanes = [lane for matter in site.house.office.matters for lane in (matter.asks, matter.answers)]
    for _ in range(count):
        await asyncio.gather(*(lane.write() for lane in lanes))


async def progress(site: Site) -> None:
    """Something has arrived since: the program is at work again."""
    await asyncio.gather(site.house.goes_on(more=1), write_everywhere(site, 1))


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("homeserver", "partition"),
        ("database", "refuse"),
        pytest.param("homeserver", "refuse", marks=pytest.mark.long),
        pytest.param("database", "partition", marks=pytest.mark.long),
    ],
)
async def test_a_line_that_is_away_for_a_while_loses_nothing(site: Site, line: str, how: str) -> None:
    async with getattr(site, line).broken(how):
        await write_everywhere(site)
    await progress(site)
    await site.nothing_is_missing()


@pytest.mark.parametrize("how", ["refuse", pytest.param("partition", marks=pytest.mark.long)])
async def test_without_the_key_database_nothing_of_anybody_new_is_written_and_nothing_is_lost(
    site: Site, how: str
) -> None:
    office, matters = site.house.office, len(site.house.office.matters)
    async with site.keys.broken(how):
        office.let_in()  # somebody new, whose key cannot be made now
        await write_everywhere(site)
        async with site.house.engine.connect() as connection:
            assert await connection.scalar(sa.select(sa.func.count()).select_from(conversation)) == matters
    await site.house.goes_on(more=1)
    await office.hush()
    assert len(office.matters) == matters + 1
    await site.nothing_is_missing()


async def test_answers_that_break_off_in_the_middle_count_as_none(site: Site) -> None:
    site.homeserver.cut_after = 4
    await write_everywhere(site)
    await progress(site)
    assert site.homeserver.hits >= 4
    site.heal()
    await site.nothing_is_missing()


@pytest.mark.long
async def test_answers_that_are_not_what_was_sent_count_as_none(site: Site) -> None:
    before, site.homeserver.corrupts = site.homeserver.hits, 4
    await write_everywhere(site)
    await progress(site)
    assert site.homeserver.hits >= before + 4
    site.heal()
    await site.nothing_is_missing()


@pytest.mark.long
async def test_answers_in_small_pieces_are_answers(site: Site) -> None:
    site.homeserver.slice_bytes = site.database.slice_bytes = 7
    await write_everywhere(site, 1)
    site.heal()
    await site.nothing_is_missing()


@pytest.mark.long
async def test_a_program_without_free_file_handles_goes_on_when_it_has_some(site: Site) -> None:
    pid = site.house.product.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, hard))
    site.homeserver.reset()  # new lines are needed, and there is no handle for one
    site.database.reset()
    await write_everywhere(site)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    await progress(site)
    await site.nothing_is_missing()


@pytest.mark.long
async def test_a_stopped_program_lets_end_what_is_on_its_way(site: Site) -> None:
    site.homeserver.latency_s = 0.2
    await write_everywhere(site)
    await site.house.product.stop()
    await write_everywhere(site, 1)
    site.heal()
    await site.house.product.start()
    await site.nothing_is_missing()
