"""The real program on a homeserver that can be told to cheat. Each attack has an office of its own: a group with a lead
and an agent, whose devices are cross-signed, and a customer. What anybody says bears a mark that names its author."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.demo.synapse import Registered
from messenger.storage.models.trust import trust_alert
from tests.support.crowd import Writer
from tests.support.device import Device, canonical_json, new_device_id, unpadded
from tests.support.fake_homeserver import FakeHomeserver, World
from tests.support.product import Product
from tests.support.timeline import Seen, seen
from tests.support.waiting import eventually

Json = dict[str, Any]
_numbers = itertools.count(1)
PATIENCE_S = 40.0


class Member(Writer):
    """A person whose devices are signed by their identity."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._read: dict[str, Seen] = {}
        self.new_identity()
        self.sign(self._record.device_id)

    def read(self, room_id: str) -> list[Seen]:
        """As `Writer.read`; what was opened once is not opened again."""
        self.receive_keys()
        events = self.world.rooms[room_id].timeline
        for event in events:
            known = self._read.get(event["event_id"])
            if known is None or not known.is_readable:
                self._read[event["event_id"]] = seen(self.device, room_id, event)
        return [self._read[event["event_id"]] for event in events]

    def new_identity(self) -> None:
        """A reset, or somebody else's doing: the homeserver shows other keys from now on."""
        self._master, self._signing = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        master, signing = public(self._master), public(self._signing)
        keys = self.account.cross_signing
        keys["master_key"] = self._published("master", master)
        keys["self_signing_key"] = signed(self._published("self_signing", signing), self.user_id, self._master)
        self.world.keys_changed(self.user_id)

    def sign(self, device_id: str) -> None:
        record = self.account.devices[device_id]
        assert record.keys is not None
        record.keys = signed(record.keys, self.user_id, self._signing)
        self.world.keys_changed(self.user_id)

    def _published(self, usage: str, key: str) -> Json:
        return {"user_id": self.user_id, "usage": [usage], "keys": {f"ed25519:{key}": key}}


def public(key: Ed25519PrivateKey) -> str:
    return unpadded(key.public_key().public_bytes_raw())


def signed(value: Json, user_id: str, key: Ed25519PrivateKey) -> Json:
    bare = {name: part for name, part in value.items() if name not in {"signatures", "unsigned"}}
    signatures = {**value.get("signatures", {}).get(user_id, {}), f"ed25519:{public(key)}": _sign(key, bare)}
    return {**value, "signatures": {user_id: signatures}}


def _sign(key: Ed25519PrivateKey, value: Json) -> str:
    return unpadded(key.sign(canonical_json(value)))


@dataclass(slots=True)
class Spy:
    """All that the attacker holds: devices that he has put into accounts, and accounts that he has put into rooms."""

    world: World
    devices: list[Device] = field(default_factory=list)
    heard: list[Json | None] = field(default_factory=list)

    def device_of(self, account: Any) -> Device:
        """One more device of somebody's, which the homeserver shows to everybody."""
        record = self.world.log_in(account, new_device_id())
        device = Device(account.user_id, record.device_id)
        record.keys, record.one_time_keys = device.device_keys(), device.new_one_time_keys(20)
        self.world.keys_changed(account.user_id)
        self.devices.append(device)
        return device

    def account(self, name: str = "ghost") -> Writer:
        writer = Writer(self.world, f"{name}{next(_numbers)}")
        self.devices.append(writer.device)
        return writer

    def reads(self, sender: str) -> str:
        """Everything of this sender that one of these devices can open, in any room and between devices."""
        for device in self.devices:
            record = self.world.accounts[device.user_id].devices[device.device_id]
            waiting, record.to_device = record.to_device, []
            for _, event in waiting:
                self.heard.append(device.receive_to_device(event))
        opened = [
            device.decrypt(room.room_id, event["content"])
            for room in self.world.rooms.values()
            for event in room.timeline
            for device in self.devices
            if event["type"] == "m.room.encrypted" and event["sender"] == sender
        ]
        return repr([plain for plain in [*opened, *self.heard] if plain])

    def kinds(self) -> set[str]:
        """Of what came to one of these devices over Olm."""
        self.reads("")
        return {plain["type"] for plain in self.heard if plain}


