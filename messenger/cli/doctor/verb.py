"""The verb: gathers the checks that the settings allow, runs them and prints one line each."""

from collections import Counter
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from messenger.cli import output
from messenger.cli.doctor import account, database, homeserver, local, scanner
from messenger.cli.doctor.finding import Check, Finding, fail, ok, run_checks
from messenger.cli.options import AsJson
from messenger.cli.state import State, run, state_of
from messenger.config import ConfigError, Settings

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
# The embedded database may have to start for these.
SLOW_TIMEOUT_S = 45.0


def doctor(
    ctx: typer.Context,
    measure: Annotated[bool, typer.Option("--measure", help="Also tries out the homeserver's rate limit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Checks the installation and says what to do. Exit code 1 if something must be repaired."""
    findings = run(examine(state_of(ctx), measure=measure))
    if as_json:
        output.say(output.dump(output.plain(findings)))
    else:
        _print(findings)
    raise typer.Exit(1 if any(finding.level == "fail" for finding in findings) else 0)


async def examine(state: State, *, measure: bool = False) -> list[Finding]:
    """Broken settings are a finding too; what can be checked without them is checked."""
    try:
        settings = Settings.load(state.config, overrides=state.overrides)
    except ConfigError as error:
        broken = [fail("settings", line) for line in str(error).splitlines()]
        return broken + await run_checks({"libraries": local.libraries})
    findings = [ok("settings", str(settings.file)), *(Finding(level="warn", check="settings", words=words)
                                                      for words in settings.warnings)]  # fmt: skip
    for checks in (_checks_here(settings), _checks_elsewhere(settings, measure)):
        findings += await run_checks(checks, timeout_s=SLOW_TIMEOUT_S)
    return findings


def _checks_here(settings: Settings) -> dict[str, Check]:
    """Before the others, which use the database: the first look at an embedded one makes it."""
    return {
        "libraries": local.libraries,
        "root key": partial(local.root_key, settings),
        "secrets": partial(local.secrets, settings),
        "erasure ledger": partial(local.erasure_ledger, settings),
        "audit checkpoints": partial(local.checkpoints, settings),
        "disk": partial(local.disk, settings),
        "recovery key": partial(local.recovery_keys, settings),
        "database": partial(database.database, settings),
        "backup": partial(database.backup, settings),
        "rooms": partial(database.rooms, settings),
        "groups": partial(database.groups, settings),
        "dead letters": partial(database.dead_letters, settings),
        "floods": partial(database.floods, settings),
    }


def _checks_elsewhere(settings: Settings, measure: bool) -> dict[str, Check]:
    checks: dict[str, Check] = {
        "homeserver": partial(homeserver.homeserver, settings.matrix.homeserver),
        "scanner": partial(scanner.scanner, settings),
    }
    limit = account.measured_limit if measure else account.rate_limit
    for desk in settings.matrix.desks[:1] if settings.audit.room else []:
        checks["checkpoint room"] = partial(account.checkpoint_room, settings, desk)
    for desk in settings.matrix.desks:
        checks[desk.user_id] = partial(account.identity, settings, desk)
        checks[f"{desk.user_id}: rate limit"] = partial(limit, settings, desk)
    return checks


def _print(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True)
    for finding in findings:
        line = Text(f"{finding.level:<4}  ", style=STYLES[finding.level])
        console.print(line + Text(f"{finding.check}: ", style="bold") + Text(finding.words))
    count = Counter(finding.level for finding in findings)
    console.print(f"\n{count['ok']} in order, {count['warn']} to look at, {count['fail']} to repair", highlight=False)
