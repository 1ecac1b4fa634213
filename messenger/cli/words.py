"""Failures in words for the person at the terminal. Texts of foreign exceptions are not shown: they may quote data."""

import socket

from sqlalchemy.exc import DBAPIError

from messenger.matrix.http import MatrixError, Unreachable
from messenger.observability.logging import describe_exception


def words_of(error: Exception) -> str:
    match error:
        case Unreachable():
            return f"the homeserver does not answer ({error}): `stellwerk doctor` looks closer"
        case MatrixError(status=403):
            return f"the homeserver refuses ({error}): at a first start the desk's user id or password is wrong"
        case MatrixError():
            return f"the homeserver refuses ({error}): `stellwerk doctor` looks closer"
        case _ if type(error).__module__.startswith("messenger."):
            return str(error)  # ours are written for people
        case ConnectionError() | socket.gaierror() | TimeoutError():
            return (
                f"the database does not answer ({_kind(error)}). Is it running, and are database.url and "
                "key_database.url right?"
            )
        case DBAPIError():
            return (
                f"the database refuses ({_kind(error.orig or error)}). Are database.url and the account's rights right?"
            )
        case OSError():
            return f"{error.filename or 'the system'}: {error.strerror or _kind(error)}"
        case _:
            return f"unexpected failure, please report it:\n{describe_exception(error)}"


def _kind(error: BaseException) -> str:
    """asyncpg's own name for what happened is the cause of SQLAlchemy's wrapper."""
    return type(error.__cause__ or error).__name__