@dataclass(slots=True)
class Office:
    """One group with its people, and a customer's conversation."""

    scene: "Scene"
    name: str
    lead: Member
    agent: Member
    customer: Member
    room: str = ""
    chat: str = ""
    card: str = ""
    former: set[str] = field(default_factory=set)

    def hands_over(self) -> Member:
        """The lead reads and answers from now on. Returns who did before."""
        before, self.agent = self.agent, self.lead
        self.former.add(before.user_id)
        return before

    def mark(self, author: Writer) -> str:
        """A word that nobody else says; the oracle knows whose it is, and in which conversation."""
        mark = f"mark{next(_numbers):04}x{author.user_id[1:].partition(':')[0]}"
        self.scene.authors[mark] = author.user_id
        self.scene.offices_of[mark] = self
        return mark

    async def ask(self, text: str = "") -> str:
        """The customer writes; returns the mark when it is in the thread."""
        mark = self.mark(self.customer)
        self.customer.say(self.chat, f"{self.name} {mark} {text}")
        await self.is_asked(mark)
        return mark

    async def is_asked(self, mark: str) -> None:
        await eventually(lambda: self.thread_has(mark), what=f"{mark} is relayed", progress=self.scene.moves)

    def thread_has(self, mark: str) -> bool:
        return any(mark in each.body and each.thread for each in self.room_as_read())

    def chat_has(self, mark: str) -> bool:
        return any(mark in each.body for each in self.customer.read(self.chat))

    def room_as_read(self) -> list[Seen]:
        desk = self.scene.product.desk
        return [each for each in self.agent.read(self.room) if each.sender == desk]

    def notices(self) -> str:
        """All that the desk says to the team: in the room, and to the lead alone."""
        self.lead.join_invites()
        said = [each.body for room in sorted(self.lead.world.rooms_of(self.lead.user_id))
                for each in self.lead.read(room) if each.sender == self.scene.product.desk]  # fmt: skip
        return "\n".join(said)

    async def answer(self) -> str:
        """The agent answers; returns the mark when the customer has it."""
        mark = self.mark(self.agent)
        self.agent.say(self.room, mark, thread=self.card)
        await eventually(lambda: self.chat_has(mark), what=f"{mark} is sent", progress=self.scene.moves)
        return mark

    async def causes(self) -> set[str]:
        """Of all alerts about this office's rooms or people, whether somebody has decided or not."""
        here = {self.room, self.chat, *self.lead.world.rooms_of(self.lead.user_id)}
        people = {self.lead.user_id, self.agent.user_id, self.customer.user_id}
        return {row.cause for row in await self.scene.alerts() if row.room_id in here or row.user_id in people}

    async def alarms(self, cause: str, *, words: str) -> None:
        """The alert is a row that an operator sees, and a word that a person reads."""

        async def is_there() -> bool:
            return cause in await self.causes() or cause in await self.scene.causes_of_nobody()

        def is_read() -> bool:
            return words in self.notices() or words in self.scene.head_office.notices()

        await eventually(is_there, PATIENCE_S, what=f"an alert {cause}")
        await eventually(is_read, PATIENCE_S, what=f"somebody reads {words!r}")
        assert f'"code": "{cause}"' in self.scene.product.log_text()

    async def decide(self, command: str, person: str) -> None:
        """The lead's answer to an alert."""
        self.lead.say(self.room, f"{command} {person}")


