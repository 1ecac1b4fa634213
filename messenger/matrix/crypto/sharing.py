"""Giving the devices of a room its key before the text (reliability.md R11). The steps, in this order:

1. device lists of the recipients, 2. who may have the key, 3. one-time keys for devices without an Olm session, 4. Olm
messages sealed and their ratchets COMMITTED, with the names of those who may have the key from now on, 5. PUT; only who
got a 200 counts as served, but who was sent it counts as a reader: without them the next message has a new key, 6. a
notice to those who get no key, once.

A failed PUT fails the request: the text would be unreadable. It is repeated with what was sealed for it: each message
that is sealed and never arrives is a step of the ratchet, and the other side follows it over two thousand of them and
no further (vodozemac's MAX_MESSAGE_GAP). While a homeserver is away, that is soon reached. A device without one-time
keys does not fail it: it is asked again later."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import vodozemac

from messenger.matrix.crypto.devices import DeviceLists, doubts, is_owner_signed, refusal
from messenger.matrix.crypto.machine import MEGOLM
from messenger.matrix.crypto.records import Device, InboundSession, OutboundSession, UserDevice
from messenger.matrix.crypto.state import CryptoState, UserEntry
from messenger.matrix.crypto.todevice import Messages, ToDevice
from messenger.matrix.engine import Doubt, Doubted, RecipientsUnknown, SendRequest
from messenger.matrix.http import MatrixError, Unreachable
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

MIN_ROTATION_MS = 60_000
Refusal = tuple[str, str, str]  # user id, device id, code


@dataclass(slots=True)
class RoomPlan:
    """What one room needs before its messages can be encrypted."""

    request: SendRequest
    epoch: int = 0
    entitled: list[Device] = field(default_factory=list)
    refused: list[tuple[Device, str]] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    needs_session: bool = False
    missing: list[Device] = field(default_factory=list)
    parts: list[Messages] = field(default_factory=list)
    what: tuple[Any, ...] = ()  # they are for
    reached: set[UserDevice] = field(default_factory=set)
    told: dict[UserDevice, str] = field(default_factory=dict)
    error: BaseException | None = None

    @property
    def room_id(self) -> str:
        return self.request.room_id


@dataclass(frozen=True, slots=True)
class Checked:
    """A room whose key is where it has to be, as long as nothing of this changes."""

    session_id: str
    epoch: int
    request: tuple[Any, ...]
    retry_at: float
    unreached: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Unsent:
    """What was sealed and not taken yet, and what for: the room key as it was, and the session with each device. It
    serves as long as nothing of this changes."""

    what: tuple[Any, ...]
    parts: list[Messages]


class RoomKeys:
    """Shares outbound sessions."""

    def __init__(self, state: CryptoState, lists: DeviceLists, to_device: ToDevice) -> None:
        self._state, self._lists, self._to_device = state, lists, to_device
        self._checked: dict[str, Checked] = {}
        self._unsent: dict[str, Unsent] = {}

    def unreached(self, request: SendRequest) -> tuple[Refusal, ...] | None:
        """None: the key must be shared first. Otherwise the devices that do without it. Costs microseconds."""
        checked, session = self._checked.get(request.room_id), self._state.outbound.get(request.room_id)
        if checked is None or session is None or self._is_expired(session, request):
            return None
        holds = (
            checked.session_id == session.megolm.session_id
            and checked.request == _terms(request)
            and checked.retry_at > self._state.clock()
            and self._state.is_unchanged(request.recipients, since=checked.epoch)
        )
        return checked.unreached if holds else None

    def forget(self, rooms: set[str]) -> None:
        """Of rooms that left memory."""
        for known in (self._checked, self._unsent):
            for room_id in known.keys() - rooms:
                del known[room_id]

    async def share(self, requests: Sequence[SendRequest]) -> dict[str, BaseException]:
        """One request of each room; the caller holds the rooms' locks. Returns the rooms that failed."""
        plans, generation = [RoomPlan(request) for request in requests], self._state.generation
        await self._refresh_lists(plans)
        self._state.still(generation)
        for plan in _going(plans):
            self._examine(plan)
        await self._seal_all(plans, generation)
        # Not before its ratchets are committed: what is sealed after a lost commit has the same keys.
        self._unsent.update({plan.room_id: Unsent(plan.what, plan.parts) for plan in _going(plans)})
        fp("keys_encrypted")
        await asyncio.gather(*(self._put(plan) for plan in _going(plans)))
        fp("keys_put")
        async with self._state.change():
            self._state.still(generation)
            for plan in plans:
                self._note(plan)
        return {plan.room_id: plan.error for plan in plans if plan.error is not None}

    async def _refresh_lists(self, plans: Sequence[RoomPlan]) -> None:
        users = set().union(*(plan.request.recipients for plan in plans)) - {self._state.user_id}
        try:
            await self._lists.refresh(users)
        except (MatrixError, Unreachable) as error:
            fresh = {user for user in users if (entry := self._state.users.get(user)) and entry.is_fresh}
            for plan in plans:
                if not self._others(plan.request) <= fresh:
                    plan.error = error

    def _examine(self, plan: RoomPlan) -> None:
        plan.epoch = self._state.epoch
        request, session = plan.request, self._state.outbound.get(plan.room_id)
        for user_id in sorted(self._others(request)):
            self._examine_user(plan, user_id)
        found = self._doubts(request)
        if found:
            plan.error = Doubted(found)
        if plan.unreachable and request.policy == "verified":
            plan.error = RecipientsUnknown("a recipient's homeserver does not answer")
        ids = {device.id for device in plan.entitled}
        plan.needs_session = (
            session is None
            or self._is_expired(session, request)
            or not session.shared | session.underway <= ids
            or session.shared_history != request.history_shared
        )
        has_key = set() if session is None or plan.needs_session else session.shared
        plan.missing = [device for device in plan.entitled if device.id not in has_key]

    def _doubts(self, request: SendRequest) -> list[Doubt]:
        if request.despite_doubts:
            return []
        users = (self._state.users[user_id] for user_id in sorted(self._others(request)))
        return [doubt for user in users for doubt in doubts(user, request.policy)]

    def _examine_user(self, plan: RoomPlan, user_id: str) -> None:
        entry = self._state.users[user_id]
        if not entry.is_fresh:
            plan.unreachable.append(user_id)
        for device in entry.active():
            code = refusal(device, entry.identity, plan.request.policy)
            if code is None:
                plan.entitled.append(device)
            else:
                plan.refused.append((device, code))

    async def _seal_all(self, plans: Sequence[RoomPlan], generation: int) -> None:
        """One question for one-time keys for all rooms. If it fails, the rooms that need it fail with it."""
        missing = {device.id: device for plan in _going(plans) for device in plan.missing}
        async with self._to_device.reaching(missing.values()) as claim, self._state.change():
            self._state.still(generation)
            for plan in _going(plans):
                if claim.error is not None and any(device in claim.asked for device in plan.missing):
                    plan.error = claim.error
            self._to_device.open_sessions(claim)
            for plan in _going(plans):
                self._seal(plan)

    def _seal(self, plan: RoomPlan) -> None:
        if plan.needs_session:
            self._new_session(plan.request)
        session = self._session(plan)
        plan.parts = self._sealed(plan, session)
        if plan.parts:
            session.underway |= {(user, device) for part in plan.parts for user in part for device in part[user]}
            self._state.save_outbound(session, lists=True)
            self._checked.pop(plan.room_id, None)  # it may be of fewer people

    def _sealed(self, plan: RoomPlan, session: OutboundSession) -> list[Messages]:
        reachable = [(device.id, olm) for device in plan.missing if (olm := self._to_device.session_id(device))]
        what = (session.megolm.session_id, session.megolm.message_index, tuple(sorted(reachable)))
        plan.what = (*what, self._state.generation)
        unsent = self._unsent.get(plan.room_id)
        if unsent is not None and unsent.what == plan.what:
            return unsent.parts
        return self._to_device.seal(plan.missing, "m.room_key", self._room_key(session))

    def _new_session(self, request: SendRequest) -> None:
        state, now_ms = self._state, int(self._state.clock() * 1000)
        megolm = vodozemac.GroupSession()
        state.save_outbound(
            OutboundSession(
                megolm=megolm, room_id=request.room_id, created_ms=now_ms, shared_history=request.history_shared
            ),
            lists=True,
        )
        state.save_inbound(
            InboundSession(
                megolm=vodozemac.InboundGroupSession(megolm.session_key),
                room_id=request.room_id,
                sender_key=state.machine.curve25519,
                ed25519=state.machine.ed25519,
                user_id=state.user_id,
                received_ms=now_ms,
                shared_history=request.history_shared,
            )
        )

    def _room_key(self, session: OutboundSession) -> dict[str, Any]:
        # This pair of names, and no other: with org.matrix.msc3061 beside it Element's engine rejects the whole key.
        flags = {"m.shared_history": True, "shared_history": True} if session.shared_history else {}
        return {
            "algorithm": MEGOLM,
            "room_id": session.room_id,
            "session_id": session.megolm.session_id,
            "session_key": session.megolm.session_key.to_base64(),
            **flags,
        }

    async def _put(self, plan: RoomPlan) -> None:
        session = self._session(plan)
        about = f"{session.megolm.session_id}|{session.megolm.message_index}"
        plan.reached, plan.error = await self._to_device.put_all("m.room.encrypted", plan.parts, about=about)
        if plan.error is None:
            await self._tell(plan, session)

    async def _tell(self, plan: RoomPlan, session: OutboundSession) -> None:
        """Best effort: the notice only explains."""
        codes = {device.id: code for device, code in plan.refused}
        codes |= {device.id: "m.no_olm" for device in plan.missing if device.id not in plan.reached}
        news = {device: code for device, code in codes.items() if session.told.get(device) != code}
        parts = [self._notice(session, device, code) for device, code in news.items()]
        if parts:
            about = "withheld|" + session.megolm.session_id
            reached, _ = await self._to_device.put_all("m.room_key.withheld", _merged(parts), about=about)
            plan.told = {device: code for device, code in news.items() if device in reached}

    def _notice(self, session: OutboundSession, device: UserDevice, code: str) -> Messages:
        content = {"algorithm": MEGOLM, "code": code, "sender_key": self._state.machine.curve25519}
        if code != "m.no_olm":  # Matrix spec: without the session's names for this code
            content |= {"room_id": session.room_id, "session_id": session.megolm.session_id}
        return {device[0]: {device[1]: content}}

    def _note(self, plan: RoomPlan) -> None:
        session = self._state.outbound.get(plan.room_id)
        if session is None:
            return
        if plan.reached or plan.told:
            session.shared |= plan.reached
            session.underway -= plan.reached
            session.told |= plan.told
            self._state.save_outbound(session, lists=True)
        if plan.error is None:
            self._unsent.pop(plan.room_id, None)
            self._checked[plan.room_id] = self._checked_now(plan, session)

    def _checked_now(self, plan: RoomPlan, session: OutboundSession) -> Checked:
        without_key = [device for device in plan.missing if device.id not in session.shared]
        retries = [self._to_device.retry_at(device) for device in without_key]
        retries += [self._state.users[user].retry_at for user in plan.unreachable]
        unreached = [(*device.id, self._why(device, code)) for device, code in plan.refused]
        unreached += [(*device.id, "m.no_olm") for device in without_key]
        unreached += [(user, "", "unreachable") for user in plan.unreachable]
        unreached += self._changed(plan.request)
        return Checked(
            session.megolm.session_id,
            plan.epoch,
            _terms(plan.request),
            min(retries, default=float("inf")),
            tuple(unreached),
        )

    def _changed(self, request: SendRequest) -> list[Refusal]:
        """Who gets the key although something is new. A user whose identity is another one than before; in the device's
        place stands that key. And, where every device is served, one that its owner has not signed beside those that
        they have: a homeserver may have added it."""
        entries = [self._state.users[user] for user in sorted(self._others(request))]
        identities = [(each.user_id, each.identity) for each in entries]
        found = [(user, each.changed_to, "identity_changed") for user, each in identities if each and each.changed_to]
        if request.policy == "any":
            found += [(*doubt_of, "unsigned_device") for each in entries for doubt_of in _unsigned(each)]
        return found

    def _why(self, device: Device, code: str) -> str:
        """To its owner in our own room more can be said than by the codes of the specification."""
        signed = is_owner_signed(device, self._state.users[device.user_id].identity)
        return "not_verified" if code == "m.unverified" and signed else code

    def _session(self, plan: RoomPlan) -> OutboundSession:
        session = self._state.outbound[plan.room_id]
        assert session is not None
        return session

    def _others(self, request: SendRequest) -> frozenset[str]:
        return request.recipients - {self._state.user_id}

    def _is_expired(self, session: OutboundSession, request: SendRequest) -> bool:
        # A room's own settings (m.room.encryption) must not make a new key for every message, or never any message.
        messages, age_ms = max(request.rotation_messages, 1), max(request.rotation_ms, MIN_ROTATION_MS)
        return session.is_expired(now_ms=int(self._state.clock() * 1000), messages=messages, age_ms=age_ms)


def _unsigned(user: UserEntry) -> list[UserDevice]:
    found = doubts(user, "cross-signed-tofu")
    return [(doubt.user, doubt.device) for doubt in found if doubt.cause == "unsigned_device"]


def _going(plans: Sequence[RoomPlan]) -> list[RoomPlan]:
    return [plan for plan in plans if plan.error is None]


def _terms(request: SendRequest) -> tuple[Any, ...]:
    return request.recipients, request.policy, request.history_shared, request.despite_doubts


def _merged(parts: Sequence[Messages]) -> list[Messages]:
    merged: Messages = {}
    for part in parts:
        for user_id, devices in part.items():
            merged.setdefault(user_id, {}).update(devices)
    return [merged]
