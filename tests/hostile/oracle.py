"""What must hold whatever the homeserver did: nothing marked is readable for the attacker or in clear, and what is
relayed stands where its author said it."""

import json
from collections.abc import Collection
from typing import Any

from tests.hostile.scene import Office, Scene


def leaked(scene: Scene, *, known: Collection[str] = ()) -> list[str]:
    """Marks that the attacker can read in what the desk has sent. (To whom a customer's app gives its keys is not ours
    to say.) He knows those that he made up himself, and those in `known`."""
    readable = scene.spy.reads(scene.product.desk) + in_clear(scene)
    others = {mark for mark, author in scene.authors.items() if author not in scene.accomplices} - set(known)
    return sorted(mark for mark in others if mark in readable)


def in_clear(scene: Scene) -> str:
    """All that the homeserver has and sees."""
    world = scene.world
    rooms = [room.timeline for room in world.rooms.values()]
    queues = [device.to_device for account in world.accounts.values() for device in account.devices.values()]
    stored = [(str(account.account_data), account.backup) for account in world.accounts.values()]
    files = b"".join(data for data, _ in world.media.values()).decode("latin1")
    return json.dumps([rooms, queues, stored], default=str) + files


def misattributed(scene: Scene) -> list[tuple[str, str]]:
    """(mark, room) of what the desk has put into a thread or a chat where its author did not say it, or which nobody
    said at all."""
    wrong = []
    for office in scene.offices:
        for seen in office.room_as_read():
            wrong += [(mark, office.room) for mark in _marks(scene, seen.body) if not _belongs(scene, mark, office)]
        for seen in office.customer.read(office.chat):
            by_desk = seen.sender == scene.product.desk
            bad = [mark for mark in _marks(scene, seen.body) if by_desk and not _answers(scene, mark, office)]
            wrong += [(mark, office.chat) for mark in bad]
    return wrong


def doubled(scene: Scene) -> list[str]:
    """Marks of customers that were relayed more than once."""
    said: list[str] = []
    for office in scene.offices:
        for seen in office.room_as_read():
            if seen.thread and not seen.replaces:
                said += [mark for mark in _marks(scene, seen.body) if seen.thread == office.card]
    return sorted({mark for mark in said if said.count(mark) > 1})


def _marks(scene: Scene, text: str) -> list[str]:
    return [mark for mark in scene.authors if mark in text]


def _belongs(scene: Scene, mark: str, office: Office) -> bool:
    return scene.offices_of.get(mark) is office and scene.authors[mark] in _people(office)


def _answers(scene: Scene, mark: str, office: Office) -> bool:
    return scene.offices_of.get(mark) is office and scene.authors[mark] in {office.agent.user_id, *office.former}


def _people(office: Office) -> set[Any]:
    return {office.customer.user_id, office.agent.user_id, office.lead.user_id, *office.former}


def assert_unharmed(scene: Scene, *, known: Collection[str] = ()) -> None:
    assert leaked(scene, known=known) == []
    assert misattributed(scene) == []
    assert doubled(scene) == []
