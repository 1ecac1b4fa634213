"""The demonstration: a whole installation on this machine. Database, homeserver and Stellwerk are child processes that
end with us; their data stay, and the next start continues with them."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from messenger import bootstrap
from messenger.config import Settings
from messenger.demo.cast import DESK, GROUPS, Group, Person
from messenger.demo.child import Child
from messenger.demo.folder import DemoFolder, open_folder, people_of
from messenger.demo.greeting import Installation, command, describe
from messenger.demo.steps import Steps, age_of_process
from messenger.demo.story import play
from messenger.demo.synapse import Synapse

STEPS = PROGRAM, HOMESERVER, DATABASE, ACCOUNTS, TEAMS, SERVICE = (
    "Program", "Homeserver (Synapse)", "Database (PostgreSQL)", "Accounts", "Groups and agents", "Stellwerk",
)  # fmt: skip
START_TIMEOUT_S = 120
PRINTED_WIDTH = 110
# Nobody guesses 72 random bits: the usual 12 rounds are a quarter of a second of work for each password, for nothing.
PASSWORDS = {"bcrypt_rounds": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    folder: Path
    reset: bool = False
    story: bool = False
    seed: int = 7


async def run_demo(options: Options) -> int:
    """Returns the exit code: 0 when the user ended it or the whole story held, 1 otherwise."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PRINTED_WIDTH
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _cancel_once, task)
    try:
        return await _run(options, console)
    except asyncio.CancelledError:
        console.print(f"\nEnded. The data stay in {options.folder.absolute()}; `{command()}` continues with them.",
                      soft_wrap=True)  # fmt: skip
        return 1 if options.story else 0


def _cancel_once(task: asyncio.Task[Any]) -> None:
    """A second Ctrl-C must not cut short how the children are ended."""
    if not task.cancelling():
        task.cancel()


async def _run(options: Options, console: Console) -> int:
    loaded_s = age_of_process()
    folder, steps = open_folder(options.folder), Steps(console, STEPS, since_s=loaded_s)
    steps.was(PROGRAM, loaded_s)  # at a first start of all Python compiles it
    try:
        if options.reset:
            await _reset(folder)
        async with AsyncExitStack() as running:
            with steps.showing():
                installation, service = await _start(folder, options.seed, steps, running)
            describe(console, installation, seconds=steps.seconds, is_first=folder.is_new)
            folder.mark_started()
            if options.story:
                return 0 if await play(installation, console) else 1
            code = await service.wait()
            console.print(f"[bold red]Stellwerk ended by itself ({code}).[/] Its log: {folder.stellwerk_log}")
            return 1
    finally:
        folder.unlock()


async def _reset(folder: DemoFolder) -> None:
    """A database server that a killed demonstration left behind is taken over and stopped before its files go."""
    if folder.settings_file.exists():
        async with bootstrap.embedded_database(Settings.load(folder.settings_file)):
            pass
    folder.empty()


async def _start(folder: DemoFolder, seed: int, steps: Steps, running: AsyncExitStack) -> tuple[Installation, Child]:
    """Brings everything up, in the order in which things need each other."""
    stored = folder.people(seed)
    people, passwords = people_of(stored), stored["passwords"]
    with steps.step(HOMESERVER):
        synapse = await running.enter_async_context(_homeserver(folder))
    settings = _settings(folder, synapse, passwords)
    with steps.step(DATABASE):
        await running.enter_async_context(bootstrap.embedded_database(settings))
        await bootstrap.migrate(settings, "head")
    with steps.step(ACCOUNTS):
        await _ensure_accounts(synapse, people, passwords)
    with steps.step(TEAMS):
        await _ensure_teams(settings, synapse, people)
    with steps.step(SERVICE):
        service = await running.enter_async_context(_service(folder))
    identity = await bootstrap.desk_identity(settings, settings.desk())
    fingerprint = identity.fingerprint if identity else ""
    installation = Installation(folder=folder, homeserver=synapse, people=people, passwords=passwords,
                                desk=settings.desk().user_id, fingerprint=fingerprint)  # fmt: skip
    return installation, service


@asynccontextmanager
async def _homeserver(folder: DemoFolder) -> AsyncIterator[Synapse]:
    synapse = Synapse(folder.path / "synapse", extra=PASSWORDS)
    try:
        await synapse.start()
        yield synapse
    finally:
        await synapse.stop()


@asynccontextmanager
async def _service(folder: DemoFolder) -> AsyncIterator[Child]:
    command = [sys.executable, "-m", "messenger.cli", "--config", str(folder.settings_file)]
    child = Child("Stellwerk", [*command, "serve", "--ready-file", str(folder.ready_file)], log=folder.stellwerk_log)

    async def is_ready() -> bool:
        return folder.ready_file.exists()

    folder.ready_file.unlink(missing_ok=True)
    child.start()
    try:
        await child.wait_healthy(is_ready, timeout_s=START_TIMEOUT_S)
        yield child
    finally:
        await child.stop()


def _settings(folder: DemoFolder, synapse: Synapse, passwords: dict[str, str]) -> Settings:
    desk = f"@{DESK}:{synapse.server_name}"
    folder.write_settings(homeserver=synapse.url, desk=desk, password=passwords[DESK])
    if not folder.root_key_file.exists():
        bootstrap.write_root_key(folder.root_key_file)
    return Settings.load(folder.settings_file)


async def _ensure_accounts(synapse: Synapse, people: tuple[Person, ...], passwords: dict[str, str]) -> None:
    for user, name in [(DESK, "Linden Health"), *((person.user, person.name) for person in people)]:
        if not await synapse.is_registered(user):
            await synapse.register(user, passwords[user], displayname=name)


async def _ensure_teams(settings: Settings, synapse: Synapse, people: tuple[Person, ...]) -> None:
    """Adds what is missing and changes nothing that is there: people may have reorganised the groups."""
    async with bootstrap.open_admin(settings) as admin:
        known = {group.name for group in await admin.groups()}
        for group in GROUPS:
            if group.name not in known:
                await _add_group(admin, group, [person for person in people if group.name in person.groups], synapse)


async def _add_group(admin: Any, group: Group, members: list[Person], synapse: Synapse) -> None:
    await admin.add_group(group.name, default=group.is_default, languages=group.languages, keywords=group.keywords,
                          reply_mode=group.reply_mode, device_policy="any")  # fmt: skip
    staff = {agent.address for agent in await admin.agents()}
    for person in members:
        address = f"@{person.user}:{synapse.server_name}"
        if address not in staff:
            await admin.add_agent(address, person.name, person.language)
        await admin.add_member(group.name, address, person.kind)
