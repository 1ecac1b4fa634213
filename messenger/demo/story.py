"""The story: a customer writes, a team answers, and at the end everybody's screen is printed. It goes through the
public client-server API with encryption, as people do, so it is an end-to-end test of a running installation."""

import re
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from messenger.demo.actor import Actor, Seen, StoryBroke
from messenger.demo.cast import ANNA
from messenger.demo.greeting import Installation
from messenger.demo.transcript import Screen, print_screens

GROUP = "Prescriptions"
NUMBER = re.compile(r"\bK-[2-9A-HJKMNP-Z]{4,}\b")
QUESTION = "Guten Tag, mein Rezept für das Blutdruckmittel ist abgelaufen. Bekomme ich ein neues?"
NOTE = "Dosis laut Praxis unverändert, Rückruf nicht nötig"
ANSWER = "Guten Tag Frau Krüger, ja: das neue Rezept hängt an, Sie können es in jeder Apotheke einlösen."
RECEIPT = b"%PDF-1.4\n% A prescription, invented for the demonstration.\n%%EOF\n"


@dataclass(slots=True)
class Stage:
    """What the acts share. `card` and `number` are known once the team has seen the card."""

    console: Console
    desk: str
    anna: Actor
    jonas: Actor
    old: frozenset[str]
    chat: str = ""
    card: Seen | None = None
    number: str = ""

    @property
    def thread(self) -> str:
        if self.card is None:
            raise StoryBroke("there is no card yet")
        return self.card.event_id

    @property
    def room(self) -> str:
        return self.card.room_id if self.card else ""


async def play(installation: Installation, console: Console) -> bool:
    """True if all happened as it should. The customer is a new account each time, so that the story can be repeated."""
    console.print("\n[bold]The story[/]")
    stage = await _enter(installation, console)
    held = True
    try:
        await _acts(stage)
    except StoryBroke as broke:
        held = False
        console.print(f"[bold red]✗[/] {broke}")
    finally:
        _show(stage)
        await stage.anna.leave()
        await stage.jonas.leave()
    console.print("\n[green]The story held.[/]" if held else "\n[bold red]The story broke.[/]")
    return held


async def _enter(installation: Installation, console: Console) -> Stage:
    url, passwords = installation.url, installation.passwords
    agent = next(person for person in installation.people if GROUP in person.groups)
    jonas = await Actor.enter(url, installation.address(agent), passwords[agent.user], agent.name)
    account = await installation.homeserver.register(f"{ANNA[0]}-{secrets.token_hex(3)}", displayname=ANNA[1])
    anna = await Actor.enter(url, account.user_id, account.password, ANNA[1])
    await jonas.until(lambda: jonas.is_in(GROUP), what=f"the invitation to {GROUP}")
    old = frozenset(seen.event_id for seen in jonas.seen)
    return Stage(console=console, desk=installation.desk, anna=anna, jonas=jonas, old=old)


async def _acts(stage: Stage) -> None:
    await _customer_writes(stage)
    await _card_appears(stage)
    await _customer_sends_a_photo(stage)
    await _agent_claims(stage)
    await _agent_writes_a_note(stage)
    await _agent_answers(stage)
    await _agent_sends_a_file(stage)
    await _note_stayed_inside(stage)


async def _customer_writes(stage: Stage) -> None:
    anna, desk = stage.anna, stage.desk
    with _act(stage, f"{anna.name} opens an encrypted chat with the desk and is greeted"):
        stage.chat = await anna.open_chat(desk)
        await anna.until(lambda: next(anna.messages(stage.chat, sender=desk), None), what="a greeting")
    with _act(stage, "She writes in German"):
        await anna.say(stage.chat, QUESTION)


async def _card_appears(stage: Stage) -> None:
    jonas = stage.jonas

    def card() -> Seen | None:
        cards = jonas.messages(thread="", sender=stage.desk)
        return next((seen for seen in cards if NUMBER.search(seen.text) and seen.event_id not in stage.old), None)

    with _act(stage, f"A card appears in the room of {GROUP}; her words stand in its thread"):
        stage.card = await jonas.until(card, what="the card")
        stage.number = NUMBER.findall(stage.card.text)[0]
        name = jonas.client.rooms[stage.room].display_name
        _expect(GROUP in name, f"the card is in the room of {GROUP}, not in {name}")
        _expect(jonas.client.rooms[stage.room].encrypted, "the group's room is encrypted")
        await _in_thread(stage, QUESTION)


