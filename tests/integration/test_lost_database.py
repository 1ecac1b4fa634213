"""A desk whose database is gone: with its recovery key a new device is signed by the old identity and takes the room
keys back from the backup on the homeserver."""

import sqlalchemy as sa

from messenger import bootstrap
from messenger.storage.database import connect
from messenger.storage.models.crypto import mx_megolm
from tests.support.people import People
from tests.support.product import Product
from tests.support.waiting import eventually


async def _sessions(url: str, *, backed_up_only: bool) -> set[str]:
    engine = connect(url)
    query = sa.select(mx_megolm.c.session_id)
    async with engine.begin() as connection:
        found = await connection.scalars(query.where(mx_megolm.c.backed_up) if backed_up_only else query)
        sessions = set(found.all())
    await engine.dispose()
    return sessions


async def test_a_new_installation_with_the_recovery_key_reads_the_old_rooms(
    product: Product, people: People, empty_database_url: str
) -> None:
    agent, customer = await people.person("ben"), await people.person("anna")
    await product.add_group("General", [(agent.user_id, "Ben Li", "agent")], default=True)
    await product.start()
    identity = await bootstrap.desk_identity(product.settings, product.settings.desk())
    room = await product.group_room("General")
    chat = await customer.start_direct_chat(product.desk)
    await customer.say(chat, "before the loss")
    await agent.wait_for(room, lambda seen: seen.body.endswith(": before the loss"))

    async def saved() -> set[str] | None:
        known = await _sessions(product.database_url, backed_up_only=False)
        return (
            known if len(known) >= 2 and known == await _sessions(product.database_url, backed_up_only=True) else None
        )

    known = await eventually(saved, what="every room key is in the backup")
    await product.stop()

    settings = product.settings_file.read_text()
    product.settings_file.write_text(settings.replace(product.database_url, empty_database_url))
    await bootstrap.migrate(product.settings)
    await product.start()

    async def restored() -> bool:
        return known <= await _sessions(empty_database_url, backed_up_only=False)

    await eventually(restored, what="the room keys are back")
    again = await bootstrap.desk_identity(product.settings, product.settings.desk())
    assert identity is not None and again is not None
    assert again.fingerprint == identity.fingerprint
    assert again.device_id != identity.device_id
