"""The drill: backup, destruction, restore, a new device. People went on writing before and after; nothing of it is
lost or doubled, and old threads stay readable."""

import pytest
import sqlalchemy as sa

from messenger import bootstrap
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.storage.models.queues import lease
from tests.disaster.site import Site

pytestmark = pytest.mark.crash


async def _epoch(site: Site) -> int:
    async with site.house.engine.connect() as connection:
        return int(await connection.scalar(sa.select(lease.c.epoch)) or 0)


async def _login_of_desk(site: Site) -> HomeserverClient:
    async with bootstrap.open_desk_client(site.settings, site.settings.desk()) as http:
        return HomeserverClient(http.base_url, token=http.token)


async def test_after_a_restore_nothing_is_lost_or_doubled_and_the_old_device_is_dead(site: Site) -> None:
    house = site.house
    office = await house.open_office(agents=1, customers=2)
    for matter in office.matters:
        await office.burst(matter.asks, 3)
        await office.burst(matter.answers, 3)
    await house.drain()
    await site.types("backup", str(site.set()), "--keys", str(site.set("keys")))
    before = await bootstrap.desk_identity(site.settings, site.settings.desk())
    old_login = await _login_of_desk(site)

    # The homeserver is ahead of the backup: answers, questions, a new customer; and what is said while nobody listens.
    for matter in office.matters:
        await office.burst(matter.asks, 4)
        await matter.answers.write(file=True)
    await office.open()
    await house.drain()
    epoch = await _epoch(site)
    site.product.kill()
    for matter in office.matters:
        await office.burst(matter.asks, 2)
        await office.burst(matter.answers, 2)

    await site.destroy()
    await site.types("restore", str(site.set()), "--keys", str(site.set("keys")))
    assert "recover-desk" in await site.types("serve", succeeds=False)
    report = await site.asks("recover-desk")
    assert await _epoch(site) > epoch
    await site.product.start()
    await house.drain()

    assert not await house.judge()
    await house.assert_books_balance()
    after = await bootstrap.desk_identity(site.settings, site.settings.desk())
    assert before is not None and after is not None
    assert after.device_id == report["device_id"] != before.device_id
    assert after.fingerprint == report["fingerprint"] == before.fingerprint
    with pytest.raises(MatrixError, match="M_UNKNOWN_TOKEN"):
        await old_login.call("GET", f"{CLIENT}/account/whoami")
    await old_login.close()
