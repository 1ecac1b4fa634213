"""Checks of the database: does it answer, has it the schema of this program, is there a backup of it."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from messenger.cli.doctor.finding import Finding, fail, ok, warn
from messenger.cli.output import cell, counted
from messenger.config import Settings
from messenger.observability.time import utc_now

if TYPE_CHECKING:
    from messenger.bootstrap import SchemaStatus

# Once a day, and two hours for a backup that takes its time. A continuous one says each minute that it lives.
BACKUP_IS_OLD, STREAM_IS_SILENT = timedelta(hours=26), timedelta(minutes=5)


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
    """Of both databases, by sets and by the stream. What the stream has needs no set."""
    from messenger.bootstrap import last_backups

    last = await last_backups(settings)
    stream = _stream(last.get("continuous"), is_embedded=not settings.database.address())
    main, keys = last.get("main"), last.get("keys")
    sets = [
        _set("backup", main, "stellwerk backup DIR"),
        _set("backup of the keys", keys, "stellwerk backup --keys DIR"),
    ]
    if main and keys and keys < main and sets[1].level == "ok":
        words = f"is of {cell(keys)}, before the last one of the main database: who came between could not be read"
        sets[1] = warn("backup of the keys", f"{words}. Make one now: stellwerk backup --keys DIR")
    if stream and stream[0].level == "ok" and "continuous" in last:
        sets = [finding for finding in sets if finding.level == "ok"]
    return [*sets, *stream]


def _set(check: str, made_at: datetime | None, verb: str) -> Finding:
    if made_at is None:
        return warn(check, f"there has never been one. Daily: {verb}")
    when = f"the last one is of {cell(made_at)}, {_ago(made_at)}"
    return warn(check, f"{when}. Make one now: {verb}") if _is_older(made_at, BACKUP_IS_OLD) else ok(check, when)


def _stream(alive_at: datetime | None, *, is_embedded: bool) -> Sequence[Finding]:
    check = "continuous backup"
    if alive_at is None:
        words = "there has never been one. A day could be lost; with stellwerk backup continuous DIR it is a second"
        return [ok(check, words)] if is_embedded else []
    if _is_older(alive_at, STREAM_IS_SILENT):
        words = f"stands still; its last sign of life is of {cell(alive_at)}, {_ago(alive_at)}"
        return [warn(check, f"{words}. Start it: stellwerk backup continuous DIR (wanted no more: --end)")]
    return [ok(check, f"runs; seen at {cell(alive_at)}, {_ago(alive_at)}")]


def _is_older(moment: datetime, age: timedelta) -> bool:
    return utc_now() - moment > age


def _ago(moment: datetime) -> str:
    age = utc_now() - moment
    for name, unit in (("days", timedelta(days=1)), ("hours", timedelta(hours=1)), ("minutes", timedelta(minutes=1))):
        if age >= 2 * unit:
            return f"{age / unit:.0f} {name} ago"
    return "just now"


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
