"""What is encrypted for a room is for those who are in it when it leaves."""

import asyncio
from collections.abc import Sequence
from typing import Any

from messenger.app.desk_ports import Audience, RoomState
from messenger.domain.people import DevicePolicy
from messenger.matrix import room_state
from messenger.matrix.engine import Sealed, SendRequest
from messenger.matrix.room_book import RoomBook
from messenger.matrix.sender import Encryptor, Sender

ROOM, DESK, ANNA, BEN = "!room", "@desk:x", "@anna:x", "@ben:x"


class Rows:
    """One room of the staff."""

    account = DESK

    def __init__(self) -> None:
        self.people = frozenset({DESK, ANNA, BEN})

    async def room(self, room_id: str) -> RoomState | None:
        return RoomState(room_id=room_id, encrypted=True, algorithm=room_state.MEGOLM, members_known=True, use="group")

    async def audience(self, room_id: str) -> Audience:
        return Audience(members=self.people, entitled=self.people)


class Keys:
    """An engine that takes its time to hand out keys: `meanwhile` somebody leaves."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.book = rows, RoomBook(Wire(), rows)  # type: ignore[arg-type]  # no more of them is asked

    def is_ready(self, request: SendRequest) -> bool:
        return True

    async def encrypt(self, requests: Sequence[SendRequest]) -> Sequence[Sealed]:
        if BEN in self.rows.people:
            self.rows.people -= {BEN}
            self.book.forget([ROOM])
        return [Sealed(content={"for": sorted(request.recipients)}, unreached=()) for request in requests]


class Wire:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def call(self, method: str, url: str, body: Any) -> Any:
        self.sent.append(body)
        return {"event_id": "$sent"}


async def test_who_is_taken_out_while_keys_are_handed_out_is_not_among_the_readers() -> None:
    keys, wire = Keys(Rows()), Wire()
    encryptor = Encryptor(keys)  # type: ignore[arg-type]
    sender = Sender(wire, keys.book, encryptor, on_left_out=lambda left_out: None)  # type: ignore[arg-type]
    sending = asyncio.create_task(sender.send(ROOM, "m.room.message", {}, txn="t", policy=DevicePolicy.ANY))
    while not sending.done():
        async with asyncio.timeout(5):
            stepping = asyncio.create_task(encryptor.step())
            await asyncio.wait({sending, stepping}, return_when=asyncio.FIRST_COMPLETED)
            stepping.cancel()
    assert await sending == "$sent"
    assert [sent["for"] for sent in wire.sent] == [[ANNA, DESK]]
