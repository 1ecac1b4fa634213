"""A child process with a log file, a health check and a certain end.

The child lives in its own process group, so that Ctrl-C in the terminal reaches only us and we end it in order; and it
asks the kernel for SIGKILL when we die (Linux), so that not even `kill -9` leaves servers behind."""

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

POLL_S = 0.05
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOG_TAIL_CHARACTERS = 2000

HealthCheck = Callable[[], Awaitable[bool]]


class ChildFailed(Exception):
    """A child ended or did not become healthy. The message carries the end of its log."""


class Child:
    """Not bound to an event loop: it may be started in one and stopped in another."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.log = name, log
        self._command, self._cwd, self._env = list(command), cwd, env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ChildFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        if self.is_running:
            raise ChildFailed(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **(self._env or {})}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._cwd,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    async def wait_healthy(self, check: HealthCheck, *, timeout_s: float = 120) -> None:
        """Asks `check` until it says yes. Raises ChildFailed when the child ends first or never gets well."""
        give_up_at = time.monotonic() + timeout_s
        while not await check():
            if not self.is_running:
                raise ChildFailed(f"{self.name} ended with {self.exit_code}:\n{self.log_tail()}")
            if time.monotonic() > give_up_at:
                raise ChildFailed(f"{self.name} is not ready after {timeout_s:.0f} s:\n{self.log_tail()}")
            await asyncio.sleep(POLL_S)

    async def stop(self, *, grace_s: float = 20) -> None:
        """SIGTERM, and SIGKILL to the whole group after `grace_s`. Returns when the process is gone."""
        self.terminate()
        if not await self._gone_within(grace_s):
            self.kill9()
            await self._gone_within(grace_s)

    async def wait(self) -> int:
        """Returns the exit code once the child has ended by itself."""
        while self.is_running:
            await asyncio.sleep(POLL_S)
        return self.exit_code or 0

    def terminate(self) -> None:
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)

    def kill9(self) -> None:
        """Ends the whole group at once, without any chance to tidy up, and reaps the child."""
        if self._process is not None and self.is_running:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def pause(self) -> None:
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:] if self.log.exists() else ""

    async def _gone_within(self, seconds: float) -> bool:
        give_up_at = time.monotonic() + seconds
        while self.is_running and time.monotonic() < give_up_at:
            await asyncio.sleep(POLL_S)
        return not self.is_running


def free_port(preferred: int | None = None) -> int:
    """A port of 127.0.0.1 nobody listens on: the preferred one if it is free."""
    for port in (preferred or 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ChildFailed("no free port on 127.0.0.1")


def die_with_parent() -> Callable[[], None] | None:
    """For Popen's `preexec_fn`. Everything is looked up before the fork: between fork and exec hardly anything is
    safe."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def ask_for_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the request
            os.kill(os.getpid(), signal.SIGKILL)

    return ask_for_signal
