"""Where a conversation is and who has it, with a kill at each step: hand-over, a room of its own, colleagues who come
and go, end and new beginning, a menu and the router, a conversation that we begin. Every chapter begins and ends with
the program down."""

from datetime import timedelta

from tests.crash.house import House
from tests.crash.office import GROUP
from tests.crash.walk import HOLD_S, PATIENCE_S, THERE, Walk, led_by
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually


async def first_start(house: House) -> Walk:
    """The very first starts of an installation: its lease, its identity, its rooms."""
    alone = ("lease_taken", "identity_published", "cross_signed")
    for point in alone:
        await house.dies_at(point)
    walk = await led_by(house, dying_at=("room_made", "member_invited"))
    walk.taken.update(alone)
    return walk


async def somebody_joins(walk: Walk) -> None:
    """Today's new colleague reads what was said before."""
    cleo = walk.cleo = await walk.house.people.colleague("cleo")
    async with walk.house.product.admin() as admin:
        await admin.add_agent(cleo.user_id, "Cleo")
        await admin.add_member(GROUP, cleo.user_id)
    await walk.comes_through("history_uploaded", "history_shared", "member_invited")
    await eventually(lambda: walk.rooms[0] in cleo.rooms, PATIENCE_S, what="the colleague is in the room")
    read = [each.body for each in await walk.by_desk(cleo, walk.rooms[0]) if each.thread == walk.matter.card]
    assert any(body.endswith(": c1-0000") for body in read), "the colleague cannot read the past"


async def handed_over(walk: Walk) -> None:
    await walk.note()
    await walk.say(f"!transfer {THERE} about the dose")
    await walk.dies("ConversationTransferred", "card_placed", "pack_posted")
    await walk.runs()
    await walk.house.homeserver_may_crash()
    await walk.house.drain()
    cards = [each for each in await walk.by_desk(walk.ben, walk.there) if _is_card(each)]
    assert len(cards) == 1, "one card there"
    former = walk.card
    await walk.moves(walk.there, cards[0].event_id)
    assert await walk.times_said("comes from") == 1
    assert await walk.times_said("goes on here", room=walk.house.office.room, card=former) == 1
    await walk.stops()
    await walk.ben.react(walk.room, walk.card, "👀")
    await walk.dies("ConversationClaimed")
    await walk.matter.asks.write()
    await walk.note()
    await walk.runs()
    await walk.becomes("open")
    await walk.house.drain()
    await walk.stops()


def _is_card(each: Seen) -> bool:
    return each.thread is None and not each.replaces and "· K-" in each.body


async def in_a_room_of_its_own(walk: Walk) -> None:
    known = set(walk.ben.rooms)
    await walk.say("!room")
    await walk.dies("MovedToRoom", "room_made", "member_invited", "card_placed")
    await walk.matter.asks.write()
    await walk.settles()
    [room] = set(walk.ben.rooms) - known
    await walk.moves(room, "")
    assert await walk.times_said("has its own room now") == 1
    pinned = (await walk.ben.state(room, "m.room.pinned_events"))["pinned"]
    cards = [each.event_id for each in await walk.by_desk(walk.ben, room) if _is_card(each)]
    assert pinned == cards, "one card, and pinned"
    await _comes_and_goes(walk, walk.cleo)


async def _comes_and_goes(walk: Walk, cleo: Person) -> None:
    await walk.say(f"!invite {cleo.user_id}")
    await walk.comes_through("MemberInvited", "history_shared", "member_invited")
    await eventually(lambda: walk.room in cleo.rooms, PATIENCE_S, what="who was invited is in the room")
    read = [each.body for each in await walk.by_desk(cleo, walk.room)]
    assert any(body.endswith(": " + walk.house.office.ledger.sent["c1"][-1]) for body in read), "not what was before"
    await walk.say(f"!remove {cleo.user_id}")
    await walk.comes_through("MemberRemoved", "member_removed")
    await eventually(lambda: walk.room not in cleo.rooms, PATIENCE_S, what="who was removed is out")


async def ended_and_begun_again(walk: Walk) -> None:
    await walk.say("!resolve solved")
    await walk.dies("ConversationResolved")
    await walk.runs()
    await walk.becomes("resolved")
    await walk.stops()
    await walk.matter.asks.write()
    await walk.dies("ConversationReopened")
    await walk.runs()
    await walk.becomes("open")
    await walk.house.drain()
    assert await walk.times_said("is open again") == 1
    await walk.stops()


async def asked_and_given_out(walk: Walk) -> None:
    """A new customer chooses from the menu; the router gives the matter to whoever has room."""
    async with walk.house.product.admin() as admin:
        await admin.change_group(GROUP, menu_label="Everything else")
        await admin.change_group(THERE, menu_label="Medicines")
    kim, desk = await walk.house.people.person("kim"), walk.house.office.desk
    chat = await kim.start_direct_chat(desk, wait_until_joined=False)
    await eventually(lambda: desk in kim.rooms[chat].members, what="the invitation is out")
    await kim.say(chat, "a question about medicine")
    await walk.comes_through("MenuOffered")
    poll = next(each for each in await walk.by_desk(kim, chat) if each.choices)
    number = next(id for id, label in poll.choices.items() if label == "Medicines")
    await kim.vote(chat, poll.event_id, number)
    await walk.comes_through("menu_ended")
    ends = [each for each in await walk.by_desk(kim, chat) if each.type == "org.matrix.msc3381.poll.end"]
    told = [each for each in await walk.by_desk(kim, chat) if "“Medicines” now" in each.body and each not in ends]
    assert (len(ends), len(told)) == (1, 1)
    async with walk.house.product.admin() as admin:
        await admin.change_group(THERE, assignment="automatic")
        await admin.set_capacity(walk.ben.user_id, 50)
    await walk.comes_through("given_out", "ConversationAssigned")
    [card] = [each for each in await walk.by_desk(walk.ben, walk.there) if _is_about(each, "a question about medicine")]
    assert await walk.times_said("a question about medicine", room=walk.there, card=card.event_id) == 1
    assert await walk.times_said("You have", room=walk.there, card=card.event_id) == 1


def _is_about(each: Seen, words: str) -> bool:
    return each.thread is None and not each.replaces and words in each.body


async def written_first(walk: Walk) -> None:
    lou = await walk.house.people.person("lou")
    async with walk.house.product.admin() as admin:
        await admin.set_consent(lou.user_id, "form", is_given=True)
    await walk.ben.say(walk.rooms[0], f"!start {lou.user_id} your report is here")
    await walk.dies("chat_opened")
    await walk.later(timedelta(seconds=HOLD_S))
    await walk.settles()
    await eventually(lambda: lou.rooms, PATIENCE_S, what="who is written to is in a room")
    [chat] = lou.rooms
    assert sum("your report is here" in each.body for each in await walk.by_desk(lou, chat)) == 1
