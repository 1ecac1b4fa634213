"""The room to which checkpoints of the audit log are posted in clear. Nothing is, where that might be encrypted: now,
once before, or for all that anybody knows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.checkpoint_room import CheckpointRoom
from messenger.channels.errors import Temporary
from messenger.cli.doctor.account import checkpoint_room
from messenger.cli.doctor.finding import Level
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path
from messenger.matrix.room_book import RoomBook
from messenger.observability.time import utc_now
from messenger.storage.audit_checkpoints import Checkpoint
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.hands import DeskHands
from tests.support.people import ENCRYPTION, People
from tests.support.product import Product
from tests.support.waiting import eventually


@dataclass(kw_only=True)
class Scene:
    """A homeserver that may do as it likes with the state of its rooms; the desk, and somebody who reads."""

    homeserver: FakeHomeserver
    hands: DeskHands
    reader: HomeserverClient
    room: str
    posted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place = CheckpointRoom(self.hands.http, self.hands.book, self.room)

    def as_after_a_restart(self) -> None:
        self.place = CheckpointRoom(self.hands.http, RoomBook(self.hands.http, self.hands.store), self.room)

    async def post(self) -> None:
        number = len(self.posted) + 1
        self.posted.append(f"line {number}")
        checkpoint = Checkpoint(seq=number, mac=bytes([number]) * 32, at=utc_now(), after="")
        await self.place.post(checkpoint, self.posted[-1])

    async def in_clear(self) -> list[str]:
        return await in_clear(self.reader, self.room)

    async def encrypt(self) -> None:
        await encrypt(self.reader, self.room)

    def forget_encryption(self) -> None:
        """As a hostile homeserver does, which shows the state of before."""
        del self.homeserver.world.room(self.room).state["m.room.encryption", ""]


@pytest.fixture
async def scene(database: AsyncEngine) -> AsyncIterator[Scene]:
    homeserver = FakeHomeserver()
    await homeserver.start()
    account, auditor = homeserver.register("desk"), homeserver.register("auditor")
    hands, reader = DeskHands(homeserver.url, account.user_id, database), HomeserverClient(homeserver.url)
    await hands.open(account.password)
    who = {"type": "m.id.user", "user": auditor.user_id}
    login = {"type": "m.login.password", "identifier": who, "password": auditor.password}
    reader.token = (await reader.call("POST", f"{CLIENT}/login", login))["access_token"]
    room = (await reader.call("POST", f"{CLIENT}/createRoom", {"invite": [account.user_id]}))["room_id"]
    yield Scene(homeserver=homeserver, hands=hands, reader=reader, room=room)
    for client in (reader, hands.http):
        await client.close()
    await homeserver.stop()


async def in_clear(reader: HomeserverClient, room: str) -> list[str]:
    query = {"dir": "b", "limit": "50"}
    seen = await reader.call("GET", f"{CLIENT}/rooms/{path(room, 'messages')}", query=query)
    return [event["content"]["body"] for event in seen["chunk"][::-1] if event["type"] == "m.room.message"]


async def encrypt(reader: HomeserverClient, room: str) -> None:
    state = f"{CLIENT}/rooms/{path(room, 'state', 'm.room.encryption')}"
    await reader.call("PUT", state, ENCRYPTION["content"])


async def test_the_desk_comes_in_when_it_is_asked_and_posts_each_checkpoint(scene: Scene) -> None:
    for _ in range(2):
        await scene.post()
    assert await scene.in_clear() == scene.posted and len(scene.posted) == 2


async def test_nothing_goes_to_an_encrypted_room_and_the_log_says_so_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.post()
    await scene.encrypt()
    for _ in range(2):
        await scene.post()
    assert await scene.in_clear() == ["line 1"]
    assert caplog.text.count("audit.room is encrypted") == 1


@pytest.mark.parametrize("seen_by", ["the poster", "the sync"])
async def test_a_room_that_was_once_seen_encrypted_stays_so_whatever_its_state_says_later(
    scene: Scene, seen_by: str
) -> None:
    await scene.post()
    await scene.encrypt()
    if seen_by == "the poster":
        await scene.post()
    else:
        await scene.hands.sync.once(timeout_ms=0)
    scene.forget_encryption()
    await scene.post()
    scene.as_after_a_restart()
    await scene.post()
    assert await scene.in_clear() == ["line 1"]


async def nothing(request: web.Request, handler: object) -> web.Response:
    return web.json_response([])


async def test_where_the_rooms_state_cannot_be_learnt_nothing_is_said(scene: Scene) -> None:
    await scene.post()
    for status, errcode in ((500, "M_UNKNOWN"), (404, "M_NOT_FOUND"), (404, "M_UNRECOGNIZED")):
        scene.homeserver.faults.fail("/state", status=status, errcode=errcode)
        with pytest.raises(MatrixError):
            await scene.post()
    scene.homeserver.faults.rule("/state", nothing)
    with pytest.raises(Temporary):
        await scene.post()
    assert await scene.in_clear() == ["line 1"]


async def test_who_is_not_invited_says_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    await scene.reader.call("POST", f"{CLIENT}/rooms/{path(scene.room, 'kick')}", {"user_id": scene.hands.user_id})
    with pytest.raises(MatrixError):
        await scene.post()
    assert await scene.in_clear() == []
    assert "audit.room is encrypted" not in caplog.text


async def test_the_program_posts_its_checkpoints_and_doctor_says_why_it_does_not(
    product: Product, people: People
) -> None:
    auditor = await people.person("auditor")
    room = (await auditor.server.call("POST", f"{CLIENT}/createRoom", {"invite": [product.desk]}))["room_id"]
    with product.settings_file.open("a") as settings:
        settings.write(f'[audit]\nroom = "{room}"\n')
    assert "can be looked at after the first" in await doctor(product, "warn")
    await product.add_group("Claims")
    await product.start()

    async def is_there() -> bool:
        return bool(await in_clear(auditor.server, room))

    await eventually(is_there)
    assert "its members read every checkpoint" in await doctor(product, "ok")
    await encrypt(auditor.server, room)
    assert f"Make a room without encryption, invite {product.desk}" in await doctor(product, "fail")


async def test_doctor_says_that_the_desk_is_not_in_the_room(product: Product, people: People) -> None:
    auditor = await people.person("auditor")
    room = (await auditor.server.call("POST", f"{CLIENT}/createRoom", {}))["room_id"]
    with product.settings_file.open("a") as settings:
        settings.write(f'[audit]\nroom = "{room}"\n')
    await product.start()
    assert f"Is {product.desk} invited there" in await doctor(product, "fail")


async def doctor(product: Product, level: Level) -> str:
    [finding] = await checkpoint_room(product.settings, product.settings.desk())
    assert finding.level == level, finding.words
    return finding.words
