"""Drives Element's engine from a test: one node process is one device of one person.

    anna = await Element.start(oracle, synapse.url, account)
    sent = await anna.send(room, "hello")
    seen = await bob.sees(sent)

It is an independent judge: nothing of the product is used on its side."""

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Isolation = Literal["all", "strict", "signed"]
Report = dict[str, Any]
MAX_LINE_BYTES = 64 * 1024 * 1024


class ElementError(Exception):
    """Element's engine refused a command, or its process ended."""


@dataclass(frozen=True, slots=True)
class Oracle:
    """How to start a device: the node program and the folder with the scripts and their packages."""

    node: Path
    folder: Path


class Element:
    """One device. Everything it reports is kept in `reports`, in order; waiting looks at old reports too, so that a
    test cannot miss what came early."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self.name, self.user_id, self.device_id = name, "", ""
        self.info: Report = {}
        self.reports: list[Report] = []
        self._process = process
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Report]] = {}
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read(), name=f"reports of {name}")

    @classmethod
    async def start(
        cls,
        oracle: Oracle,
        homeserver: str,
        user_id: str,
        password: str,
        *,
        isolation: Isolation = "all",
        recovery_key: str | None = None,
        recovery: bool = False,
        bootstrap: bool = True,
    ) -> "Element":
        """Logs in as a new device, cross-signs it, and returns after the first sync. `recovery_key` opens the account's
        secret storage and restores its key backup (see `info["restored"]`); `recovery` sets both up."""
        process = await asyncio.create_subprocess_exec(
            oracle.node,
            oracle.folder / "mxclient.mjs",
            env={**os.environ, "NODE_COMPILE_CACHE": str(oracle.folder / "compiled")},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
        )
        element = cls(process, user_id)
        try:
            element.info = await element.do(
                "init",
                hs=homeserver,
                user=user_id,
                password=password,
                isolation=isolation,
                recovery_key=recovery_key,
                recovery=recovery,
                bootstrap=bootstrap,
            )
        except BaseException:
            await element.stop()
            raise
        element.user_id, element.device_id = element.info["user_id"], element.info["device_id"]
        return element

    async def stop(self) -> None:
        """Ends the process; the device stays logged in on the homeserver."""
        if self._process.returncode is None:
            with contextlib.suppress(ElementError, TimeoutError, OSError):
                await self.do("quit", timeout_s=3)
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def do(self, command: str, *, timeout_s: float = 60, **arguments: Any) -> Any:
        """Runs any command of the oracle and returns its result. Raises ElementError."""
        number, assert_stdin = next(self._numbers), self._process.stdin
        if assert_stdin is None or self._reader.done():
            raise ElementError(f"{self.name}: the process ended")
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        assert_stdin.write(json.dumps({"id": number, "cmd": command, **arguments}).encode() + b"\n")
        await assert_stdin.drain()
        async with asyncio.timeout(timeout_s):
            answer = await reply
        if not answer["ok"]:
            raise ElementError(f"{self.name} cannot {command}: {answer['error']}")
        return answer["result"]

    # Waiting

    async def waits_for(self, wanted: Callable[[Report], bool], *, timeout_s: float = 30, what: str = "") -> Report:
        """The first report, old or new, for which `wanted` is true."""

        def first() -> Report | None:
            return next((report for report in self.reports if wanted(report)), None)

        async with self._news:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait_for(lambda: first() is not None)
            except TimeoutError:
                raise AssertionError(
                    f"{self.name} did not see {what or 'it'} in {timeout_s} s; last reports: "
                    f"{json.dumps(self.reports[-3:])[:1500]}"
                ) from None
            found = first()
        assert found is not None
        return found

    async def sees(self, event_id: str, *, timeout_s: float = 30) -> Report:
        """The event as this device shows it. Fails if it cannot be decrypted."""
        report = await self.waits_for(
            lambda each: (
                (each["ev"] == "event" and each["id"] == event_id)
                or (each["ev"] == "utd" and each["id"] == event_id and not self._readable(event_id))
            ),
            timeout_s=timeout_s,
            what=event_id,
        )
        assert report["ev"] == "event", f"{self.name} cannot decrypt {event_id}: {report.get('reason')}"
        return report

    async def cannot_read(self, event_id: str, *, timeout_s: float = 30) -> str:
        """Waits until the device says that it cannot decrypt the event; returns the reason code."""
        report = await self.waits_for(
            lambda each: each["ev"] == "utd" and each["id"] == event_id,
            timeout_s=timeout_s,
            what=f"{event_id} as undecryptable",
        )
        return str(report["reason"])

    async def reads(self, body: str, *, room: str | None = None, timeout_s: float = 30) -> Report:
        """The first message with exactly this text."""
        return await self.waits_for(
            lambda each: each["ev"] == "event" and each["content"].get("body") == body and room in (None, each["room"]),
            timeout_s=timeout_s,
            what=repr(body),
        )

    async def is_invited(self, room: str, *, timeout_s: float = 30) -> None:
        await self.waits_for(
            lambda each: each["ev"] == "my_membership" and each["room"] == room and each["membership"] == "invite",
            timeout_s=timeout_s,
            what=f"an invitation to {room}",
        )

    async def sees_member(self, room: str, user_id: str, membership: str = "join", *, timeout_s: float = 30) -> None:
        await self.waits_for(
            lambda each: (
                each["ev"] == "member"
                and each["room"] == room
                and each["user"] == user_id
                and each["membership"] == membership
            ),
            timeout_s=timeout_s,
            what=f"{membership} of {user_id}",
        )

    @property
    def undecryptable(self) -> list[Report]:
        """Events that this device has not been able to read until now."""
        return [each for each in self.reports if each["ev"] == "utd" and not self._readable(each["id"])]

    def _readable(self, event_id: str) -> bool:
        return any(each["ev"] == "event" and each["id"] == event_id for each in self.reports)

    # What people do most

    async def create_room(self, *, invite: tuple[str, ...] = (), name: str = "Room", **options: Any) -> str:
        return str((await self.do("create_room", name=name, invite=list(invite), **options))["room_id"])

    async def join(self, room: str) -> None:
        await self.do("join", room=room)

    async def send(
        self, room: str, body: str, *, thread: str | None = None, reply_to: str | None = None, html: str | None = None
    ) -> str:
        return str(
            (await self.do("send", room=room, body=body, thread=thread, reply_to=reply_to, html=html))["event_id"]
        )

    async def send_file(
        self,
        room: str,
        file: Path,
        *,
        mime: str = "application/octet-stream",
        caption: str | None = None,
        thread: str | None = None,
    ) -> str:
        answer = await self.do("send_file", room=room, path=str(file), mime=mime, caption=caption, thread=thread)
        return str(answer["event_id"])

    async def sha256_of_file(self, room: str, event_id: str) -> str:
        """Downloads, checks and decrypts the attachment; the digest is that of the plain bytes."""
        return str((await self.do("download", room=room, event=event_id))["sha256"])

    async def shield(self, room: str, event_id: str) -> tuple[str, str | None]:
        """What Element draws next to the message: (NONE | GREY | RED, reason)."""
        shown = await self.do("shield", room=room, event=event_id)
        return shown["colour"], shown["reason"]

    async def texts(self, room: str, *, scroll: int = 1) -> list[str]:
        """The readable texts of the main timeline, oldest first."""
        events = await self.do("timeline", room=room, scroll=scroll)
        return [each["content"]["body"] for each in events if not each["failed"] and "body" in each["content"]]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if message["ev"] == "reply":
                self._settle(message)
            else:
                async with self._news:
                    self.reports.append(message)
                    self._news.notify_all()
        for number in list(self._replies):
            self._settle({"id": number, "ok": False, "error": "the process ended"})

    def _settle(self, reply: Report) -> None:
        waiting = self._replies.pop(reply["id"], None)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)
