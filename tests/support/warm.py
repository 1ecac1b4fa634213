"""Programs that start fast: a process which has imported them already, and done nothing else, is forked. What a program
of ours reads from its environment at import it reads again; mutants change the modules of their own process.

There are two such processes, one for the programs of ours and one for Synapse, which knows nothing of ours. They end
with the session, their children with them (parent-death signal)."""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory
from typing import Any

from messenger.demo.child import Child, ChildFailed, die_with_parent

_START_S = 60.0
SYNAPSE = "synapse.app.homeserver"
_OURS = ("messenger.bootstrap.service", "messenger.cli.app")


class WarmChild(Child):
    """`command` as for a `Child`: an interpreter, `-m`, a module, its arguments."""

    _warm_pid: int | None = None

    @property
    def pid(self) -> int:
        if self._warm_pid is None:
            raise ChildFailed(f"{self.name} was not started")
        return self._warm_pid

    @property
    def is_running(self) -> bool:
        return self._warm_pid is not None and self._warmth.code_of(self._warm_pid) is None

    @property
    def exit_code(self) -> int | None:
        return None if self._warm_pid is None else self._warmth.code_of(self._warm_pid)

    @property
    def _warmth(self) -> "_Warmth":
        return _warmth(SYNAPSE if SYNAPSE in self._command else "")

    def start(self) -> None:
        if self.is_running:
            raise ChildFailed(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        _, dash_m, module, *arguments = self._command
        assert dash_m == "-m", "only modules are started warm"
        environment = {**os.environ, **(self._env or {})}
        self._warm_pid = self._warmth.fork(module, arguments, log=self.log, env=environment, cwd=self._cwd)

    def kill9(self) -> None:
        if self.is_running:
            os.killpg(self.pid, signal.SIGKILL)
            self._warmth.wait(self.pid)


async def run_warm(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[int, str]:
    """Runs a program of ours to its end; returns its exit code and all that it printed. A signal is a negative code."""
    with TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        child = WarmChild(module, [sys.executable, "-m", module, *arguments], log=said, env=env, cwd=cwd)
        child.start()
        code = await child.wait()
        return code, said.read_text()


class _Warmth:
    """Our end of the line to the warm process: one request and one answer at a time; ends are told in between."""

    def __init__(self, stock: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *filter(None, [stock])],
                stdin=DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._line, self._text, self._codes, self._started = ours, b"", dict[int, int](), list[int]()

    def fork(
        self, module: str, arguments: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None
    ) -> int:
        request = {"module": module, "arguments": list(arguments), "log": str(log), "env": dict(env)}
        request["cwd"] = str(cwd or Path.cwd())
        self._line.sendall(json.dumps(request).encode() + b"\n")
        while not self._started:
            self._hear(_START_S)
        return self._started.pop()

    def code_of(self, pid: int) -> int | None:
        """None while it runs."""
        if pid not in self._codes:
            self._hear(0.0)
        return self._codes.get(pid)

    def wait(self, pid: int) -> None:
        while pid not in self._codes:
            self._hear(_START_S)

    def _hear(self, timeout_s: float) -> None:
        self._line.settimeout(timeout_s)
        try:
            data = self._line.recv(65536)
        except (BlockingIOError, TimeoutError):
            if timeout_s:
                raise ChildFailed("the warm process does not answer") from None
            return
        if not data:
            raise ChildFailed("the warm process has ended")
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "started" in told:
                self._codes.pop(told["started"], None)
                self._started.append(told["started"])
            else:
                self._codes[told["ended"]] = told["code"]


@cache
def _warmth(stock: str) -> _Warmth:
    return _Warmth(stock)


# The other end.


def _serve(line: socket.socket, wake_up: Callable[[], None]) -> None:
    """Until the other side hangs up. `wake_up` is called in each child, once it has its own environment."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is line:
                    data = line.recv(65536)
                    if not data:
                        return
                    *requests, text = (text + data).split(b"\n")
                    for request in requests:
                        _start(line, json.loads(request), wake_up)
                else:
                    os.read(woken, 4096)
            _tell_ends(line)


def _start(line: socket.socket, request: Mapping[str, Any], wake_up: Callable[[], None]) -> None:
    go_on = die_with_parent()
    if os.fork():
        return
    os.setsid()
    if go_on:
        go_on()
    # Only now: who hears it may kill the whole group at once.
    line.sendall(json.dumps({"started": os.getpid()}).encode() + b"\n")
    line.close()
    _become(request, wake_up)


def _become(request: Mapping[str, Any], wake_up: Callable[[], None]) -> None:
    """Never returns. From here on it is a program like any other."""
    import runpy

    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    wake_up()
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    sys.exit(0)


def _tell_ends(line: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        line.sendall(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


def _import_ours() -> Callable[[], None]:
    """Nothing of it starts a thread."""
    for name in _OURS:
        importlib.import_module(name)
    from messenger.observability import failpoints

    return failpoints.arm_from_environment


def _import_synapse() -> Callable[[], None]:
    """As its own `complement_fork_starter` does it: a reactor that was made before a fork does not work behind it."""
    from synapse.app.complement_fork_proxied_reactor import ProxiedReactor
    from twisted.internet.main import installReactor

    reactor = ProxiedReactor()
    installReactor(reactor)
    importlib.import_module(SYNAPSE)

    def make_reactor() -> None:
        from twisted.internet.epollreactor import EPollReactor

        reactor._install_real_reactor(EPollReactor())

    return make_reactor


if __name__ == "__main__":
    woken_by = _import_synapse() if SYNAPSE in sys.argv else _import_ours()
    # The pages that children share are not gone through by their collectors.
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])), woken_by)
