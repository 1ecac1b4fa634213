"""429 on every call of the desk but those of its /sync: what was asked for waits as long as the homeserver says,
happens once and is told once; meanwhile everybody else is served."""

import ast
import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from aiohttp import web
from nio.crypto.attachments import encrypt_attachment

from messenger.demo.synapse import Synapse
from messenger.matrix.sender import OID
from messenger.storage.database import connect
from tests.hostile.scene import Accounts, Member, Office, Scene
from tests.support.databases import TestDatabases
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_homeserver.faults import FOR_EVER, Handler
from tests.support.product import Product
from tests.support.waiting import eventually
from tests.support.warm import run_warm

WAIT_MS, SHORT_MS = 700, 150
MESSENGER = Path(__file__).parents[2] / "messenger"
# Somebody else's: what the desk takes in has tests of its own (test_sync_answers).
TAKEN_IN = re.compile("/sync$|/keys/query$|/messages$")


@dataclass(slots=True)
class Limit:
    """What the homeserver refuses, and when each path was asked for. `once`: each kind of call, the first time."""

    wait_ms: int = WAIT_MS
    once: bool = False
    hits: dict[str, list[float]] = field(default_factory=dict)
    is_over: bool = False

    async def act(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        times = self.hits.setdefault(_kind(request) if self.once else request.path, [])
        is_free = self.is_over or (self.once and (times or TAKEN_IN.search(request.path)))
        times.append(time.monotonic())
        if is_free:
            return await handler(request)
        body = {"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": self.wait_ms}
        return web.json_response(body, status=429)

    def first_pauses(self, askers: int) -> list[float]:
        """Of each path that was asked for again, by one of so many who ask for it."""
        return [times[askers] - times[0] for times in self.hits.values() if len(times) > askers]


def _kind(request: web.Request) -> str:
    """Without the ids of rooms, people, devices and transactions."""
    path = re.sub(r"/[!@$#%][^/]*", "/_", request.path)
    path = re.sub(r"/(sendToDevice|send|redact|download)/.*", r"/\1/", path)
    return f"{request.method} {path}"


@contextmanager
def limited(fake: FakeHomeserver, path: str, method: str = "", limit: Limit | None = None) -> Iterator[Limit]:
    limit = limit or Limit()
    rule = fake.faults.rule(path, limit.act, times=FOR_EVER, method=method)
    try:
        yield limit
    finally:
        rule.left = 0


@asynccontextmanager
async def a_scene(folder: Path, databases: TestDatabases) -> AsyncIterator[Scene]:
    """Not started."""
    fake = FakeHomeserver(record=False)
    await fake.start()
    name = await databases.fresh()
    url = databases.server.uri(name)
    product = await Product.install(folder / "stellwerk", cast(Synapse, Accounts(fake)), url)
    database = connect(url, application="judge")
    try:
        yield Scene(fake, product, database)
    finally:
        await product.stop()
        await database.dispose()
        await fake.stop()
        await databases.drop(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory, test_databases: TestDatabases) -> AsyncIterator[Scene]:
    async with a_scene(tmp_path_factory.mktemp("limits"), test_databases) as scene:
        await scene.open()
        yield scene


# ── What is done ──────────────────────────────────────────────────────────────────────────────────────────────────────

_numbers = itertools.count(1)
Act = Callable[[Scene], Awaitable[object]]


async def a_newcomer(scene: Scene) -> Office:
    """Chat, card, owner and answer."""
    house = scene.head_office
    newcomer = Office(scene, house.name, house.lead, house.agent, Member(scene.world, f"newcomer{next(_numbers)}"))
    newcomer.room = house.room
    await scene._begin(newcomer)
    return newcomer


async def a_newcomer_in_clear(scene: Scene) -> None:
    """Who is asked into a room of the desk's own, for theirs cannot be encrypted."""
    faults = scene.fake.faults
    never = faults.fail("/state/m.room.encryption", status=403, errcode="M_FORBIDDEN", times=FOR_EVER, method="PUT")
    faults.prefer(never)
    customer = Member(scene.world, f"newcomer{next(_numbers)}")
    room = customer.create_room(invite=[scene.product.desk], encrypted=False, is_direct=True)
    [other] = await eventually(customer.join_invites, what="the desk asks into another room")
    left = scene.world.rooms[room]
    await eventually(lambda: left.membership(scene.product.desk) == "leave", what="the desk has left")
    never.left = 0
    said = [event["content"]["msgtype"] for event in left.timeline if event["type"] == "m.room.message"]
    assert said == ["m.notice"] and scene.world.rooms[other].membership(scene.product.desk) == "join"


async def a_room_in_clear(scene: Scene) -> None:
    """Which the desk may encrypt."""
    customer = Member(scene.world, f"newcomer{next(_numbers)}")
    room = customer.create_room(invite=[scene.product.desk], encrypted=False, is_direct=True)
    state = scene.world.rooms[room].state
    await eventually(lambda: ("m.room.encryption", "") in state, what="the desk turns encryption on")


async def a_group(scene: Scene) -> Office:
    return await scene.office()


async def a_file(scene: Scene) -> None:
    newcomer, name = await a_newcomer(scene), f"letter{next(_numbers)}.txt"
    sealed, keys = encrypt_attachment(b"plain words\n")
    media = f"file{next(_numbers)}"
    scene.world.media[media] = (sealed, "application/octet-stream")
    file = {**keys, "url": f"mxc://{scene.world.server_name}/{media}"}
    newcomer.customer.send(newcomer.chat, "m.room.message", {"msgtype": "m.file", "body": name, "file": file})
    await eventually(lambda: newcomer.thread_has(name), what="the file is in the thread")


async def one_leaves(scene: Scene) -> None:
    office = await scene.office()
    async with scene.product.admin() as admin:
        await admin.remove_member(office.name, office.lead.user_id)
    room = scene.world.rooms[office.room]
    await eventually(lambda: room.membership(office.lead.user_id) == "leave", what="the lead is taken out")


async def an_answer_is_taken_back(scene: Scene) -> None:
    newcomer = await a_newcomer(scene)
    event = newcomer.agent.say(newcomer.room, newcomer.mark(newcomer.agent), thread=newcomer.card)
    said = len(scene.world.rooms[newcomer.chat].timeline)
    await eventually(lambda: len(scene.world.rooms[newcomer.chat].timeline) > said, what="it is at the customer")
    scene.world.redact(scene.world.rooms[newcomer.room], newcomer.agent.user_id, event, None)
    await eventually(lambda: _kinds(scene, newcomer.chat)["m.room.redaction"], what="and taken back there")


async def an_erasure(scene: Scene) -> None:
    newcomer = await a_newcomer(scene)
    verb = ("--config", str(scene.product.settings_file), "contact", "erase", newcomer.customer.user_id, "--yes")
    code, told = await run_warm("messenger.cli", *verb, "-o", str(scene.product.folder / f"c{next(_numbers)}.json"))
    assert code == 0, told
    await eventually(lambda: scene.world.rooms[newcomer.chat].membership(scene.product.desk) == "leave")


def _kinds(scene: Scene, room: str) -> Counter[str]:
    """Of what the desk has sent there."""
    return Counter(event["type"] for event in scene.world.rooms[room].timeline if event["sender"] == scene.product.desk)


def nothing_is_doubled(scene: Scene) -> None:
    """What the desk says has a name of its own; nobody is asked twice into a room, and no group has two."""
    for room in scene.world.rooms.values():
        ours = [event for event in room.timeline if event["sender"] == scene.product.desk]
        names = Counter(event["content"][OID] for event in ours if OID in event["content"])
        asked = Counter(event["state_key"] for event in ours if event["content"].get("membership") == "invite")
        assert {*names.values(), *asked.values()} <= {1}, room.room_id
    rooms = [room.state.get(("m.room.name", "")) for room in scene.world.rooms.values()]
    groups = Counter(name["content"]["name"] for name in rooms if name)
    assert all(groups[office.name] == 1 for office in scene.offices)


# ── Alone ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

ALONE: Mapping[str, tuple[str, str, Act]] = {
    "joining": ("POST", "/join/", a_newcomer),
    "a room's state": ("GET", "/rooms/[^/]+/state$", a_newcomer),
    "keys to devices": ("PUT", "/sendToDevice/", a_newcomer),
    "reactions": ("PUT", "/send/m.reaction/", a_newcomer),
    "the key backup": ("PUT", "/room_keys/keys", a_newcomer),
    "encryption turned on": ("PUT", "/state/m.room.encryption", a_room_in_clear),
    "the word at leaving": ("PUT", "/send/m.room.message/", a_newcomer_in_clear),
    "leaving": ("POST", "/leave$", a_newcomer_in_clear),
    "a new room": ("POST", "/createRoom$", a_group),
    "one-time keys": ("POST", "/keys/claim$", a_group),
    "history handed on": ("POST", "/media/v3/upload$", a_group),
    "inviting": ("POST", "/invite$", a_group),
    "taking out": ("POST", "/kick$", one_leaves),
    "is somebody there": ("GET", "/state/m.room.member/", one_leaves),
    "fetching a file": ("GET", "/media/download/", a_file),
    "taking back": ("PUT", "/redact/", an_answer_is_taken_back),
}
ASKERS = {"one-time keys": 2}  # lead and agent are seated side by side
BY_DEFAULT = ("joining", "one-time keys", "the key backup")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "call", [call if call in BY_DEFAULT else pytest.param(call, marks=pytest.mark.long) for call in ALONE]
)
async def test_a_throttled_call_waits_alone_and_happens_once(scene: Scene, call: str) -> None:
    method, path, act = ALONE[call]
    askers = ASKERS.get(call, 1)
    begun = len(scene.product.log_text())
    with limited(scene.fake, path, method) as limit:
        acting = asyncio.create_task(act(scene))
        await eventually(lambda: limit.first_pauses(askers) or acting.done(), 60, what=f"{call} is asked for again")
        assert not acting.done(), acting.exception() or "it was not asked for"
        await scene.head_office.ask()
        await scene.head_office.answer()
        assert not acting.done(), "the others were served meanwhile"
        limit.is_over = True
        await acting
    assert min(limit.first_pauses(askers)) > 0.9 * WAIT_MS / 1000, "asked for again after the pause, not before"
    told = [json.loads(line) for line in scene.product.log_text()[begun:].splitlines() if line.startswith("{")]
    postponed = Counter(line["row_id"] for line in told if line["event"] == "delivery postponed")
    failing = Counter(line["worker"] for line in told if line["event"] == "worker failed, will try again")
    assert {*postponed.values(), *failing.values()} == {1}
    nothing_is_doubled(scene)


