"""All verifications of one desk: hears what comes, answers, forgets after ten minutes. Strangers may send anything in
any number: each message is a try of its own, and so many verifications at once is the most that somebody gets."""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from messenger.channels.errors import ChannelError
from messenger.matrix.http import MatrixError, Unreachable
from messenger.matrix.verification import sas
from messenger.matrix.verification.dialog import (
    CANCEL_REASONS,
    LASTS_S,
    UNKNOWN,
    Cancelled,
    Dialog,
    Finished,
    Say,
    Show,
    Step,
    offer,
)
from messenger.matrix.verification.heard import PREFIX, REQUEST, Heard
from messenger.matrix.verification.sas import PublicKeys, ShortString, Side

log = logging.getLogger(__name__)

MOST_OF_ONE, MOST = 3, 200
MOST_WAITING = 2_000
REMEMBERED = 2_000
TICK_S = 5.0
# Element's engine (matrix-sdk-crypto, seen in wasm 18.9) loses our key if it comes before the answer to its own request
# that has brought us theirs. A desk answers at once, so that happens on a slow machine; nobody looks at that moment.
KEY_GRACE_S = 1.0
EARLY_S = 300.0  # how far a sender's clock may be ahead (Matrix spec, `m.key.verification.request`)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """For people: emoji to compare, or how it ended (`code` is empty when the other side has proved its keys). One that
    is neither is of the beginning: it is written down, so that a process which follows can end it."""

    id: str
    user_id: str
    room: str | None
    short_string: ShortString | None = None
    is_over: bool = False
    code: str = ""
    by_us: bool = False
    master: str = ""


class Voice(Protocol):
    """How verifications speak. Raises ChannelError, MatrixError, Unreachable."""

    async def in_room(self, room: str, type: str, content: Mapping[str, Any], *, txn: str) -> str: ...

    async def to_devices(
        self, user_id: str, devices: Sequence[str], type: str, content: Mapping[str, Any], *, txn: str
    ) -> None: ...


class KeyBook(Protocol):
    """What the homeserver shows of others, asked anew where we do not know."""

    async def keys_of(self, user_id: str, device_id: str) -> PublicKeys | None: ...

    async def devices_of(self, user_id: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """A verification that was begun and not ended, as it was written down."""

    id: str
    user_id: str
    room: str | None


@dataclass(frozen=True, slots=True)
class Ask:
    user_id: str
    room: str | None
    body: str


class Verifier:
    """`own_keys` are what we prove: key id -> public key, our device's and our master key's."""

    def __init__(
        self,
        ours: Side,
        own_keys: Mapping[str, str],
        *,
        voice: Voice,
        book: KeyBook,
        tell: Callable[[News], Awaitable[None]],
        unended: Callable[[], Awaitable[Sequence[Abandoned]]] | None = None,
        clock: Callable[[], float] = time.time,
        key_grace_s: float = 0.0,
    ) -> None:
        self._ours, self._own_keys, self._voice, self._book = ours, dict(own_keys), voice, book
        self._tell, self._clock, self._unended = tell, clock, unended
        self._looks_until, self._key_grace_s = clock() + LASTS_S, key_grace_s
        self._later: dict[tuple[str, str], tuple[float, Heard]] = {}  # when what is heard
        self._waiting: asyncio.Queue[Heard | Ask] = asyncio.Queue(MOST_WAITING)
        self._dialogs: dict[tuple[str, str], Dialog] = {}
        self._asked_devices: dict[tuple[str, str], Sequence[str]] = {}
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()

    @property
    def running(self) -> int:
        return len(self._dialogs)

    def hear(self, messages: Sequence[Heard]) -> None:
        """Never waits. A flood beyond what can wait is dropped; its senders' apps give up by themselves."""
        for message in messages:
            if not self._waiting.full():
                self._waiting.put_nowait(message)

    def ask(self, user_id: str, room: str | None, body: str) -> None:
        """We ask: in this room, or, without one, all devices of the person. `body` is what old apps show instead."""
        if not self._waiting.full():
            self._waiting.put_nowait(Ask(user_id, room, body))

    async def step(self) -> None:
        """One message, or a look at the clock."""
        due = min((moment for moment, _ in self._later.values()), default=float("inf"))
        try:
            async with asyncio.timeout(max(0.0, min(TICK_S, due - self._clock()))):
                next = await self._waiting.get()
        except TimeoutError:
            return await self._take_what_is_due()
        await self.take(next)

    async def _take_what_is_due(self) -> None:
        now = self._clock()
        due = [key for key, (moment, _) in self._later.items() if moment <= now]
        for key in due:
            await self.take(replace(self._later.pop(key)[1], is_due=True))
        if not due:
            await self.expire()

    async def expire(self) -> None:
        now = self._clock()
        for key, dialog in list(self._dialogs.items()):
            await self._carry_out(key, dialog, dialog.expire(now))
        if self._unended is not None and now < self._looks_until:
            for each in await self._unended():
                await self._end_of_another_process(each)

    async def _end_of_another_process(self, each: Abandoned) -> None:
        """Its secret was in the memory of a process that is gone, so nobody can go on with it. The app over there hears
        so at once and need not wait for ten minutes, and the person may begin again."""
        key = each.user_id, each.id
        if key in self._dialogs or key in self._ended:
            return
        self._forget(key)
        try:
            await self._excuse(each)
        except (ChannelError, MatrixError, Unreachable) as error:
            log.warning("an app could not be told", extra={"error": type(error).__name__})
        await self._tell(News(id=each.id, user_id=each.user_id, room=each.room, is_over=True, code=UNKNOWN, by_us=True))

    async def _excuse(self, each: Abandoned) -> None:
        content: dict[str, Any] = {"code": UNKNOWN, "reason": CANCEL_REASONS[UNKNOWN]}
        type, txn = PREFIX + "cancel", f"v{each.id.removeprefix('$')}.restart"[:255]
        if each.room:
            content["m.relates_to"] = {"rel_type": "m.reference", "event_id": each.id}
            await self._voice.in_room(each.room, type, content, txn=txn)
        else:
            content["transaction_id"] = each.id
            devices = await self._book.devices_of(each.user_id)
            await self._voice.to_devices(each.user_id, devices, type, content, txn=txn)

    async def take(self, message: Heard | Ask) -> None:
        """Whatever goes wrong ends this one verification at most."""
        try:
            await (self._ask(message) if isinstance(message, Ask) else self._hear(message))
        except (ChannelError, MatrixError, Unreachable) as error:
            log.warning("verification cannot go on", extra={"error": type(error).__name__})
        except BaseException as error:  # a panic of the Rust code is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit, asyncio.CancelledError)):
                raise
            log.error("verification failed", extra={"error": type(error).__name__})

    async def _hear(self, message: Heard) -> None:
        key = message.sender, message.id
        dialog = self._dialogs.get(key)
        if dialog is None:
            if message.kind == "request" and key not in self._ended:
                await self._begin(key, message)
            return None
        if dialog.room != message.room or (key in self._later and message.kind == "key"):
            return None
        if self._key_grace_s and message.kind == "key" and dialog.phase == "accepted" and not message.is_due:
            self._later[key] = self._clock() + self._key_grace_s, message
            return None
        if self._is_of_another_device(dialog, message):
            return await self._carry_out(key, dialog, dialog.cancel("m.invalid_message"))
        if message.kind == "mac":
            dialog.keys = await self._book.keys_of(message.sender, dialog.theirs.device_id)
        had_device = dialog.theirs.device_id
        steps = dialog.receive(message.kind, message.content)
        await self._carry_out(key, dialog, steps)
        if not had_device:
            await self._excuse_the_others(key, dialog)

    def _is_of_another_device(self, dialog: Dialog, message: Heard) -> bool:
        """In a room we know which device has written; it must be the one that it says it is."""
        said = message.content.get("from_device")
        if not message.device_id or message.kind == "cancel":
            return False
        expected = dialog.theirs.device_id or (said if isinstance(said, str) else "")
        return message.device_id != expected

    async def _begin(self, key: tuple[str, str], message: Heard) -> None:
        device, methods = message.content.get("from_device"), message.content.get("methods")
        is_proper = isinstance(device, str) and 0 < len(device) <= 255 and isinstance(methods, list)
        is_timely = -EARLY_S <= self._clock() - message.at <= LASTS_S
        if not is_proper or not is_timely or (message.device_id and message.device_id != device):
            return self._forget(key)
        assert isinstance(device, str) and isinstance(methods, list)
        theirs = Side(user_id=message.sender, device_id=device)
        dialog = Dialog(
            id=message.id, ours=self._ours, theirs=theirs, room=message.room, began_at=self._clock(), we_asked=False
        )
        of_one = sum(user == message.sender for user, _ in self._dialogs)
        self._dialogs[key] = dialog
        if of_one >= MOST_OF_ONE or len(self._dialogs) > MOST:
            return await self._carry_out(key, dialog, dialog.cancel("m.user"))
        if sas.METHOD not in methods:
            return await self._carry_out(key, dialog, dialog.cancel("m.unknown_method"))
        await self._note_begin(dialog)
        await self._carry_out(key, dialog, dialog.agree())

    async def _note_begin(self, dialog: Dialog) -> None:
        await self._tell(News(id=dialog.id, user_id=dialog.theirs.user_id, room=dialog.room))

    async def _ask(self, ask: Ask) -> None:
        of_one = sum(user == ask.user_id for user, _ in self._dialogs)
        devices = [] if ask.room else await self._book.devices_of(ask.user_id)
        if of_one >= MOST_OF_ONE or not (ask.room or devices):
            return await self._tell(
                News(id="", user_id=ask.user_id, room=ask.room, is_over=True, code="m.user", by_us=True)
            )
        id = secrets.token_urlsafe(16)
        if ask.room:
            content = {"msgtype": REQUEST, "body": ask.body, "to": ask.user_id, **offer(self._ours)}
            id = await self._voice.in_room(ask.room, "m.room.message", content, txn=f"v{id}")
        else:
            content = {"transaction_id": id, "timestamp": int(self._clock() * 1000), **offer(self._ours)}
            await self._voice.to_devices(ask.user_id, devices, REQUEST, content, txn=f"v{id}")
            self._asked_devices[ask.user_id, id] = devices
        theirs = Side(user_id=ask.user_id, device_id="")
        dialog = Dialog(id=id, ours=self._ours, theirs=theirs, room=ask.room, began_at=self._clock(), we_asked=True)
        self._dialogs[ask.user_id, id] = dialog
        await self._note_begin(dialog)

    async def _excuse_the_others(self, key: tuple[str, str], dialog: Dialog) -> None:
        """One device has answered; the others need not ring any longer."""
        others = [each for each in self._asked_devices.pop(key, ()) if each != dialog.theirs.device_id]
        if others and not dialog.is_over:
            content = {"transaction_id": dialog.id, "code": "m.accepted", "reason": "another device has accepted"}
            await self._voice.to_devices(key[0], others, PREFIX + "cancel", content, txn=f"v{dialog.id}.others")

    async def _carry_out(self, key: tuple[str, str], dialog: Dialog, steps: Sequence[Step]) -> None:
        try:
            for step in steps:
                await self._do(key, dialog, step)
        except BaseException:  # what was not said is missing over there: it cannot go on
            dialog.phase = "over"
            raise
        finally:
            if dialog.is_over:
                self._forget(key)

    async def _do(self, key: tuple[str, str], dialog: Dialog, step: Step) -> None:
        about = News(id=dialog.id, user_id=key[0], room=dialog.room)
        match step:
            case Say():
                await self._say(dialog, step)
            case Show():
                await self._tell(replace(about, short_string=step.short_string))
                await self._carry_out(key, dialog, dialog.prove(self._own_keys))
            case Finished():
                await self._tell(replace(about, is_over=True, master=step.master or ""))
            case Cancelled():
                await self._tell(replace(about, is_over=True, code=step.code, by_us=step.by_us))

    async def _say(self, dialog: Dialog, say: Say) -> None:
        type, txn = PREFIX + say.kind, f"v{dialog.id.removeprefix('$')}.{say.kind}"[:255]
        if dialog.room:
            await self._voice.in_room(dialog.room, type, say.content, txn=txn)
            return
        device = dialog.theirs.device_id
        devices = [device] if device else self._asked_devices.get((dialog.theirs.user_id, dialog.id), ())
        await self._voice.to_devices(dialog.theirs.user_id, devices, type, say.content, txn=txn)

    def _forget(self, key: tuple[str, str]) -> None:
        """A repeat of the request must not begin it again."""
        self._dialogs.pop(key, None)
        self._later.pop(key, None)
        self._asked_devices.pop(key, None)
        self._ended[key] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
