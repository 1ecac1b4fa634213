"""Many verifications at once, and whatever strangers send: each message is a try of its own."""

import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from messenger.channels.errors import Temporary
from messenger.matrix.verification.dialog import LASTS_S
from messenger.matrix.verification.heard import Heard, to_device
from messenger.matrix.verification.sas import PublicKeys, Side
from messenger.matrix.verification.verifier import MOST_OF_ONE, Abandoned, News, Verifier
from tests.support.fuzz import wound
from tests.support.sas_peer import ALGORITHMS, SasPeer

DESK, NOW = Side(user_id="@desk:x", device_id="DESK"), 1_000_000.0
KEYS = {"ed25519:DESK": "desk device key", "ed25519:DESKMASTER": "DESKMASTER"}
HER_KEYS = {"ed25519:PHONE": "anna device key", "ed25519:ANNAMASTER": "ANNAMASTER"}


class World:
    """A verifier whose words are kept, and whose people all have the same keys."""

    def __init__(self, *, key_grace_s: float = 0.0) -> None:
        self._key_grace_s = key_grace_s
        self.said: list[tuple[str, str, str, Mapping[str, Any]]] = []  # (room or user, device, kind, content)
        self.news: list[News] = []
        self.unended: dict[str, Abandoned] = {}  # as the database would have it
        self.now, self.is_away = NOW, False
        self.verifier = self._new()

    async def in_room(self, room: str, type: str, content: Mapping[str, Any], *, txn: str) -> str:
        self._note(room, "", type, content)
        return f"$asked{len(self.said)}"

    async def to_devices(
        self, user_id: str, devices: Sequence[str], type: str, content: Mapping[str, Any], *, txn: str
    ) -> None:
        for device in devices:
            self._note(user_id, device, type, content)

    def _note(self, where: str, device: str, type: str, content: Mapping[str, Any]) -> None:
        if self.is_away:
            raise Temporary("unreachable")
        self.said.append((where, device, type.removeprefix("m.key.verification."), content))

    async def keys_of(self, user_id: str, device_id: str) -> PublicKeys | None:
        return PublicKeys(device="anna device key", master="ANNAMASTER")

    async def devices_of(self, user_id: str) -> Sequence[str]:
        return ["PHONE", "TABLET"]

    async def tell(self, news: News) -> None:
        self.unended.pop(news.id, None)
        if not news.is_over:
            self.unended[news.id] = Abandoned(id=news.id, user_id=news.user_id, room=news.room)
        if news.is_over or news.short_string:
            self.news.append(news)

    async def left_over(self) -> Sequence[Abandoned]:
        return list(self.unended.values())

    def restart(self) -> None:
        """Another process takes over; nothing of the memory is left."""
        self.verifier = self._new()

    def _new(self) -> Verifier:
        return Verifier(
            DESK,
            KEYS,
            voice=self,
            book=self,
            tell=self.tell,
            unended=self.left_over,
            clock=lambda: self.now,
            key_grace_s=self._key_grace_s,
        )

    @property
    def kinds(self) -> list[str]:
        return [kind for _, _, kind, _ in self.said]

    def last(self, kind: str) -> Mapping[str, Any]:
        return next(content for _, _, each, content in reversed(self.said) if each == kind)

    async def hear(
        self, kind: str, id: str = "t1", sender: str = "@anna:x", room: str | None = None, **more: Any
    ) -> None:
        await self.verifier.take(Heard(id=id, kind=kind, sender=sender, content=more, at=self.now, room=room))

    async def request(self, id: str = "t1", sender: str = "@anna:x", room: str | None = None, **more: Any) -> None:
        content: dict[str, Any] = {"from_device": "PHONE", "methods": ["m.sas.v1"], **more}
        await self.hear("request", id, sender, room, **content)

    async def verify(self, id: str = "t1", sender: str = "@anna:x", peer: SasPeer | None = None) -> None:
        """A whole verification, from the other side."""
        peer = peer or SasPeer(sender, "PHONE")
        await self.request(id, sender)
        start: dict[str, Any] = {"from_device": "PHONE", "method": "m.sas.v1", "transaction_id": id, **ALGORITHMS}
        await self.hear("start", id, sender, **start)
        await self.hear("key", id, sender, key=peer.public)
        peer.agree(self.last("key")["key"])
        await self.hear("mac", id, sender, **peer.mac(HER_KEYS, (DESK.user_id, DESK.device_id), id))
        await self.hear("done", id, sender)