async def _customer_sends_a_photo(stage: Stage) -> None:
    photo, jonas = _photo(), stage.jonas
    with _act(stage, "She attaches a photo; the team sees the same bytes"):
        await stage.anna.send_file(stage.chat, photo, name="packung.png", mimetype="image/png")
        seen = await jonas.until(
            lambda: next((m for m in jonas.messages(stage.room, thread=stage.thread) if m.kind == "image"), None),
            what="the photo",
        )
        _expect(await jonas.download(seen) == photo, "the photo arrives unchanged")


async def _agent_claims(stage: Stage) -> None:
    jonas = stage.jonas
    with _act(stage, f"{jonas.name} claims it with 👀; the card says so"):
        await jonas.react(stage.room, stage.thread, "👀")
        await jonas.until(
            lambda: next((edit for edit in jonas.edits_of(stage.thread) if jonas.name in edit.text), None),
            what="the card with the owner's name",
        )


async def _agent_writes_a_note(stage: Stage) -> None:
    with _act(stage, "The agent writes a note; it is marked 🔒"):
        note = await stage.jonas.say(stage.room, f"// {NOTE}", thread=stage.thread)
        await _marked(stage, note, "🔒")


async def _agent_answers(stage: Stage) -> None:
    anna = stage.anna
    with _act(stage, f"The agent answers; {anna.name} reads it, and it is marked ✅"):
        answer = await stage.jonas.say(stage.room, ANSWER, thread=stage.thread)
        await anna.until(
            lambda: next((m for m in anna.messages(stage.chat, sender=stage.desk) if ANSWER in m.text), None),
            what="the answer",
        )
        await _marked(stage, answer, "✅")


async def _agent_sends_a_file(stage: Stage) -> None:
    anna, jonas = stage.anna, stage.jonas
    with _act(stage, "The agent sends a file; she can open it, and it is marked ✅"):
        file = await jonas.send_file(
            stage.room, RECEIPT, name="rezept.pdf", mimetype="application/pdf", thread=stage.thread
        )
        seen = await anna.until(
            lambda: next((m for m in anna.messages(stage.chat, sender=stage.desk) if m.kind == "file"), None),
            what="the file",
        )
        _expect(await anna.download(seen) == RECEIPT, "the file arrives unchanged")
        await _marked(stage, file, "✅")


async def _note_stayed_inside(stage: Stage) -> None:
    """The file came after the note on the same way, so the note would be here by now."""
    with _act(stage, f"{stage.anna.name} has not seen the note"):
        _expect(not any(NOTE in seen.text for seen in stage.anna.seen), "the note stays inside")
        _expect(all(seen.room_id == stage.chat for seen in stage.anna.seen), "she sees no room but her own")
        _expect(stage.anna.unreadable == 0, "she can read every message")


async def _in_thread(stage: Stage, text: str) -> Seen:
    jonas = stage.jonas
    return await jonas.until(
        lambda: next((m for m in jonas.messages(stage.room, thread=stage.thread) if text in m.text), None),
        what=f"“{text[:20]}…” in the thread",
    )


async def _marked(stage: Stage, event_id: str, *marks: str) -> None:
    jonas = stage.jonas
    await jonas.until(
        lambda: next((r for r in jonas.reactions_on(event_id) if r.text.rstrip("\ufe0f") in marks), None),
        what=f"the mark {' or '.join(marks)}",
    )


@contextmanager
def _act(stage: Stage, text: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    stage.console.print(f"[green]✓[/] {text}  [dim]{time.monotonic() - started:.1f} s[/]", soft_wrap=True)


def _expect(held: bool, what: str) -> None:
    if not held:
        raise StoryBroke(f"expected: {what}")


def _show(stage: Stage) -> None:
    team = [seen for seen in stage.jonas.seen if stage.card is not None and stage.thread in _related(seen)]
    marked = [seen for seen in stage.jonas.seen if seen.on in {own.event_id for own in team} and seen not in team]
    names = {stage.desk: "Desk", stage.anna.user_id: stage.anna.name, stage.jonas.user_id: stage.jonas.name}
    customer = Screen(title=f"{stage.anna.name} sees (her own chat)", seen=stage.anna.seen)
    staff = Screen(title=f"The team sees ({GROUP}, thread {stage.number or '-'})", seen=team + marked)
    print_screens(stage.console, customer, staff, names=names)


def _related(seen: Seen) -> tuple[str, ...]:
    return seen.event_id, seen.thread, seen.replaces, seen.on


def _photo(size: int = 64) -> bytes:
    """A small picture (PNG, RFC 2083): a colour gradient."""
    rows = b"".join(b"\0" + bytes(v for x in range(size) for v in (4 * x, 4 * y, 160)) for y in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
