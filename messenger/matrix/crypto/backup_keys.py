"""Room keys as key backup sees them: which still have to go there, and what comes back from it."""

from collections.abc import Collection, Sequence

import vodozemac

from messenger.app.desk_ports import CryptoRow
from messenger.matrix.crypto.inbound import as_set
from messenger.matrix.crypto.records import InboundSession, inbound_of
from messenger.matrix.crypto.state import CryptoState
from messenger.matrix.engine import RoomKey

Name = tuple[str, str, str]  # room id, session id, sender key


class BackupKeys:
    """Implements the three backup methods of `OwnDevice`."""

    def __init__(self, state: CryptoState) -> None:
        self._state = state
        self._handed_out: dict[Name, CryptoRow] = {}

    async def to_back_up(self, limit: int) -> Sequence[RoomKey]:
        await self._state.ensure_loaded()
        async with self._state.desk_store.look() as stored:
            rows = await stored.read("mx_megolm", [{"backed_up": False}], limit=limit)
        self._handed_out = {_names(row): row for row in rows}
        return [_room_key(inbound_of(row, self._state.changes.pickle_key.raw)) for row in rows]

    async def mark(self, keys: Sequence[RoomKey]) -> None:
        """A copy with a lower index that arrived meanwhile stays to be backed up: the store's rule refuses our older
        row. One that was erased meanwhile stays erased."""
        rows = [row for key in keys if (row := self._handed_out.pop(_name(key), None)) is not None]
        if not rows:
            return
        async with self._state.exclusive(), self._state.desk_store.unit() as unit:
            there = await unit.read("mx_megolm", [row.key for row in rows])
            kept = {_names(row) for row in there}
            rows = [row for row in rows if _names(row) in kept]
            await unit.write(
                [
                    CryptoRow(table=row.table, key=row.key, clear={**row.clear, "backed_up": True}, secret=row.secret)
                    for row in rows
                ]
            )
        for row in rows:
            self._mark_in_memory(row)

    def drop(self, rooms: Collection[str]) -> None:
        """What was handed out of these rooms is not written again."""
        self._handed_out = {name: row for name, row in self._handed_out.items() if name[0] not in rooms}

    def _mark_in_memory(self, row: CryptoRow) -> None:
        pair = row.key["room_id"], row.key["session_id"]
        session = self._state.inbound.get(pair, {}).get(row.key["sender_key"])
        if session is not None and session.megolm.first_known_index == row.clear["first_index"]:
            session.backed_up = True

    async def take_back(self, keys: Sequence[RoomKey]) -> list[InboundSession]:
        """From our own backup. Returns what was new or better. Such keys prove nothing about their sender: anybody who
        knows the backup's public key, the homeserver for one, can put some there."""
        sessions = [session for key in keys if (session := self._imported(key)) is not None]
        async with self._state.change():
            async with self._state.desk_store.unit() as unit:
                await self._state.load_inbound(unit, [session.pair for session in sessions])
            return [session for session in sessions if self._keep(session)]

    def _keep(self, new: InboundSession) -> bool:
        old = self._state.inbound[new.pair].get(new.sender_key)
        if old is not None and (
            not old.imported
            or old.ed25519 != new.ed25519
            or new.megolm.first_known_index >= old.megolm.first_known_index
        ):
            return False
        self._state.save_inbound(new)
        return True

    def _imported(self, key: RoomKey) -> InboundSession | None:
        try:
            megolm = vodozemac.InboundGroupSession.import_session(vodozemac.ExportedSessionKey(key.session_key))
        except (TypeError, ValueError):
            return None
        names = (key.room_id, key.sender_key, key.ed25519)
        if megolm.session_id != key.session_id or not all(as_set(name) for name in names):
            return None
        return InboundSession(
            megolm=megolm,
            room_id=key.room_id,
            sender_key=key.sender_key,
            ed25519=key.ed25519,
            user_id=None,
            received_ms=int(self._state.clock() * 1000),
            shared_history=key.shared_history,
            backed_up=True,
            imported=True,
            chain=tuple(key.forwarding_chain),
        )


def _room_key(session: InboundSession) -> RoomKey:
    exported = session.megolm.export_at(session.megolm.first_known_index)
    assert exported is not None
    return RoomKey(
        room_id=session.room_id,
        session_id=session.megolm.session_id,
        sender_key=session.sender_key,
        ed25519=session.ed25519,
        session_key=exported.to_base64(),
        first_index=session.megolm.first_known_index,
        forwarding_chain=session.chain,
        shared_history=session.shared_history,
    )


def _names(row: CryptoRow) -> Name:
    return row.key["room_id"], row.key["session_id"], row.key["sender_key"]


def _name(key: RoomKey) -> Name:
    return key.room_id, key.session_id, key.sender_key
