"""The story's first day: Anna writes, is routed, gets an answer, and has to wait for the hospital."""

import re
import struct
import zlib

from messenger.demo.actor import Seen
from messenger.demo.stage import Stage, expect

GROUP = "Prescriptions"
NUMBER = re.compile(r"\bK-[2-9A-HJKMNP-Z]{4,}\b")
QUESTION = "Guten Tag, mein Rezept für das Blutdruckmittel ist abgelaufen. Bekomme ich ein neues?"
NOTE = "Dosis laut Praxis unverändert; der Arztbrief des Krankenhauses fehlt noch"
SLIP = "Guten Tag Herr Krüger, für das Rezept warten wir noch auf den Arztbrief des Krankenhauses."
ANSWER = SLIP.replace("Herr", "Frau")
REASON = "Arztbrief vom Krankenhaus"
PAUSE = f"!pausieren in 6 Tagen {REASON}"


async def play_first_day(stage: Stage) -> None:
    await _customer_writes(stage)
    await _card_appears(stage)
    await _customer_sends_a_photo(stage)
    await _agent_claims(stage)
    await _agent_writes_a_note(stage)
    await _agent_corrects_an_answer(stage)
    await _agent_pauses(stage)


async def _customer_writes(stage: Stage) -> None:
    anna, desk = stage.anna, stage.desk
    with stage.act(f"{anna.name} opens an encrypted chat with the desk and is greeted"):
        stage.chat = await anna.open_chat(desk)
        await anna.until(lambda: next(anna.messages(stage.chat, sender=desk), None), what="a greeting")
    with stage.act("She writes in German"):
        await anna.say(stage.chat, QUESTION)


async def _card_appears(stage: Stage) -> None:
    leonie = stage.leonie

    def card() -> Seen | None:
        posted = leonie.messages(thread="", sender=stage.desk)
        return next((seen for seen in posted if number_of(seen.text) and seen.event_id not in stage.old), None)

    with stage.act(f"It is routed by its words: a card in the room of {GROUP}, her message in its thread"):
        stage.cards.append(await leonie.until(card, what="the card"))
        stage.number = number_of(stage.cards[0].text)
        room = leonie.client.rooms[stage.room]
        expect(GROUP in (room.display_name or ""), f"the card is in the room of {GROUP}, not in {room.display_name}")
        expect(room.encrypted, "the group's room is encrypted")
        await stage.read(leonie, QUESTION)


async def _customer_sends_a_photo(stage: Stage) -> None:
    photo, leonie = picture(), stage.leonie
    with stage.act("She attaches a photo; the team sees the same bytes"):
        await stage.anna.send_file(stage.chat, photo, name="packung.png", mimetype="image/png")
        seen = await leonie.until(
            lambda: next((m for m in leonie.messages(stage.room, thread=stage.thread) if m.kind == "image"), None),
            what="the photo",
        )
        expect(await leonie.download(seen) == photo, "the photo arrives unchanged")


async def _agent_claims(stage: Stage) -> None:
    leonie = stage.leonie
    with stage.act(f"{leonie.name} claims it with 👀; the card says so, and so does a line to the customer"):
        await leonie.react(stage.room, stage.thread, "👀")
        await stage.card_says(leonie, stage.thread, leonie.name)
        await stage.received(leonie.name.split()[0])


async def _agent_writes_a_note(stage: Stage) -> None:
    with stage.act("She writes a note; it is marked 🔒"):
        await stage.marked(stage.leonie, await stage.say(stage.leonie, f"// {NOTE}"), "🔒")


async def _agent_corrects_an_answer(stage: Stage) -> None:
    """Within the hold window: the customer gets one message, and only the right one."""
    anna, leonie = stage.anna, stage.leonie
    with stage.act("She answers with a slip and edits it while it waits: 📨, then ✅; only the right words arrive"):
        answer = await stage.say(leonie, SLIP)
        await stage.marked(leonie, answer, "📨")
        await leonie.edit(stage.room, answer, ANSWER)
        await stage.received(ANSWER)
        await stage.marked(leonie, answer, "✅")
        expect(not any(SLIP in seen.text for seen in anna.seen), "the customer never sees the slip")


async def _agent_pauses(stage: Stage) -> None:
    leonie = stage.leonie
    with stage.act(f"She pauses it for six days, or until the customer writes: {PAUSE}"):
        before = len(leonie.seen)
        order = await stage.say(leonie, PAUSE)
        await stage.read(leonie, REASON, leonie.name, after=before)
        await stage.marked(leonie, order, "⚙")
        await stage.card_says(leonie, stage.thread, REASON)
        expect(await stage.state() == "paused", "the conversation rests")


def number_of(text: str) -> str:
    """Of a card, which has it in its first line; "" for anything else, also for a board, which lists numbers below."""
    found = NUMBER.search(text.partition("\n")[0])
    return found[0] if found else ""


def picture(size: int = 64) -> bytes:
    """A small one (PNG, RFC 2083): a colour gradient."""
    rows = b"".join(b"\0" + bytes(v for x in range(size) for v in (4 * x, 4 * y, 160)) for y in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
