"""Checks of the database: does it answer, and has it the schema of this program."""

from collections.abc import Sequence

from messenger.cli.doctor.finding import Finding, fail, ok, warn
from messenger.config import Settings


async def database(settings: Settings) -> Sequence[Finding]:
    from messenger.bootstrap import schema_status

    status = await schema_status(settings)
    kind = "the configured PostgreSQL" if settings.database.address() else "the embedded PostgreSQL"
    reached = ok("database", f"{kind} answers")
    if status.is_current:
        return [reached, _key_database(settings), ok("schema", f"{status.head} and {status.keys_head} are up to date")]
    found, needed = (
        f"{status.current or 'empty'} and {status.keys_current or 'empty'}",
        (f"{status.head} and {status.keys_head}"),
    )
    return [reached, fail("schema", f"{found}, this program needs {needed}: stellwerk migrate up")]


def _key_database(settings: Settings) -> Finding:
    if settings.key_database.address():
        return ok("key database", "answers. Its backups must be its own, and none older than 30 days")
    words = "is embedded beside the main database and shares its files and backups: what is erased stays in old copies"
    return warn("key database", f"{words}. Fine to try things out; else set key_database.url")
