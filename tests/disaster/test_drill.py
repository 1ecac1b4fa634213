"""The drill: backup, destruction, restore, a new device. People went on writing before and after; nothing of it is lost
or doubled, old threads stay readable, and who was erased stays erased."""

import asyncio
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from messenger import bootstrap
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.storage.models.conversations import channel_identity, message
from tests.disaster.site import Site
from tests.support.people import Person
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash
SECRET = "Quarzgeheimnis"


async def test_after_a_restore_nothing_is_lost_or_doubled_and_the_old_device_is_dead(site: Site) -> None:
    house = site.house
    site.keep_ledger_elsewhere()
    office = await house.open_office(agents=1, customers=2)
    for matter in office.matters:
        await office.burst(matter.asks, 3)
        await office.burst(matter.answers, 3)
    gone = await _somebody_who_goes(site)
    await house.drain()
    await site.back_up()
    before = await bootstrap.desk_identity(site.settings, site.settings.desk())
    old_login = await _login_of_desk(site)

    # The homeserver is ahead of the backup: answers, questions, a new customer, an erasure; and what is said while
    # nobody listens.
    await site.types("contact", "erase", gone.user_id, "--yes", "-o", str(site.product.folder / "certificate.json"))
    for matter in office.matters:
        await office.burst(matter.asks, 4)
        await matter.answers.write(file=True)
    await office.open()
    await house.drain()
    await eventually(site.has_saved_its_keys, what="every room key is at the homeserver")
    keys, epoch = await site.room_keys(), await site.epoch()
    site.product.kill()
    for matter in office.matters:
        await office.burst(matter.asks, 2)
        await office.burst(matter.answers, 2)

    drilled = await bootstrap.drill(site.settings, site.folder(), keys=site.folder("keys"))
    assert (drilled.opened, drilled.erased, drilled.unreadable) == (15, 0, 0), "of the moment of the backup"
    await site.destroy()
    site.lose_ledger()
    await site.restore()
    assert "recover-desk" in await site.types("serve", succeeds=False)
    report = await site.recover()
    assert await site.epoch() > epoch
    await site.product.start()
    await house.drain()

    assert not await house.judge()
    assert await house.open_rows() == {}
    assert keys <= await site.room_keys(), "what could be read before can be read now"
    after = await bootstrap.desk_identity(site.settings, site.settings.desk())
    assert before is not None and after is not None
    assert after.device_id == report.device_id != before.device_id
    assert after.fingerprint == report.fingerprint == before.fingerprint
    with pytest.raises(MatrixError, match="M_UNKNOWN_TOKEN"):
        await old_login.call("GET", f"{CLIENT}/account/whoami")
    await old_login.close()
    assert await _is_erased(site)
    root_key = site.settings.security.root_key_file.read_text().strip()
    assert site.is_in_sets(SECRET, "c1-0001", "a1-0001", root_key, before.device_id) == [before.device_id]


@pytest.mark.long
async def test_a_ledger_that_is_shorter_than_the_homeserver_has_seen_it_is_asked_for(site: Site) -> None:
    """The ledger's last line was lost together with the databases, and no second place has it."""
    house = site.house
    await house.open_office(agents=1, customers=1)
    gone = await _somebody_who_goes(site)
    await house.drain()
    await site.back_up()
    await site.types("contact", "erase", gone.user_id, "--yes", "-o", str(site.product.folder / "certificate.json"))
    whole = site.settings.erasure_ledger_file().read_bytes()
    await site.product.stop()
    await site.product.start()
    await site.product.stop()
    await site.destroy()
    site.lose_ledger()
    await site.restore()
    assert "1 person was erased whom" in await site.types("recover-desk", succeeds=False)
    assert not await _is_erased(site)
    site.settings.erasure_ledger_file().write_bytes(whole)
    await site.types("recover-desk")
    await site.product.start()
    async with house.engine.connect() as connection:
        people = await connection.scalar(sa.select(sa.func.count()).where(channel_identity.c.kind != "erased"))
    assert people == 1, "the other customer"


@pytest.mark.long
async def test_a_thousand_messages_are_back_long_before_half_an_hour_is_over(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    """From the loss to the last message handled: verify, restore, new device, start, catching up."""
    house = site.house
    office = await house.open_office(agents=2, customers=5)
    lanes = [lane for matter in office.matters for lane in (matter.asks, matter.answers)]
    await asyncio.gather(*(office.burst(lane, 100) for lane in lanes))
    await house.drain(patience_s=300)
    await site.back_up()
    await asyncio.gather(*(office.burst(lane, 5) for lane in lanes))
    site.product.kill()
    await site.destroy()

    began = time.monotonic()
    await site.types("restore", str(site.folder()), "--keys", str(site.folder("keys")))
    await site.types("recover-desk")
    await site.product.start()
    await house.drain(patience_s=300)
    minutes = (time.monotonic() - began) / 60
    drilled = await bootstrap.drill(site.settings, site.folder(), keys=site.folder("keys"))
    record_property("rto", f"{minutes * 60:.0f} s, {drilled.bytes / 1e6:.2f} MB of sets, {drilled}")
    assert not await house.judge()
    assert drilled.opened >= 1_000 and drilled.unreadable == 0
    assert minutes < 30


async def _somebody_who_goes(site: Site) -> Person:
    person = await site.house.people.person("gone")
    chat = await person.start_direct_chat(site.product.desk)
    await person.say(chat, SECRET)
    await site.house.office.agents[0].wait_for(site.house.office.room, lambda seen: SECRET in seen.body)
    return person


async def _is_erased(site: Site) -> bool:
    """The two others and the one who came later are known, and all words of theirs; nothing of the one who went."""
    async with site.house.engine.connect() as connection:
        people = await connection.scalar(sa.select(sa.func.count()).where(channel_identity.c.kind != "erased"))
        authors = await connection.scalar(sa.select(sa.func.count(sa.distinct(message.c.conversation_id))))
    return (people, authors) == (3, 3)


async def _login_of_desk(site: Site) -> HomeserverClient:
    async with bootstrap.open_desk_client(site.settings, site.settings.desk()) as http:
        return HomeserverClient(http.base_url, token=http.token)
