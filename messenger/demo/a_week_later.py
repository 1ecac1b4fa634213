"""The story's second part: the pause ends by itself, a colleague who was not there goes on, and Anna writes again."""

from datetime import timedelta

from messenger.demo.actor import Seen
from messenger.demo.cast import BACK_OFFICE
from messenger.demo.first_day import NOTE, QUESTION, REASON, number_of
from messenger.demo.stage import Stage, expect

WEEK = timedelta(days=7)
COMMENT = "Arztbrief liegt vor, bitte Rezept ausstellen"
NEWS = "Guten Tag Frau Krüger, der Arztbrief ist da. Ihr neues Rezept hängt an."
RECEIPT = b"%PDF-1.4\n% A prescription, invented for the demonstration.\n%%EOF\n"
THANKS = "Vielen Dank! Gilt es auch in der Apotheke am Bahnhof?"
DONE = "!erledigt Rezept ausgestellt"


async def play_a_week_later(stage: Stage) -> None:
    await _colleague_comes(stage)
    await _pause_ends(stage)
    await _agent_hands_over(stage)
    await _colleague_answers_with_a_file(stage)
    await _colleague_resolves(stage)
    await _customer_writes_again(stage)
    await _notes_stayed_inside(stage)


async def _colleague_comes(stage: Stage) -> None:
    """With a device that has no key of anything said so far: the pack is all there is."""
    with stage.act(f"{BACK_OFFICE.name} of the back office signs in; she has read nothing of this"):
        stage.ruth = ruth = await stage.enter_ruth()
        expect(not any(text in seen.text for seen in ruth.seen for text in (QUESTION, NOTE)), "she was not there")


async def _pause_ends(stage: Stage) -> None:
    leonie, before = stage.leonie, len(stage.leonie.seen)
    with stage.act("A week passes (the demonstration makes everything recorded a week older)"):
        await stage.pass_time(WEEK, "a week passes")
    with stage.act("The pause ends by itself, once: a fresh card, and a pack with what happened in its thread"):
        stage.cards.append(await leonie.until(lambda: _fresh_card(stage, before), what="a fresh card"))
        await stage.read(leonie, QUESTION, REASON)
        await stage.card_says(leonie, stage.cards[0].event_id, stage.thread[1:])  # where it goes on
        expect(await stage.times("ConversationResumed") == 1, "the pause ended once")


def _fresh_card(stage: Stage, before: int) -> Seen | None:
    news = {seen.event_id for seen in stage.leonie.seen[before:]}
    cards = stage.leonie.messages(stage.room, thread="", sender=stage.desk)
    return next((seen for seen in cards if number_of(seen.text) == stage.number and seen.event_id in news), None)


async def _agent_hands_over(stage: Stage) -> None:
    leonie, ruth = stage.leonie, stage.colleague
    with stage.act(f"{leonie.name} hands it to {ruth.name}, whom a second pack rings"):
        before = len(ruth.seen)
        await stage.say(leonie, f"!übergeben {ruth.user_id} {COMMENT}")
        pack = await stage.read(ruth, ruth.name, COMMENT, NOTE, after=before)
        expect(ruth.user_id in pack.content.get("m.mentions", {}).get("user_ids", []), "the pack mentions her")
        await stage.card_says(leonie, stage.thread, ruth.name)
        await stage.received(ruth.name.split()[0])


async def _colleague_answers_with_a_file(stage: Stage) -> None:
    anna, ruth = stage.anna, stage.colleague
    with stage.act("She answers, with the prescription; Anna can open it, and both are marked ✅"):
        answer = await stage.say(ruth, NEWS)
        file = await ruth.send_file(
            stage.room, RECEIPT, name="rezept.pdf", mimetype="application/pdf", thread=stage.thread
        )
        await stage.received(NEWS)
        seen = await anna.until(
            lambda: next((m for m in anna.messages(stage.chat, sender=stage.desk) if m.kind == "file"), None),
            what="the file",
        )
        expect(await anna.download(seen) == RECEIPT, "the file arrives unchanged")
        for event_id in (answer, file):
            await stage.marked(ruth, event_id, "✅")


async def _colleague_resolves(stage: Stage) -> None:
    ruth = stage.colleague
    with stage.act(f"She resolves it: {DONE}"):
        await stage.marked(ruth, await stage.say(ruth, DONE), "⚙")
        expect(await stage.state() == "resolved", "the conversation is resolved")


async def _customer_writes_again(stage: Stage) -> None:
    ruth = stage.colleague
    with stage.act(f"Anna writes again: it is open again, in the same thread, and {ruth.name} has it"):
        await stage.anna.say(stage.chat, THANKS)
        line = await stage.read(ruth, THANKS)
        expect(ruth.user_id in line.content.get("m.mentions", {}).get("user_ids", []), "her message mentions the owner")
        expect(await stage.state() == "open", "the conversation is open again")
        expect(await stage.times("ConversationOpened") == 1, "it is the same conversation")


async def _notes_stayed_inside(stage: Stage) -> None:
    """All of them were written before the last answer, on the same way, so they would be here by now."""
    with stage.act(f"{stage.anna.name} has seen one dialogue and no note"):
        inside = (NOTE, REASON, COMMENT, "!")
        said = [seen.text for seen in stage.anna.messages(stage.chat, sender=stage.desk)]
        expect(not any(text in line for line in said for text in inside), "notes and commands stay inside")
        expect(all(seen.room_id == stage.chat for seen in stage.anna.seen), "she sees no room but her own")
        expect(stage.anna.unreadable == 0, "she can read every message")
