"""The process dies at each named point; the next one starts from what is committed. No key is lost, no index used
twice."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import vodozemac
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.matrix.crypto import engine, one_time_keys, outgoing, sharing, todevice
from messenger.matrix.engine import Sealed
from tests.integration.crypto_world import DESK, DESK_DEVICE, Peer, World, a_world
from tests.support.desk_store import SqlDeskStore

ANNA = "@anna:test"
MODULES = (engine, one_time_keys, outgoing, sharing, todevice)


class Killed(BaseException):
    """Stands for SIGKILL: nothing after this point runs."""


Kill = Callable[[str], None]


@pytest.fixture
async def world(database: AsyncEngine) -> AsyncIterator[World]:
    async with a_world(SqlDeskStore(database, DESK)) as world:
        yield world


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Kill:
    def arm(name: str) -> None:
        def point(reached: str) -> None:
            if reached == name:
                raise Killed(name)

        for module in MODULES:
            monkeypatch.setattr(module, "fp", point)

    return arm


async def crash(world: World, work: Awaitable[object]) -> None:
    with pytest.raises(Killed):
        await work
    await world.restart()


def indexes(peer: Peer, *sealed: object) -> list[tuple[str, int]]:
    contents = [each.content for each in sealed if isinstance(each, Sealed)]
    return [
        (str(content["session_id"]), vodozemac.MegolmMessage.from_base64(content["ciphertext"]).message_index())
        for content in contents
    ]


@pytest.mark.parametrize("point", ["olm_claimed", "keys_encrypted", "keys_put", "megolm_encrypted"])
async def test_a_crash_while_sending_loses_no_message_and_repeats_no_index(
    world: World, die_at: Kill, point: str
) -> None:
    anna, ben = Peer(world.server, ANNA), Peer(world.server, "@ben:test")
    before = await world.send("before", ANNA)
    anna.take_keys()
    die_at(point)
    await crash(world, world.send("after", ANNA, ben.user_id))
    die_at("nowhere")
    after = await world.send("after", ANNA, ben.user_id)
    assert (anna.read(after), ben.read(after)) == ("after", "after")
    if point == "megolm_encrypted":  # the index of the text that was never sent is not reused
        assert indexes(anna, after)[0][1] == indexes(anna, before)[0][1] + 2
    more = await world.send("more", ANNA, ben.user_id)
    assert (anna.read(more), ben.read(more)) == ("more", "more")


@pytest.mark.parametrize("point", ["otk_saved", "otk_uploaded"])
async def test_a_crash_around_an_upload_of_one_time_keys_leaves_a_full_pool(
    world: World, die_at: Kill, point: str
) -> None:
    world.server.one_time_keys.clear()
    die_at(point)
    await crash(world, world.sync(one_time_keys=0))
    die_at("nowhere")
    await world.sync(one_time_keys=world.server.count(DESK, DESK_DEVICE) and 20)
    assert world.server.count(DESK, DESK_DEVICE) == 50
    anna = Peer(world.server, ANNA)
    [decrypted] = await world.sync(to_device=[anna.share_key()], events=[anna.say("hello")])
    assert decrypted.state == "new"


async def test_a_crash_after_the_to_device_events_lets_the_batch_come_again(world: World, die_at: Kill) -> None:
    anna = Peer(world.server, ANNA)
    key, event = anna.share_key(), anna.say("hello")
    die_at("todevice_saved")
    await crash(world, world.sync(to_device=[key], events=[event]))
    die_at("nowhere")
    [decrypted] = await world.sync(to_device=[key], events=[event])
    assert decrypted.state == "new"
