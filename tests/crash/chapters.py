"""What is said in a conversation, with a kill at each step: answers corrected, taken back or left for later, reactions,
a pause and its end. Every chapter begins and ends with the program down."""

from datetime import timedelta

from tests.crash.walk import HOLD_S, SLOWNESS, Walk


async def pause_and_wake(walk: Walk) -> None:
    await walk.note()
    await walk.say("!pause 2h the hospital calls")
    await walk.dies("ConversationPaused")
    await walk.runs()
    await walk.house.database_may_crash()
    await walk.becomes("paused")
    await walk.house.drain()
    await walk.stops()
    await walk.later(timedelta(hours=2))
    await walk.dies("timer_heard")
    if walk.is_healthy:
        await walk.dies("timer_removed", "ConversationResumed", "pack_posted")
    await walk.runs()
    await walk.wakes()
    assert await walk.times_said("is back") == 1
    await walk.stops()


async def taken_back(walk: Walk) -> None:
    before = len(await walk.by_desk(walk.matter.customer, walk.matter.chat))
    wrong = await walk.says_when_read("this was for somebody else")
    await walk.ben.redact(walk.room, wrong)
    if walk.is_healthy:
        await walk.dies("answer_cancelled")
    await walk.runs()
    await walk.has_noted("ReplyCancelled" if walk.is_healthy else "ReplyRecalled")
    await walk.stops()
    await walk.later(SLOWNESS + timedelta(seconds=HOLD_S))
    await walk.settles()
    after = len(await walk.by_desk(walk.matter.customer, walk.matter.chat))
    assert after == before, "taken back, and sent"


async def corrected(walk: Walk) -> None:
    """In the window what leaves is the correction; later the correction follows."""
    first = await walk.says_when_read("tomorow")
    await walk.ben.edit(walk.room, first, "tomorrow")
    await walk.dies("ReplyEdited")
    await walk.runs()
    await walk.has_noted("ReplyEdited")
    await walk.stops()
    await walk.later(SLOWNESS + timedelta(seconds=HOLD_S))
    await walk.settles()
    assert [body for body in await walk.customer_has() if "tomor" in body] == ["Agent: tomorrow"]
    await walk.ben.edit(walk.room, first, "tomorrow at nine")
    await walk.comes_through("edited_at_customer")
    assert [body for body in await walk.customer_has() if "nine" in body] == ["Agent: tomorrow at nine"], "once"
    await walk.ben.redact(walk.room, first)
    await walk.comes_through("deleted_at_customer")
    assert not any("tomor" in body for body in await walk.customer_has())


async def said_later(walk: Walk) -> None:
    await walk.say("!later 2h the report is there")
    await walk.comes_through("ReplyScheduled")
    assert not any("report" in body for body in await walk.customer_has()), "before its time"
    await walk.later(timedelta(hours=2))
    await walk.comes_through("timer_heard", "ReplyAccepted")
    assert sum("the report is there" in body for body in await walk.customer_has()) == 1


async def reacted(walk: Walk) -> None:
    shown = next(each for each in await walk.by_desk(walk.ben, walk.room) if each.body.endswith(": c1-0000"))
    liked = await walk.ben.react(walk.room, shown.event_id, "❤️")
    await walk.comes_through("reaction_set")
    assert await _hearts(walk) == 1
    await walk.ben.redact(walk.room, liked)
    await walk.comes_through("reaction_removed")
    assert await _hearts(walk) == 0


async def _hearts(walk: Walk) -> int:
    standing = await walk.matter.customer.standing_reactions(walk.matter.chat)
    return sum(each.sender == walk.house.office.desk for each in standing)
