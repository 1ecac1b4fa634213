"""The story: a customer writes, a team answers, waits a week and goes on, and at the end everybody's screen is printed.
It goes through the public client-server API with encryption, as people do, so it is an end-to-end test of a running
installation. Only the week that passes is not real: see `time_machine`."""

import secrets

from rich.console import Console

from messenger.config import Settings
from messenger.demo.a_week_later import play_a_week_later
from messenger.demo.actor import Actor, Seen, StoryBroke
from messenger.demo.cast import ANNA, BACK_OFFICE, Person
from messenger.demo.first_day import GROUP, play_first_day
from messenger.demo.greeting import Installation, command
from messenger.demo.stage import Stage
from messenger.demo.transcript import Screen, print_screens


async def play(installation: Installation, console: Console) -> bool:
    """True if all happened as it should. The customer is a new account each time, so that the story can be repeated."""
    console.print("\n[bold]The story[/]")
    stage = await _enter(installation, console)
    held = True
    try:
        await play_first_day(stage)
        await play_a_week_later(stage)
    except StoryBroke as broke:
        held = False
        console.print(f"[bold red]✗[/] {broke}")
    finally:
        _show(stage)
        for actor in (stage.anna, stage.leonie, stage.ruth):
            if actor is not None:
                await actor.leave()
    console.print("\n[green]The story held.[/]" if held else "\n[bold red]The story broke.[/]")
    return held


async def _enter(installation: Installation, console: Console) -> Stage:
    leonie = await _member(
        installation, next(p for p in installation.people if p.kind == "agent" and GROUP in p.groups)
    )
    account = await installation.homeserver.register(f"{ANNA[0]}-{secrets.token_hex(3)}", displayname=ANNA[1])
    anna = await Actor.enter(installation.url, account.user_id, account.password, ANNA[1])

    async def enter_ruth() -> Actor:
        ruth = next((person for person in installation.people if person.user == BACK_OFFICE.user), None)
        if ruth is None:
            raise StoryBroke(f"these data are of an earlier version: `{command('--reset')}` starts afresh")
        return await _member(installation, ruth)

    return Stage(
        console=console,
        settings=Settings.load(installation.folder.settings_file),
        desk=installation.desk,
        anna=anna,
        leonie=leonie,
        old=frozenset(seen.event_id for seen in leonie.seen),
        enter_ruth=enter_ruth,
    )


async def _member(installation: Installation, person: Person) -> Actor:
    """Somebody of the group, once they are in its room."""
    password = installation.passwords[person.user]
    actor = await Actor.enter(installation.url, installation.address(person), password, person.name)
    await actor.until(lambda: actor.is_in(GROUP), what=f"the invitation to {GROUP}")
    return actor


def _show(stage: Stage) -> None:
    cards = {card.event_id for card in stage.cards}
    team = {seen.event_id for seen in stage.leonie.seen if cards.intersection(_related(seen))}
    shown = [seen for seen in stage.leonie.seen if team.intersection(_related(seen))]
    names = {actor.user_id: actor.name for actor in (stage.anna, stage.leonie, stage.ruth) if actor is not None}
    customer = Screen(title=f"{stage.anna.name} sees (her own chat)", seen=stage.anna.seen)
    staff = Screen(title=f"The team sees ({GROUP}, {stage.number or '-'})", seen=shown)
    print_screens(stage.console, customer, staff, names={stage.desk: "Desk", **names}, leaps=stage.leaps)


def _related(seen: Seen) -> tuple[str, ...]:
    return seen.event_id, seen.thread, seen.replaces, seen.on
