"""Checks of the database: does it answer, has it the schema of this program, is there a backup of it."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from messenger.cli.doctor.finding import Finding, fail, ok, warn
from messenger.cli.output import cell, counted
from messenger.config import Settings
from messenger.observability.time import utc_now

if TYPE_CHECKING:
    from messenger.bootstrap import SchemaStatus

# Once a day, and two hours for a backup that takes its time.
BACKUP_IS_OLD = timedelta(hours=26)


async def database(settings: Settings) -> Sequence[Finding]:
    from messenger.bootstrap import schema_status

    status = await schema_status(settings)
    is_embedded = not settings.database.address()
    kind = "the embedded PostgreSQL" if is_embedded else "the configured PostgreSQL"
    reached = ok("database", f"{kind} answers")
    return [reached, *([_key_database(settings)] if status.fits else []), _schema(status, is_embedded)]


def _schema(status: "SchemaStatus", is_embedded: bool) -> Finding:
    found = f"{status.current or 'empty'} and {status.keys_current or 'empty'}"
    needed = f"{status.head} and {status.keys_head}"
    match status.fits, status.is_newer:
        case True, False:
            return ok("schema", f"{needed} are up to date")
        case True, True:
            return warn("schema", f"{found} are newer than this program ({needed}), which can serve on them: update it")
        case False, True:
            return fail("schema", f"{found} are too new for this program ({needed}): install the newer version")
        case _ if is_embedded:
            return ok("schema", f"{found}: whatever uses the embedded PostgreSQL next brings it to {needed}")
        case _:
            return fail("schema", f"{found}, this program needs {needed}: stellwerk migrate up")


def _key_database(settings: Settings) -> Finding:
    if settings.key_database.address():
        return ok("key database", "answers. Its backups must be its own, and none older than 30 days")
    words = "is embedded beside the main database and shares its files and backups: what is erased stays in old copies"
    return warn("key database", f"{words}. Fine to try things out; else set key_database.url")


async def backup(settings: Settings) -> Sequence[Finding]:
    from messenger.bootstrap import last_backup

    last = await last_backup(settings)
    if last is None:
        return [warn("backup", "there has never been one. Daily: stellwerk backup DIR")]
    age, when = utc_now() - last.made_at, f"the last one is of {cell(last.made_at)}"
    if age > BACKUP_IS_OLD:
        return [warn("backup", f"{when}, {age / timedelta(hours=1):.0f} hours ago. Make one now: stellwerk backup DIR")]
    return [ok("backup", when)]


async def rooms(settings: Settings) -> Sequence[Finding]:
    from messenger.bootstrap import open_admin

    async with open_admin(settings) as admin:
        lost, waiting = await admin.groups_without_desk(), await admin.unfollowed_rooms()
    found = [
        fail("rooms", f"the desk is not in the room of {name}: what is to be said there waits. Invite it again")
        for name in lost
    ]
    if waiting:
        many = counted(len(waiting), "was replaced by another", "were replaced by others")
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(Counter(waiting).items()))
        found.append(warn("rooms", f"{many} where something is missing: {codes}"))
    return found or [ok("rooms", "the desk is in the rooms of all groups")]


async def groups(settings: Settings) -> Sequence[Finding]:
    """Whoever writes to a group without people waits there for nobody."""
    from messenger.bootstrap import open_admin

    async with open_admin(settings) as admin:
        known = await admin.groups()
    if not known:
        return [warn("groups", "there is none yet: stellwerk group add General --default")]
    empty = ", ".join(group.name for group in known if not group.members)
    if empty:
        return [warn("groups", f"nobody is in {empty}: stellwerk group member add GROUP @name:server --role agent")]
    return [ok("groups", "each has people")]


async def dead_letters(settings: Settings) -> Sequence[Finding]:
    from messenger.bootstrap import open_admin

    async with open_admin(settings) as admin:
        count = await admin.undecided_dead_letters()
    if not count:
        return [ok("dead letters", "none waits for a decision")]
    wait = counted(count, "waits", "wait")
    return [warn("dead letters", f"{wait} for a decision: stellwerk deadletter list, then retry or drop")]


async def floods(settings: Settings) -> Sequence[Finding]:
    from messenger.bootstrap import open_admin

    async with open_admin(settings) as admin:
        held = await admin.open_floods()
    if not held.floods:
        return [ok("floods", "nothing is held back")]
    wait = counted(held.floods, "waits", "wait")
    back = counted(held.messages, "message is", "messages are")
    words = f"{wait} for a decision, {back} held back: stellwerk flood list, then admit or drop"
    return [warn("floods", words)]