class Scene:
    def __init__(self, fake: FakeHomeserver, product: Product, database: AsyncEngine) -> None:
        self.fake, self.world, self.product, self.database = fake, fake.world, product, database
        self.spy = Spy(self.world)
        self.authors: dict[str, str] = {}
        self.offices_of: dict[str, Office] = {}
        self.accomplices: set[str] = set()
        self.offices: list[Office] = []
        self.head_office: Office

    def moves(self) -> object:
        """Changes as long as anything happens."""
        return self.world.position

    async def open(self) -> None:
        """The program runs, with the office that hears what concerns no other."""
        await self.product.start()
        self.head_office = await self.office(default=True)

    async def office(self, *, default: bool = False, **settings: Any) -> Office:
        number = next(_numbers)
        name = f"office{number}x"
        lead, agent, customer = (Member(self.world, f"{who}{number}") for who in ("lead", "agent", "customer"))
        office = Office(self, name, lead, agent, customer)
        members = [(office.lead.user_id, "Lead", "lead"), (office.agent.user_id, "Agent", "agent")]
        policy = settings.pop("device_policy", "cross-signed-tofu")
        await self.product.add_group(name, members, default=default, keywords=[name], device_policy=policy, **settings)
        office.room = await self.product.group_room(name)
        for person in (office.lead, office.agent):
            await eventually(partial(self._is_seated, person, office.room), what="a colleague is invited")
        await self._begin(office)
        self.offices.append(office)
        return office

    def _is_seated(self, person: Member, room: str) -> bool:
        person.join_invites()
        return self.world.rooms[room].membership(person.user_id) == "join"

    async def _begin(self, office: Office) -> None:
        office.chat = office.customer.start_direct_chat(self.product.desk)
        chat = self.world.rooms[office.chat]
        await eventually(lambda: chat.membership(self.product.desk) == "join", what="the desk joined")
        mark = await office.ask()
        office.card = next(each.thread for each in office.room_as_read() if mark in each.body and each.thread)
        office.agent.react(office.room, office.card, "👀")
        await office.answer()

    def forged_mark(self) -> str:
        """A word of the attacker: nobody says it, so nobody may read it as anybody's."""
        mark = f"mark{next(_numbers):04}xforged"
        self.authors[mark] = "attacker"
        self.accomplices.add("attacker")
        return mark

    def to_desk(self, device: Device, kind: str, content: Json, *, sender: str = "") -> None:
        """From this device over Olm; the homeserver says that it is from `sender`."""
        keys = self.desk_keys()
        curve25519 = keys["keys"][f"curve25519:{keys['device_id']}"]
        if not device.can_write_to(curve25519):
            claimed = self.world.claim(self.product.desk, keys["device_id"])
            assert claimed is not None
            device.open_session(curve25519, next(iter(claimed.values()))["key"])
        sealed = device.encrypt_to_device(keys, kind, content)
        self.to_desk_as_is("m.room.encrypted", sealed, sender=sender or device.user_id)

    def to_desk_as_is(self, kind: str, content: Json, *, sender: str) -> None:
        device_id = self.desk_keys()["device_id"]
        self.world.send_to_device(sender, kind, {self.product.desk: {device_id: content}})

    def last_words(self, room: str, author: Writer) -> Json:
        said = [event for event in self.world.rooms[room].timeline if event["sender"] == author.user_id]
        return [event for event in said if event["type"] == "m.room.encrypted"][-1]

    def put(self, room: str, sender: str, kind: str, content: Json, *, state_key: str | None = None) -> str:
        """The homeserver makes up an event."""
        event = self.world.emit(self.world.rooms[room], sender, kind, content, state_key=state_key)
        return str(event["event_id"])

    async def alerts(self) -> Sequence[Any]:
        async with self.database.begin() as connection:
            return (await connection.execute(sa.select(trust_alert).order_by(trust_alert.c.id))).all()

    async def causes_of_nobody(self) -> set[str]:
        """Of alerts that belong to no room: the head office hears them."""
        return {row.cause for row in await self.alerts() if not row.room_id}

    @property
    def desk_account(self) -> Any:
        return self.world.accounts[self.product.desk]

    def desk_keys(self) -> Json:
        [record] = [each for each in self.desk_account.devices.values() if each.keys]
        assert record.keys is not None
        return record.keys


class Accounts:
    """Lets the program be installed on the fake homeserver."""

    def __init__(self, fake: FakeHomeserver) -> None:
        self._fake, self.url = fake, fake.url

    async def register(self, name: str, *, displayname: str = "") -> Registered:
        made = self._fake.register(name)
        return Registered(made.user_id, made.password)
