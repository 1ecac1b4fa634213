"""Databases and homeservers that are not what they were: a copy that was brought back by hand, a clone that works at
the same time, a homeserver that was restored to an older state."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.demo.synapse import Synapse
from tests.crash.house import House
from tests.disaster.site import Site
from tests.support.databases import TestDatabases
from tests.support.people import People

pytestmark = pytest.mark.crash


@pytest.fixture
async def own_site(
    tmp_path: Path, own_synapse: Synapse, test_databases: TestDatabases, database_url: str
) -> AsyncIterator[Site]:
    """Its homeserver may be brought back to an older state."""
    async with House.build(tmp_path, own_synapse, test_databases.server, database_url) as house:
        yield Site(house, test_databases.server, tmp_path)


@pytest.mark.long
async def test_a_database_that_somebody_rolled_back_by_hand_is_refused(
    site: Site, test_databases: TestDatabases, people: People
) -> None:
    """A file system's snapshot, a clone of the machine: nothing in the database itself can tell."""
    await site.product.start()
    await site.product.stop()
    copy = f"{site.database}_copy"
    await site.house.engine.dispose()
    await test_databases.server.create_database(copy, template=site.database)
    await site.product.start()
    await site.product.stop()
    await test_databases.server.drop_database(site.database)
    await test_databases.server.execute(f'ALTER DATABASE "{copy}" RENAME TO "{site.database}"')

    said = await site.types("serve", succeeds=False)
    assert "restored or cloned" in said and "recover-desk" in said
    assert "devices deleted" in await site.types("recover-desk")


@pytest.mark.long
async def test_a_homeserver_that_was_restored_to_an_older_state_gets_what_it_lacks(own_site: Site) -> None:
    site, house = own_site, own_site.house
    office = await house.open_office(agents=1, customers=2)
    for matter in office.matters:
        await office.burst(matter.asks, 2)
        await office.burst(matter.answers, 2)
    await house.drain()
    older = await _snapshot(house.synapse)
    await site.product.stop()
    await site.product.start()
    for matter in office.matters:
        await office.burst(matter.asks, 2)
        await office.burst(matter.answers, 2)
    await house.drain()
    await site.product.stop()
    await site.product.start()
    await site.product.stop()

    await _bring_back(house.synapse, older)
    for matter in office.matters:
        await office.burst(matter.asks, 1)
    said = await site.types("serve", succeeds=False)
    assert "the homeserver lacks messages" in said and "recover-desk" in said
    assert (await site.recover()).sent_again >= 8
    await site.product.start()
    await house.drain()
    assert not await house.judge()


async def _snapshot(synapse: Synapse) -> Path:
    await synapse.stop()
    older = synapse.folder.with_name("older")
    shutil.copytree(synapse.folder, older)
    await synapse.start()
    return older


async def _bring_back(synapse: Synapse, older: Path) -> None:
    await synapse.stop()
    port = (synapse.folder / "port").read_text() if (synapse.folder / "port").exists() else None
    shutil.rmtree(synapse.folder)
    shutil.copytree(older, synapse.folder)
    if port is not None:
        (synapse.folder / "port").write_text(port)
    await synapse.start()
