"""`docs/threat-model.md` names no test that does not exist, and what it says about connections and packages holds."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
ROWS = re.findall(r"^\| (T\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize(("number", "tests"), [(number, tests) for number, _, _, tests in ROWS])
def test_every_threat_names_tests_that_exist(number: str, tests: str) -> None:
    names_tests_that_exist(number, tests)


def names_tests_that_exist(number: str, tests: str) -> None:
    named = TEST.findall(tests)
    assert named, f"{number} names no test"
    for file, function in named:
        assert function in functions(ROOT / "tests" / file), f"{number}: there is no {function} in tests/{file}"


def test_threats_are_numbered_without_a_gap() -> None:
    assert [number for number, *_ in ROWS] == [f"T{n}" for n in range(1, len(ROWS) + 1)]


def test_what_a_control_names_is_there() -> None:
    for _, _, control, _ in ROWS:
        for file in re.findall(r"`(\w+/\w+\.py)`", control):
            assert (ROOT / "messenger" / file).exists(), f"there is no messenger/{file}"


# What opens a connection, by the name it is imported or called by; and where that is meant.
OPENING = (
    "aiohttp.ClientSession", "aiohttp.TCPConnector", "aiohttp.UnixConnector", "aiohttp.request", "aiohttp.client",
    "urllib.request", "urllib3", "requests", "httpx", "http.client", "pycurl", "websockets", "ftplib", "smtplib",
    "telnetlib", "xmlrpc.client", "nio.AsyncClient", "nio.HttpClient", "asyncio.open_connection",
    "socket.create_connection",
)  # fmt: skip
# Most files name nothing of the kind, and need not be parsed.
MAYBE = re.compile(
    "|".join(sorted({re.escape(name.partition(".")[0]) for name in OPENING} - {"asyncio", "http", "socket"}))
    + r"|http\.client|from http\b|create_connection|open_connection|sock_connect"
)
METHODS = {"create_connection", "open_connection", "sock_connect"}
MEANT = {
    "messenger/channels/outbound/session.py": "the one way out",
    "messenger/scanner/clamd.py": "the virus scanner, where the operator has put it; what is sent there is the file",
    "messenger/demo/actor.py": "plays the people of the demonstration, on the homeserver that it has started itself",
    "messenger/demo/synapse.py": "watches the homeserver that it has started on this machine, and knows nothing of us",
}


def test_http_leaves_by_the_one_way_out_only() -> None:
    """What people write can therefore make the program fetch nothing from its own network."""
    texts = {file: file.read_text() for file in _program()}
    opening = {
        str(file.relative_to(ROOT)): _opens(ast.parse(text)) for file, text in texts.items() if MAYBE.search(text)
    }
    assert {file for file, opens in opening.items() if opens} == set(MEANT), {
        file: opens for file, opens in opening.items() if opens and file not in MEANT
    }


@pytest.mark.parametrize(
    "code",
    [
        "import aiohttp\naiohttp.ClientSession()",
        "import aiohttp as a\na.ClientSession()",
        "from aiohttp import ClientSession",
        "from aiohttp import client",
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "import requests",
        "from httpx import AsyncClient",
        "import http.client",
        "import socket as s\ns.create_connection(('x', 1))",
        "import asyncio\nasyncio.open_connection('x', 1)",
        "loop.create_connection(None, 'x', 1)",
    ],
)
def test_another_way_out_would_be_seen(code: str) -> None:
    assert _opens(ast.parse(code))


def _program() -> list[Path]:
    return [file for folder in ("messenger", "bridges") for file in (ROOT / folder).rglob("*.py")]


def _opens(tree: ast.AST) -> list[str]:
    """What it names of `OPENING`. An alias of a module is followed."""
    known: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                known |= {alias.asname or alias.name.partition(".")[0]: _first(alias) for alias in node.names}
                found += [alias.name for alias in node.names]
            case ast.ImportFrom():
                found += [f"{node.module}.{alias.name}" for alias in node.names]
            case ast.Attribute() if node.attr in METHODS:
                found.append(f"socket.create_connection ({node.attr})")
    found += [_dotted(node, known) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return [
        name for name in found if any(name == each or name.startswith((each + ".", each + " ")) for each in OPENING)
    ]


def _first(alias: ast.alias) -> str:
    return alias.name if alias.asname else alias.name.partition(".")[0]


def _dotted(node: ast.expr, known: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, known)}.{node.attr}"
    return known.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def test_every_package_is_pinned_with_its_hash() -> None:
    packages = re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text())
    pinned = [package for package in packages if re.match(r"[\w.\[\]-]+==", package)]
    assert len(pinned) > 30
    assert not [package.splitlines()[0] for package in pinned if "--hash=sha256:" not in package]


def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