async def test_a_person_asks_and_the_desk_tells_what_to_compare_and_how_it_ended() -> None:
    world = World()
    await world.verify()
    assert world.kinds == ["ready", "accept", "key", "mac", "done"]
    compared, over = world.news
    assert compared.short_string is not None and not compared.is_over
    assert (over.is_over, over.code, over.master) == (True, "", "ANNAMASTER")
    assert not world.verifier.running


async def test_the_desk_asks_all_devices_and_excuses_those_that_did_not_answer() -> None:
    world = World()
    world.verifier.ask("@anna:x", None, "")
    await world.verifier.step()
    assert [(device, kind) for _, device, kind, _ in world.said] == [("PHONE", "request"), ("TABLET", "request")]
    id = world.said[0][3]["transaction_id"]
    await world.hear("ready", id, from_device="PHONE", methods=["m.sas.v1"])
    told = [(device, kind) for _, device, kind, _ in world.said[2:]]
    assert told == [("PHONE", "start"), ("TABLET", "cancel")]
    assert world.last("cancel")["code"] == "m.accepted"


async def test_the_desk_asks_in_a_room() -> None:
    world = World()
    world.verifier.ask("@anna:x", "!room", "please")
    await world.verifier.step()
    where, _, _, content = world.said[0]
    assert (where, content["msgtype"], content["to"]) == ("!room", "m.key.verification.request", "@anna:x")
    await world.hear("ready", "$asked1", room="!room", from_device="PHONE", methods=["m.sas.v1"])
    assert world.last("start")["m.relates_to"] == {"rel_type": "m.reference", "event_id": "$asked1"}


async def test_several_people_verify_at_once() -> None:
    world = World()
    people = [f"@person{number}:x" for number in range(20)]
    for person in people:
        await world.request(sender=person)
    assert world.verifier.running == 20
    for person in people:
        await world.verify("t2", person)
    assert [news.user_id for news in world.news if news.is_over and not news.code] == people


async def test_one_person_has_only_so_many_at_once() -> None:
    world = World()
    for number in range(MOST_OF_ONE + 5):
        await world.request(f"t{number}")
    assert world.verifier.running == MOST_OF_ONE
    assert world.kinds.count("cancel") == 5


async def test_what_is_old_or_begins_again_is_not_heard() -> None:
    world = World()
    await world.verify()
    before = len(world.said)
    await world.request()  # the same once more
    await world.verifier.take(
        Heard(id="old", kind="request", sender="@anna:x", content={"from_device": "P", "methods": ["m.sas.v1"]}, at=0)
    )
    await world.hear("start", "unknown", from_device="PHONE", method="m.sas.v1")
    await world.hear("done")
    assert (len(world.said), world.verifier.running) == (before, 0)


async def test_somebody_elses_message_does_not_count_as_hers() -> None:
    world = World()
    await world.request()
    await world.hear("cancel", sender="@mallory:x", code="m.user")
    await world.hear("cancel", room="!other", code="m.user")
    assert world.verifier.running == 1


async def test_in_a_room_the_device_that_writes_must_be_the_one_that_it_names() -> None:
    world = World()
    request = Heard(
        id="$r", kind="request", sender="@anna:x", room="!room", at=NOW, device_id="OTHER",
        content={"from_device": "PHONE", "methods": ["m.sas.v1"], "to": DESK.user_id},
    )  # fmt: skip
    await world.verifier.take(request)
    assert world.said == []
    await world.verifier.take(replace(request, id="$s", device_id="PHONE"))
    await world.verifier.take(replace(request, id="$s", kind="start", content={"from_device": "PHONE"}))
    assert world.last("cancel")["code"] == "m.invalid_message"


async def test_ten_minutes_without_an_end_are_the_end() -> None:
    world = World()
    await world.request()
    world.now += LASTS_S
    await world.verifier.expire()
    assert (world.last("cancel")["code"], world.news[-1].code, world.verifier.running) == ("m.timeout", "m.timeout", 0)


