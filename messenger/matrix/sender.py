"""Sending encrypted events. The room key goes first, the ratchet is saved before the text is on the wire, and the
homeserver sees the same transaction id in every retry."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

from messenger.app.desk_ports import RoomState
from messenger.channels.errors import BadCredentials, ChannelError, Quota, Rejected, Temporary, Undecided
from messenger.domain.people import DevicePolicy
from messenger.matrix import successors
from messenger.matrix.batch import as_dict
from messenger.matrix.engine import CryptoEngine, Doubt, Doubted, MemoryLost, RecipientsUnknown, Sealed, SendRequest
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.room_book import Room, RoomBook
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

NS = "net.stellwerk"
OID = f"{NS}.oid"
MOST_AT_ONCE = 50
# Into one room. A homeserver names at most ten of the newest events in a new one. What is sent beside more than ten
# others leaves branches that nothing joins again, and Synapse works on all of them with every later event.
AT_ONCE_IN_A_ROOM = 6
_PERMANENT = {"M_FORBIDDEN": "blocked", "M_TOO_LARGE": "too_large", "M_NOT_FOUND": "no_such_recipient"}


@dataclass(slots=True)
class _Waiting:
    request: SendRequest
    done: "asyncio.Future[Sealed]"


class Encryptor:
    """Encrypts what is waiting together: one save of the ratchets for all of it. A request that must first hand out
    room keys over the network goes its own way, so that nobody waits for it."""

    def __init__(self, engine: CryptoEngine) -> None:
        self._engine = engine
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._slow: set[asyncio.Task[None]] = set()

    async def encrypt(self, request: SendRequest) -> Sealed:
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        return await waiting.done

    async def step(self) -> None:
        """Takes what waits and encrypts it; waits for the first."""
        batch = [await self._queue.get()]
        while not self._queue.empty() and len(batch) < MOST_AT_ONCE:
            batch.append(self._queue.get_nowait())
        ready = [waiting for waiting in batch if self._engine.is_ready(waiting.request)]
        for waiting in batch:
            if waiting not in ready:
                task = asyncio.create_task(self._encrypt([waiting]), name=f"room key for {waiting.request.room_id}")
                self._slow.add(task)
                task.add_done_callback(self._slow.discard)
        if ready:
            await self._encrypt(ready)

    async def _encrypt(self, batch: Sequence[_Waiting]) -> None:
        """Every waiting sender gets its answer, whatever happens; none waits for ever."""
        try:
            results = await self._engine.encrypt([waiting.request for waiting in batch])
        except Exception as error:  # the senders tell it to the outbox, which tries again
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            _answer(waiting, result)


def _answer(waiting: _Waiting, result: Sealed | BaseException) -> None:
    if waiting.done.done():
        return
    if isinstance(result, BaseException):
        waiting.done.set_exception(result)
    else:
        waiting.done.set_result(result)


LeftOut = tuple[str, str, str, str]  # room, user, device, code
SentBefore = Mapping[str, tuple[str, str]]
NOTHING_BEFORE: SentBefore = MappingProxyType({})


MOST_MESSAGES, LONGEST_MS = 100, 604_800_000  # with one key (Matrix spec, "m.room.encryption")
LOOK_AGAIN = timedelta(seconds=10)  # whether a doubt has gone
SEALED_ANEW = 5


class Sender:
    """`on_left_out` hears of each device that gets no keys, once in this process; `on_doubts` of what keeps a room from
    being written to until a person decides, whenever that changes (nothing any more: an empty set). `sent_before`
    (transaction id → room, event) is what an earlier device of the desk has sent: the homeserver would not recognise a
    repeat from another one, so that we do."""

    def __init__(
        self,
        http: HomeserverClient,
        book: RoomBook,
        encryptor: Encryptor,
        *,
        on_left_out: Callable[[LeftOut], None],
        on_doubts: Callable[[str, frozenset[Doubt]], None] = lambda room, doubts: None,
        sent_before: SentBefore = NOTHING_BEFORE,
    ) -> None:
        self._http, self._book, self._encryptor, self._on_left_out = http, book, encryptor, on_left_out
        self._on_doubts, self._sent_before = on_doubts, sent_before
        self._told: set[LeftOut] = set()
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # of rooms that are written to
        # By room, and by the rule under which it was asked: what is doubted under one is not settled under another.
        self._doubts: dict[str, dict[str, frozenset[Doubt]]] = {}

    def remember_doubts(self, rooms: Collection[str]) -> None:
        """Of an earlier process: if nothing is wrong there any more, that is told."""
        for room in rooms:
            self._doubts.setdefault(room, {"": frozenset([Doubt(user="", cause="unexpected_member")])})

    async def send(
        self,
        room_id: str,
        type: str,
        content: Mapping[str, Any],
        *,
        txn: str,
        policy: DevicePolicy,
        despite_doubts: bool = False,
    ) -> str:
        """Returns the event id. A repeat with the same `txn` returns the first event's. Raises ChannelError; Undecided
        where a person must decide first. `despite_doubts`: a word about trust itself."""
        before_room, before_event = self._sent_before.get(txn, ("", ""))
        if before_room == room_id and not _is_edit(content):  # an edit shows a state, and ours may be a newer one
            return before_event
        with_id = {**content, OID: txn}
        return await self._send(room_id, type, with_id, txn=txn, policy=policy, despite_doubts=despite_doubts)

    async def send_unmarked(self, room_id: str, type: str, content: Mapping[str, Any], *, txn: str) -> str:
        """For verifications: the other side computes over exactly what it reads, so our mark must not be in it. They go
        to all devices of the room's people, for they are how a device becomes trusted; a message key that others have
        seen is not used for anything else (another policy makes a new one)."""
        return await self._send(room_id, type, content, txn=txn, policy=DevicePolicy.ANY, despite_doubts=True)

    async def _send(
        self,
        room_id: str,
        type: str,
        content: Mapping[str, Any],
        *,
        txn: str,
        policy: DevicePolicy,
        despite_doubts: bool,
    ) -> str:
        try:
            room, sealed = await self._sealed(room_id, type, content, policy=policy, despite_doubts=despite_doubts)
            self._tell_left_out(room_id, sealed)
            if not despite_doubts:
                self._note_doubts(room_id, policy, [])
            fp("http_inflight")
            # In clear too: the homeserver sees the id in the address anyway, and after a lost device we find what we
            # sent without the keys.
            marked = {**sealed.content, **({OID: txn} if OID in content else {})}
            answer = await self._put(room.state, f"{path(room_id, 'send', 'm.room.encrypted', txn)}", marked)
            fp("http_answered")
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error
        except Doubted as error:
            self._note_doubts(room_id, policy, error.doubts)
            raise Undecided(retry_after=LOOK_AGAIN) from error
        except (MemoryLost, RecipientsUnknown) as error:
            raise Temporary("unreachable", raw_code=error.__class__.__name__) from error
        return str(answer["event_id"])

    async def _sealed(
        self, room_id: str, type: str, content: Mapping[str, Any], *, policy: DevicePolicy, despite_doubts: bool
    ) -> tuple[Room, Sealed]:
        """Handing out keys may take a minute, and somebody may be taken out of the room meanwhile: then it is encrypted
        anew, without them."""
        for _ in range(SEALED_ANEW):
            room = await self._book.encrypted(room_id)
            if room.strangers and not despite_doubts:
                raise Doubted([Doubt(user=user, cause="unexpected_member") for user in sorted(room.strangers)])
            sealed = await self._encryptor.encrypt(
                SendRequest(
                    room_id=room_id,
                    recipients=room.recipients,
                    type=type,
                    content=content,
                    policy=policy.value,
                    # Whoever may change the room's state may let keys change more often, never less often.
                    rotation_messages=min(room.state.rotation_messages or MOST_MESSAGES, MOST_MESSAGES),
                    rotation_ms=min(room.state.rotation_ms or LONGEST_MS, LONGEST_MS),
                    history_shared=room.is_history_shared,
                    despite_doubts=despite_doubts,
                )
            )
            if room.recipients <= (await self._book.encrypted(room_id)).recipients:
                return room, sealed
        raise Temporary("unreachable", raw_code="people leave the room faster than it can be written to")

    async def _put(self, room: RoomState, url: str, content: Mapping[str, Any]) -> Any:
        """A room that refuses us may have been replaced, or have thrown us out, a moment ago: then it is no refusal,
        and waits for the news."""
        try:
            return await self._put_in_turn(room.room_id, url, content)
        except MatrixError as error:
            if error.status == 403:
                await self._must_be_final(room, error)
            raise

    async def _put_in_turn(self, room_id: str, url: str, content: Mapping[str, Any]) -> Any:
        turn = self._turns.get(room_id) or asyncio.Semaphore(AT_ONCE_IN_A_ROOM)
        async with self._turns.setdefault(room_id, turn):
            return await self._http.call("PUT", f"{CLIENT}/rooms/{url}", content)

    async def _must_be_final(self, room: RoomState, error: MatrixError) -> None:
        if room.succession == "" and await self._state(room.room_id, successors.TOMBSTONE):
            raise Temporary("unreachable", raw_code="the room was replaced") from error
        if room.use in ("group", "case"):
            ours = await self._state(room.room_id, "m.room.member", self._book.account)
            if ours.get("membership") != "join":  # who is banned is not told so
                raise Undecided(retry_after=LOOK_AGAIN, raw_code="not in the room") from error

    async def _state(self, room_id: str, type: str, key: str = "") -> Mapping[str, Any]:
        try:
            return as_dict(await self._http.call("GET", f"{CLIENT}/rooms/{path(room_id, 'state', type, key)}"))
        except MatrixError as error:
            if error.status not in (403, 404):
                raise  # no answer to what was asked
            return {}

    def _note_doubts(self, room_id: str, policy: DevicePolicy, found: Sequence[Doubt]) -> None:
        known = self._doubts.get(room_id, {})
        if not known and not found:
            return
        before = frozenset().union(*known.values())
        by_policy = {**known, policy.value: frozenset(found)}
        by_policy = {rule: each for rule, each in by_policy.items() if rule and each}
        now: frozenset[Doubt] = frozenset().union(*by_policy.values())
        self._doubts.pop(room_id, None)
        if by_policy:
            self._doubts[room_id] = by_policy
        if now == before:
            return
        if now:
            causes = sorted({doubt.cause for doubt in now})
            log.warning("nothing leaves until a person decides", extra={"room_id": room_id, "causes": causes})
        self._on_doubts(room_id, now)

    def _tell_left_out(self, room_id: str, sealed: Sealed) -> None:
        for left_out in {(room_id, *device) for device in sealed.unreached} - self._told:
            self._told.add(left_out)
            self._on_left_out(left_out)

    async def send_clear(self, room_id: str, type: str, content: Mapping[str, Any], *, txn: str) -> str | None:
        """Only for reactions: Matrix has no encrypted ones. None: the same reaction is there already."""
        assert type == "m.reaction", "text never leaves in clear"
        try:
            await self._book.must_be_inside(room_id)
            answer = await self._put_in_turn(room_id, path(room_id, "send", type, txn), content)
        except MatrixError as error:
            if error.errcode == "M_DUPLICATE_ANNOTATION":
                return None
            raise as_channel_error(error) from error
        except Unreachable as error:
            raise as_channel_error(error) from error
        return str(answer["event_id"])

    async def redact(self, room_id: str, event_id: str, *, txn: str) -> None:
        try:
            await self._book.must_be_inside(room_id)
            await self._put_in_turn(room_id, path(room_id, "redact", event_id, txn), {})
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error


def _is_edit(content: Mapping[str, Any]) -> bool:
    relation = content.get("m.relates_to")
    return isinstance(relation, Mapping) and relation.get("rel_type") == "m.replace"


def as_channel_error(error: MatrixError | Unreachable) -> ChannelError:
    """By who must act: the sender, we, or the operator."""
    if isinstance(error, Unreachable):
        return Temporary("unreachable", raw_code=str(error))
    if error.is_throttled:
        return Quota(scope="account", retry_after=error.pause, raw_code=error.errcode)
    if error.errcode in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"):
        return BadCredentials("auth", raw_code=error.errcode)
    if error.status >= 500:
        return Temporary("unreachable", raw_code=f"{error.status} {error.errcode}")
    return Rejected(_PERMANENT.get(error.errcode, "content_refused"), raw_code=f"{error.status} {error.errcode}")