# ── Everything, the first time ────────────────────────────────────────────────────────────────────────────────────────

CHECKPOINTS = "the worker of the checkpoints repeats it (for_ever waits as long as is asked for: unit/test_supervise)"
RECOVERY = "a person runs it, sees how it ends, and may run it again"
BY_HAND = "`doctor` tells the refusal"
RECEIVING = "what the desk takes in: test_sync_answers"
AFTER_DOUBT = "raises Quota, as every other call of a delivery does; asked for only where an earlier try is in doubt"
# Every function that asks the homeserver for something: which calls it makes (their method and path), of which each
# kind is refused once below; or why not.
SITES: Mapping[str, str] = {
    "bootstrap/checkpoint_room.py:post": CHECKPOINTS,
    "bootstrap/checkpoint_room.py:_is_encrypted": CHECKPOINTS,
    "bootstrap/checkpoint_room.py:is_checkpoint_room_encrypted": BY_HAND,
    "bootstrap/catching_up.py:_invitation": RECOVERY,
    "bootstrap/desk.py:be_quiet": "PUT .*/pushrules/",
    "bootstrap/desk.py:_is_valid": "GET .*/account/whoami",
    "bootstrap/desk.py:log_in_with_password": "POST .*/login",
    "bootstrap/recovery.py:_read_waiting": RECOVERY,
    "bootstrap/recovery.py:_delete_other_devices": RECOVERY,
    "bootstrap/recovery.py:_delete": RECOVERY,
    "bootstrap/versions.py:_homeserver": "GET .*/federation/v1/version",
    "matrix/chat_channel.py:check": "GET .*/account/whoami",
    "matrix/chat_door.py:leave": "POST .*/leave",
    "matrix/chat_door.py:invite_again": "POST .*/invite",
    "matrix/chat_door.py:_enter": "POST .*/leave",
    "matrix/chat_door.py:_state": "GET .*/state",
    "matrix/chat_door.py:_has_joined": "POST .*/join/",
    "matrix/chat_door.py:_say_farewell": "PUT .*/send/",
    "matrix/chat_door.py:_turned_on": "PUT .*/state/m.room.encryption",
    "matrix/chat_door.py:_room_of_alias": AFTER_DOUBT,
    "matrix/crypto/devices.py:_query": RECEIVING,
    "matrix/crypto/engine.py:_check_published_keys": RECEIVING,
    "matrix/crypto/history.py:share": "POST .*/media/v3/upload",
    "matrix/crypto/one_time_keys.py:_upload": "POST .*/keys/upload",
    "matrix/crypto/todevice.py:_claim_part": "POST .*/keys/claim",
    "matrix/crypto/todevice.py:put": "PUT .*/sendToDevice/",
    "matrix/desk.py:pin": "PUT .*/state/m.room.pinned_events",
    "matrix/desk.py:_pinned": "GET .*/state/m.room.pinned_events",
    "matrix/desk.py:seat": "POST .*/invite",
    "matrix/desk.py:unseat": "POST .*/kick",
    "matrix/desk.py:_is_there": "GET .*/state/m.room.member/",
    "matrix/desk.py:create_or_find": "POST .*/createRoom",
    "matrix/desk_mark.py:read_mark": "GET .*/account_data/",
    "matrix/desk_mark.py:write_mark": "PUT .*/account_data/",
    "matrix/erasure.py:redact": "PUT .*/redact/",
    "matrix/erasure.py:remove_media": "waits as the other calls of an erasure do; only with an administrator's token",
    "matrix/erasure.py:_pages": "GET .*/(event|relations)/",
    "matrix/erasure.py:_foreign_servers": "GET .*/members",
    "matrix/erasure.py:_if_allowed": "POST .*/forget",
    "matrix/gaps.py:_fetch": RECEIVING,
    "matrix/identity/backup_version.py:current_backup": "GET .*/room_keys/version",
    "matrix/identity/backup_version.py:create_backup": "POST .*/room_keys/version",
    "matrix/identity/cross_signing.py:query_own_keys": RECEIVING,
    "matrix/identity/cross_signing.py:publish_identity": "POST .*/device_signing/upload",
    "matrix/identity/cross_signing.py:_upload_with_password": "POST .*/device_signing/upload",
    "matrix/identity/cross_signing.py:upload_device_signature": "POST .*/signatures/upload",
    "matrix/identity/cross_signing.py:sign_person": "POST .*/signatures/upload",
    "matrix/identity/health.py:check_identity": "POST .*/keys/upload",
    "matrix/identity/key_backup.py:restore": "the worker of the backup repeats it (unit/test_supervise)",
    "matrix/identity/key_backup.py:_call": "(PUT|DELETE) .*/room_keys/keys",
    "matrix/identity/secret_storage.py:get": "GET .*/account_data/",
    "matrix/identity/secret_storage.py:put": "PUT .*/account_data/",
    "matrix/media.py:fetch": "GET .*/media/download/",
    "matrix/media.py:upload": "POST .*/media/v3/upload",
    "matrix/relations.py:_page": "GET .*/relations/",
    "matrix/room_book.py:_ask": "GET .*/state",
    "matrix/sender.py:_put_in_turn": "PUT .*/send/",
    "matrix/sender.py:_state": "test_a_refusal_that_cannot_be_looked_into_is_none",
    "matrix/sent_index.py:joined_rooms": RECOVERY,
    "matrix/sent_index.py:is_missing": RECOVERY,
    "matrix/sent_index.py:_newest_first": RECOVERY,
    "matrix/sent_lookup.py:_page": AFTER_DOUBT,
    "matrix/sync.py:begin_anew": RECEIVING,
    "matrix/sync.py:_ask": RECEIVING,
    "matrix/verification/voice.py:_put": "waits up to ten seconds at a time, for a verification lasts ten minutes",
}


