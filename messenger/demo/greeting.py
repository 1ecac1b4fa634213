"""What the demonstration tells when it stands: addresses, logins, and what to try first."""

import os
from dataclasses import dataclass

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from messenger.demo.cast import Person
from messenger.demo.folder import DemoFolder
from messenger.demo.synapse import Synapse


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A demonstration that runs."""

    folder: DemoFolder
    homeserver: Synapse
    people: tuple[Person, ...]
    passwords: dict[str, str]
    desk: str
    fingerprint: str

    def address(self, person: Person) -> str:
        return f"@{person.user}:{self.homeserver.server_name}"

    @property
    def url(self) -> str:
        return self.homeserver.url


TRY = """\
1. Open Element (or any Matrix client with encryption), choose "Sign in", and as homeserver {url}
2. Sign in as the agent {agent}. Accept the invitations to the group rooms.
3. In another window (a private one, or another client) sign in as the customer {customer}.
   Start a chat with {desk} and write something, for example "{text}".
4. The agent sees a card in {group}: react with 👀, then answer in its thread.
   What starts with // stays inside. The marks: 🔒 stays inside, 📨 on its way, ✅ delivered.
5. Write in the thread: !pause tomorrow 9 waiting for the report · !transfer Claims · !resolve · !help
   In your own language, too: !pausieren morgen 9 Uhr, !暂停 明天9点. In Claims an answer needs !r or 📤.
6. {more}"""
MORE = "Without a graphical client: end this, then `{command}` plays a conversation and prints what each side saw."


def describe(console: Console, installation: Installation, *, seconds: float, is_first: bool) -> None:
    agent = next(person for person in installation.people if person.kind == "agent")
    customer = next(person for person in installation.people if person.kind == "customer")
    console.print()
    console.print(Panel("DEMONSTRATION: do not use with real data", style="bold red", expand=False))
    console.print(f"Ready in {seconds:.1f} s ({'first start' if is_first else 'same data as before'}).\n")
    console.print(f"Homeserver   {installation.url}")
    console.print(f"Desk         {installation.desk}   (the address that customers write to)")
    console.print(f"Fingerprint  {installation.fingerprint}\n")
    console.print(_logins(installation))
    console.print("\n[bold]Try it[/]")
    text = "Guten Tag, ich brauche ein neues Rezept."
    words = TRY.format(url=installation.url, agent=agent.user, customer=customer.user, desk=installation.desk,
                       text=text, group="Prescriptions", more=MORE.format(command=command("--story")))  # fmt: skip
    console.print(words, markup=False, soft_wrap=True)
    folder = installation.folder
    console.print(f"\nData         {folder.path}", soft_wrap=True)
    console.print(f"Logs         {folder.stellwerk_log}\n             {installation.homeserver.log}", soft_wrap=True)
    words = f"Ctrl-C ends it. `{command()}` continues, `{command('--reset')}` starts afresh."
    console.print(words, soft_wrap=True)


def command(option: str = "") -> str:
    """What to type for another start: as it was typed for this one, which the person has on their screen."""
    if "MAKELEVEL" in os.environ:
        return f"make demo ARGS={option}" if option else "make demo"
    return f"stellwerk demo {option}".strip()


def _logins(installation: Installation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("user name", "password"):
        table.add_column(heading, no_wrap=True, overflow="ignore")  # to be copied
    for heading in ("who", "language", "groups"):
        table.add_column(heading)
    for person in installation.people:
        who = f"{person.name} ({person.task or person.kind})"
        password = installation.passwords[person.user]
        table.add_row(person.user, password, who, person.language, ", ".join(person.groups))
    return table