@pytest.mark.parametrize("room", ["!room", None], ids=["in a room", "between devices"])
async def test_after_a_restart_both_sides_hear_that_it_ended_and_it_can_begin_anew(room: str | None) -> None:
    world = World()
    await world.request("$t1", room=room)
    start: dict[str, Any] = {"from_device": "PHONE", "method": "m.sas.v1", **ALGORITHMS}
    await world.hear("start", "$t1", room=room, **start)
    world.restart()
    await world.verifier.expire()
    cancels = [(where, device) for where, device, kind, _ in world.said if kind == "cancel"]
    assert cancels == ([("!room", "")] if room else [("@anna:x", "PHONE"), ("@anna:x", "TABLET")])
    content = world.last("cancel")
    assert content["code"] == "m.unknown_transaction"
    assert "$t1" in (content.get("transaction_id"), content.get("m.relates_to", {}).get("event_id"))
    [over] = world.news
    assert (over.is_over, over.code, over.by_us, over.room) == (True, "m.unknown_transaction", True, room)
    await world.hear("key", "$t1", room=room, key="AAAA")
    await world.request("$t1", room=room)
    assert not world.verifier.running, "it is over for good"
    await world.verify("t2")
    assert world.news[-1].code == ""


async def test_our_key_waits_a_moment_so_that_the_app_over_there_is_ready_for_it() -> None:
    world = World(key_grace_s=1.0)
    await world.request()
    start: dict[str, Any] = {"from_device": "PHONE", "method": "m.sas.v1", **ALGORITHMS}
    await world.hear("start", **start)
    peer = SasPeer("@anna:x", "PHONE")
    await world.hear("key", key=peer.public)
    await world.hear("key", key=peer.public)
    assert world.kinds == ["ready", "accept"]
    world.now += 1.0
    await world.verifier.step()
    assert world.kinds == ["ready", "accept", "key", "mac"] and len(world.news) == 1
    await world.request("t2")
    await world.hear("start", "t2", **start)
    await world.hear("key", "t2", key=peer.public)
    await world.hear("cancel", "t2", code="m.user")
    assert world.news[-1].is_over and world.news[-1].id == "t2"


async def test_what_this_process_leads_or_has_led_is_no_left_over() -> None:
    world = World()
    await world.verify("t1")
    world.unended["t1"] = Abandoned(id="t1", user_id="@anna:x", room=None)  # its end is not written down yet
    await world.request("t2")
    await world.verifier.expire()
    assert "cancel" not in world.kinds and world.verifier.running == 1


async def test_a_homeserver_that_is_away_ends_one_verification_and_nothing_else() -> None:
    world = World()
    world.is_away = True
    await world.request()
    world.is_away = False
    await world.verify("t2")
    assert world.news[-1].code == "" and not world.verifier.running


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=pytest.mark.long)], ids=["a few hundred", "ten thousand"]
)
async def test_garbage_ends_at_most_its_own_verification(count: int) -> None:
    """Real messages with one to four things wrong in them, in any order, and texts of 64 KiB."""
    chance, world, answered = random.Random(7), World(), 0
    for number in range(count):
        id, peer = f"t{number}", SasPeer("@anna:x", "PHONE", chance.randbytes(32))
        for event in _events(id, peer, chance):
            broken = deepcopy(event)
            for _ in range(chance.choice((0, 0, 1, 4))):
                wound(chance, broken)
            heard = to_device(broken, own=DESK.user_id)
            if heard is not None:
                await world.verifier.take(replace(heard, at=world.now))
            if world.said and world.kinds[-1] == "key" and not peer._shared:
                peer.agree(world.last("key")["key"])
        answered += len(world.said)
        world.said.clear()
        world.now += LASTS_S
        await world.verifier.expire()
        assert not world.verifier.running
    assert answered > count
    await world.verify("at last")
    assert world.news[-1].code == ""


def _events(id: str, peer: SasPeer, chance: random.Random) -> Sequence[dict[str, Any]]:
    contents: list[tuple[str, dict[str, Any]]] = [
        ("request", {"from_device": "PHONE", "methods": ["m.sas.v1"], "timestamp": 1}),
        ("start", {"from_device": "PHONE", "method": "m.sas.v1", **ALGORITHMS}),
        ("key", {"key": peer.public}),
        ("mac", {"mac": {"ed25519:PHONE": chance.choice(["x" * 65_536, "AAAA"])}, "keys": "AAAA"}),
        ("done", {}),
    ]
    if chance.random() < 0.3:
        chance.shuffle(contents)
    return [
        {"type": f"m.key.verification.{kind}", "sender": "@anna:x", "content": {**content, "transaction_id": id}}
        for kind, content in contents
    ]
