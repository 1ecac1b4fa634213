"""Logs: nothing of a message's text may appear, whichever way somebody logs."""

import ast
import asyncio
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import StatementError

from messenger.config import ConfigError
from messenger.observability import metrics
from messenger.observability.logging import AllowedKeys, configure_logging, get_logger

BODY = "Ich habe seit Montag starke Schmerzen"
MESSENGER = Path(__file__).parents[2] / "messenger"


@pytest.fixture
def restored() -> Iterator[None]:
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def out(restored: None) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level="debug", style="json", stream=stream)
    return stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_ids_and_codes_pass_and_everything_else_is_dropped_and_counted(restored: None) -> None:
    stream = io.StringIO()
    allowed = configure_logging(style="json", stream=stream)
    before = metrics.LOG_VALUES_DROPPED.total()
    get_logger("messenger.app").info("message_relayed", conversation_id="c1", attempt=2, body=BODY, customer=BODY)
    (line,) = lines(stream)
    assert (line["event"], line["conversation_id"], line["attempt"], line["dropped"]) == ("message_relayed", "c1", 2, 2)
    assert BODY not in stream.getvalue()
    assert allowed.dropped == {"body": 1, "customer": 1}
    assert metrics.LOG_VALUES_DROPPED.total() - before == 2


def test_an_allowed_key_takes_no_container_and_no_long_text(out: io.StringIO) -> None:
    get_logger("messenger.app").info("odd", reason={"body": BODY}, error="x" * 1000 + BODY)
    (line,) = lines(out)
    assert "reason" not in line and len(line["error"]) == 200 and BODY not in out.getvalue()


def test_our_own_stdlib_calls_keep_their_constant_text_but_not_their_arguments(out: io.StringIO) -> None:
    logging.getLogger("messenger.storage").info("opened %s", BODY, extra={"folder": "/var/lib/x", "body": BODY})
    (line,) = lines(out)
    assert (line["event"], line["folder"], line["dropped"]) == ("opened %s", "/var/lib/x", 1)
    assert BODY not in out.getvalue()


def test_numbers_are_filled_into_our_own_texts(out: io.StringIO) -> None:
    logging.getLogger("messenger.matrix").warning("%d of %d keys are damaged", 2, 7)
    logging.getLogger("messenger.matrix").warning("%d of %s", 2, BODY)
    logging.getLogger("messenger.matrix").warning("%d of %d", 2)
    assert [line["event"] for line in lines(out)] == ["2 of 7 keys are damaged", "%d of %s", "%d of %d"]


def test_of_a_library_only_logger_level_and_place_remain(out: io.StringIO) -> None:
    logging.getLogger("nio.crypto").warning("cannot decrypt %s", {"body": BODY})
    logging.getLogger("sqlalchemy.engine").error("".join(["[parameters: ", BODY]))
    for line, name in zip(lines(out), ("nio.crypto", "sqlalchemy.engine"), strict=True):
        assert (line["event"], line["logger"]) == ("library_message", name)
        assert line["at"].startswith("test_logging.py:")
    assert BODY not in out.getvalue()


def test_libraries_are_quiet_below_warning(out: io.StringIO) -> None:
    for name in ("aiohttp.access", "asyncio", "nio.client", "sqlalchemy.engine.Engine"):
        logging.getLogger(name).info("chatter")
    assert out.getvalue() == ""


def test_context_is_on_every_line(out: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(conversation_id="c7"):
        get_logger("messenger.app").info("claimed")
        logging.getLogger("messenger.workers").info("settled")
    assert [line["conversation_id"] for line in lines(out)] == ["c7", "c7"]


def _fail_with(error: Exception) -> None:
    secret_local = BODY
    assert secret_local
    raise error


def test_an_exception_shows_types_and_places_but_neither_values_nor_foreign_texts(out: io.StringIO) -> None:
    try:
        try:
            _fail_with(StatementError("bad", "INSERT", {"body": BODY}, ValueError(BODY)))
        except StatementError as error:
            raise RuntimeError(BODY) from error
    except RuntimeError:
        logging.getLogger("messenger.workers").exception("worker_failed")
        get_logger("messenger.workers").exception("worker_failed")
    for line in lines(out):
        assert "sqlalchemy.exc.StatementError\n" in line["exception"]
        assert line["exception"].endswith("RuntimeError") and "_fail_with" in line["exception"]
    assert len(lines(out)) == 2 and BODY not in out.getvalue()


def test_our_own_exceptions_keep_their_text(out: io.StringIO) -> None:
    try:
        _fail_with(ConfigError("database.url_file: cannot read it"))
    except ConfigError as error:
        get_logger("messenger.cli").error("start_failed", exc_info=error)
    assert lines(out)[0]["exception"].endswith("ConfigError: database.url_file: cannot read it")


def test_every_part_of_an_exception_group_is_told(out: io.StringIO) -> None:
    error = ExceptionGroup(BODY, [ValueError(BODY), KeyError(BODY)])
    get_logger("messenger.workers").error("tasks_failed", exc_info=error)
    assert "ValueError" in lines(out)[0]["exception"] and "KeyError" in lines(out)[0]["exception"]
    assert BODY not in out.getvalue()


def test_uncaught_exceptions_forgotten_tasks_and_warnings_leak_nothing(out: io.StringIO) -> None:
    async def forget() -> None:
        async def fail() -> None:
            _fail_with(ValueError(BODY))

        task = asyncio.ensure_future(fail())
        await asyncio.wait([task])
        del task

    asyncio.run(forget())
    try:
        _fail_with(ValueError(BODY))
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(BODY, stacklevel=1)
    assert {line["logger"] for line in lines(out)} == {"asyncio", "messenger", "py.warnings"}
    assert BODY not in out.getvalue()


def test_people_get_readable_lines_and_no_colour_when_they_say_so(
    restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for no_color in (False, True):
        stream = Terminal()
        monkeypatch.delenv("NO_COLOR", raising=False)
        if no_color:
            monkeypatch.setenv("NO_COLOR", "1")
        configure_logging(stream=stream)
        get_logger("messenger.app").info("claimed", ref="K-4F7Q")
        assert "claimed" in stream.getvalue() and "K-4F7Q" in stream.getvalue()
        assert ("\x1b[" in stream.getvalue()) is not no_color


def test_lines_below_the_level_are_not_written(restored: None) -> None:
    stream = io.StringIO()
    configure_logging(level="warning", style="json", stream=stream)
    get_logger("messenger.app").info("claimed")
    logging.getLogger("messenger.app").info("claimed")
    assert stream.getvalue() == ""


def test_the_filter_keeps_what_it_allows() -> None:
    assert AllowedKeys(frozenset({"a"}))(None, "info", {"a": 1, "b": 2}) == {"a": 1, "dropped": 1}


def _log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    methods = {"debug", "info", "warning", "error", "exception", "critical"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
            owner = ast.unparse(node.func.value).split("(")[0].split(".")[-1].strip("_")
            if owner in {"log", "logger", "getLogger", "get_logger"}:
                yield node


def test_every_event_text_in_the_source_is_a_constant() -> None:
    sources = {file: ast.parse(file.read_text("utf-8")) for file in MESSENGER.rglob("*.py")}
    calls = [(file, call) for file, tree in sources.items() for call in _log_calls(tree)]
    faulty = [
        f"{file.relative_to(MESSENGER)}:{call.lineno}"
        for file, call in calls
        if not call.args or not isinstance(call.args[0], ast.Constant)
    ]
    assert calls and not faulty, f"log a constant text and put values into allowed keys: {faulty}"
