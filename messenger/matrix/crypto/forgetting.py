"""Forgetting rooms and people for good: in the store, and in memory, which would write it again."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from messenger.app.desk_ports import CryptoRow, CryptoTable, DeskUnit
from messenger.matrix.crypto.records import device_of
from messenger.matrix.crypto.state import CryptoState

OF_ROOMS: tuple[CryptoTable, ...] = ("mx_megolm", "mx_megolm_out", "mx_megolm_shared", "mx_withheld")
OF_PEOPLE: tuple[CryptoTable, ...] = ("mx_device", "mx_identity", "mx_tracked")


async def forget(state: CryptoState, rooms: Collection[str], people: Collection[str]) -> None:
    """Idempotent. The sessions of these rooms; the devices of these people, and our Olm sessions with them."""
    async with state.exclusive():
        async with state.desk_store.unit() as unit:
            of_people = [{"user_id": user} for user in people]
            curves = [device_of(row).curve25519 for row in await unit.read("mx_device", of_people)]
            for table in OF_ROOMS:
                await _remove(unit, table, [{"room_id": room} for room in rooms])
            for table in OF_PEOPLE:
                await _remove(unit, table, of_people)
            await _remove(unit, "mx_olm", [{"sender_key": curve} for curve in curves])
        _forget_rooms(state, set(rooms))
        _forget_people(state, people, curves)


async def _remove(unit: DeskUnit, table: CryptoTable, where: Sequence[Mapping[str, Any]]) -> None:
    rows = await unit.read(table, where)
    await unit.write([CryptoRow(table=table, key=row.key, removed=True) for row in rows])


def _forget_rooms(state: CryptoState, rooms: set[str]) -> None:
    for room, session in [pair for pair in state.inbound if pair[0] in rooms]:
        state.inbound.pop((room, session))
    for pair in [pair for pair in state.withheld if pair[0] in rooms]:
        state.withheld.pop(pair)
    for room in rooms:
        state.outbound.pop(room, None)


def _forget_people(state: CryptoState, people: Collection[str], curves: Collection[str]) -> None:
    for user in people:
        state.users.pop(user, None)
        state.changed(user)
    for curve in curves:
        state.olm_peers.pop(curve, None)
        state.machine.session_store._entries.pop(curve, None)
