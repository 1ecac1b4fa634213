"""Checks of the database: does it answer, and has it the schema of this program."""

from collections.abc import Sequence

from messenger.cli.doctor.finding import Finding, fail, ok
from messenger.config import Settings


async def database(settings: Settings) -> Sequence[Finding]:
    from messenger.bootstrap import schema_status

    status = await schema_status(settings)
    kind = "the configured PostgreSQL" if settings.database.address() else "the embedded PostgreSQL"
    reached = ok("database", f"{kind} answers")
    if status.current == status.head:
        return [reached, ok("schema", f"{status.head} is up to date")]
    words = f"{status.current or 'empty'}, this program needs {status.head}: stellwerk migrate up"
    return [reached, fail("schema", words)]