def _sites() -> set[str]:
    """Each function of the product that asks the homeserver for something."""
    found = set()
    for file in [*MESSENGER.glob("matrix/**/*.py"), *MESSENGER.glob("bootstrap/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_asks, ast.walk(node))):
                found.add(f"{file.relative_to(MESSENGER)}:{node.name}")
    return found


def _asks(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return is_call and re.search(r"\b_?(http|admin)\.(call|upload|download)$", ast.unparse(node.func)) is not None  # type: ignore[attr-defined]


def test_every_place_that_asks_the_homeserver_is_listed() -> None:
    assert _sites() == set(SITES)


@pytest.mark.long  # most of a minute; single calls, and that each place is listed, are tried by default
async def test_a_desk_whose_every_first_call_is_refused_starts_and_serves(
    tmp_path: Path, test_databases: TestDatabases
) -> None:
    async with a_scene(tmp_path, test_databases) as scene:
        limit = Limit(wait_ms=SHORT_MS, once=True)
        with limited(scene.fake, "", limit=limit):
            await scene.open()
            for act in (a_newcomer_in_clear, a_room_in_clear, a_file, an_answer_is_taken_back, one_leaves, an_erasure):
                await act(scene)
            await scene.product.stop()
            await scene.product.start()
            await scene.head_office.ask()
            await scene.head_office.answer()
        nothing_is_doubled(scene)
    refused = [kind for kind in limit.hits if not TAKEN_IN.search(kind)]
    expected = [calls for calls in SITES.values() if re.match(r"\(?[A-Z]+\b", calls)]
    assert [calls for calls in expected if not any(re.match(calls, kind) for kind in refused)] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_refusal_that_cannot_be_looked_into_is_none(scene: Scene) -> None:
    """A send that is refused is looked into: the room may have been replaced. While that must not be asked, the message
    waits."""
    newcomer = await a_newcomer(scene)
    with limited(scene.fake, "/state/m.room.tombstone", "GET") as limit:
        scene.fake.faults.fail(f"{re.escape(newcomer.chat)}/send/m.room.encrypted", status=403, errcode="M_FORBIDDEN")
        mark = newcomer.mark(newcomer.agent)
        newcomer.agent.say(newcomer.room, mark, thread=newcomer.card)
        await eventually(lambda: newcomer.chat_has(mark), what="it is sent when the room takes it again")
    assert limit.hits
