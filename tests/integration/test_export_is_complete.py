"""Every value that `storage/personal_data.py` says an export shows arrives in the archive: one person whose rows fill
every column of it, and their data.json."""

import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.items import CustomerReacted
from messenger.app.records import Trace
from messenger.bootstrap.rights import NeedsApproval
from messenger.channels.messages import (
    Assurance,
    ChannelAccountId,
    Content,
    Handle,
    MessageDeleted,
    MessageEdited,
    RemoteId,
)
from messenger.domain.ids import ConversationId
from messenger.observability.time import utc_now
from messenger.storage.desk_store import letter_place
from messenger.storage.models import whole_schema
from messenger.storage.models.audit import audit
from messenger.storage.models.conversations import channel_identity, chat, contact, conversation, place, remote_message
from messenger.storage.models.crypto import mx_device
from messenger.storage.models.people import skill_group, staff
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.models.rooms import mx_member
from messenger.storage.personal_data import PERSONAL_DATA
from tests.integration.rights_house import BEN, RightsHouse, open_rights_house, settings_for
from tests.integration.staff_desk import (
    AT,
    CARD,
    CHAT,
    CUSTOMER,
    DESK,
    GROUP,
    ROOM,
    customer_says,
    staff_reacts,
    staff_says,
)

CLEO, WU, OTHER, CASE = "@cleo:x", "@wu:x", "@bert:x", "!case"
PERSON = Handle(kind="mxid", value=CUSTOMER)
STAFF = "a member of staff, by number"

# What is stored sealed, as a number or as a reference, and what it arrives as.
TRANSLATED: dict[str, set[object]] = {
    "contact.enc_name": {"Anna"},
    "conversation.enc_tags": {"secret-tag"},
    "conversation.group_id": {GROUP},
    "message.enc_body": {"Hello", "Here I am", "We look into it", "// a note", "Me again"},
    "message.flags": {True},
}
# Which rows of a table are about the person, where others are in it, too.
_ABOUT = {
    "contact": contact.c.id.in_(sa.select(conversation.c.contact_id)),
    "channel_identity": channel_identity.c.value == CUSTOMER,
    "chat": chat.c.remote == CHAT,
    "inbox": inbox.c.state != "done",
    "remote_message": remote_message.c.message_id.is_not(None),  # else what the desk has said of the conversation
    "outbox": outbox.c.conversation_id.is_not(None) & (outbox.c.state == "new"),
    "audit": audit.c.object.like("contact:%") | audit.c.object.like("conversation:%"),
    "mx_device": mx_device.c.user_id == CUSTOMER,
    "mx_member": mx_member.c.room_id == CHAT,
}


@pytest.fixture
async def house(tmp_path: Path, database_url: str) -> AsyncIterator[RightsHouse]:
    async with open_rights_house(settings_for(tmp_path, database_url, four_eyes=True)) as opened:
        yield opened


async def test_every_value_that_the_checklist_says_is_shown_arrives_in_the_archive(
    house: RightsHouse, tmp_path: Path
) -> None:
    await _a_whole_life(house)
    await _what_play_does_not_reach(house)
    await _export(house, tmp_path / "first.zip")
    stored = await _stored(house)
    document = await _export(house, tmp_path / "second.zip")
    paths = {rule.export for columns in PERSONAL_DATA.values() for rule in columns.values() if rule.export}
    found = {path: set(_leaves(_values(document, path.split(".")))) for path in paths}
    empty = sorted(path for path in paths if not found[path])
    assert not empty, f"nothing of {', '.join(empty)} is in data.json"
    lost = {
        f"{table}.{column} in {rule.export}": missing
        for table, columns in PERSONAL_DATA.items()
        for column, rule in columns.items()
        if rule.export and (missing := _lacking(stored[f"{table}.{column}"], found[rule.export]))
    }
    assert not lost
    assert len(document["conversations"][0]["readers"]) == 3, "two members of its room, and who was told something"
    whole = json.dumps(document)
    async with house.engine.begin() as connection:
        people = await _staff(connection)
    assert [each for each in people if each in whole] == [], "who the staff are is their own data"
    assert "Bert" not in whole and OTHER not in whole, "nor anything of another customer"


async def _a_whole_life(house: RightsHouse) -> None:
    """Two conversations: one in a group's room and then in its own, answered, edited, taken back and resolved; one that
    follows it and rests."""
    desk = house.desk
    await desk.greet(OTHER, "Bert")
    id = await desk.set_up([BEN], assignment="automatic", reopen="never")
    await desk.change_group(GROUP, assignment="manual")
    await desk.add_member(GROUP, CLEO)
    await desk.add_group("Pharmacy")
    await desk.add_member("Pharmacy", WU)
    await desk.consent(CUSTOMER)
    await desk.put(_edited("$first", "Hello"), customer_says("$gone", "Never mind"))
    await desk.work(1)
    await desk.put(_taken_back("$gone"))
    await desk.work(1)
    await desk.says(CLEO, "I would answer, too", event="$not-owner")
    await desk.says(BEN, "We look into it", event="$answer")
    await desk.says(BEN, "// a note", event="$note")
    await desk.says(BEN, "!tag secret-tag")
    await desk.says(BEN, "!history")
    await _customer_has_and_likes(house, "$answer", "$copy")
    await desk.says(BEN, f"!room {WU}")
    await _stands_in(house, id, (ROOM, CARD), (CASE, "$case-card"))
    await desk.put(replace(staff_says(BEN, "!resolve solved"), room=CASE, thread=None))
    await desk.work(1)
    await desk.put(customer_says("$again", "Me again"))
    await desk.work(1)
    [second] = [each for each in await desk.conversations() if each != id]
    await _stands_in(house, second, (ROOM, "$second-card"))
    for text in ("!claim", "Here I am", "!pause 3d"):
        await desk.put(replace(staff_says(BEN, text), thread="$second-card"))
        await desk.work(1)


def _edited(target: str, text: str) -> MessageEdited:
    return MessageEdited(
        account=ChannelAccountId(DESK),
        source_id="$edit",
        at=AT,
        sender=PERSON,
        target=RemoteId(target),
        content=Content(text=text),
        hints=(CHAT,),
        assurance=Assurance.AUTHENTICATED,
    )


def _taken_back(target: str) -> MessageDeleted:
    return MessageDeleted(
        account=ChannelAccountId(DESK), source_id="$redaction", at=AT, sender=PERSON, target=RemoteId(target)
    )


async def _customer_has_and_likes(house: RightsHouse, answer: str, copy: str) -> None:
    """What the delivery of this answer leaves behind, and what the customer and the team make of it."""
    async with house.desk.units() as unit:
        origin = await unit.messages.find_trace(DESK, answer)
        assert origin is not None
        await unit.messages.add_trace(replace(origin, room=CHAT, remote_id=copy, kind="copy"))
        hello = await unit.messages.find_trace(DESK, "$first")
        assert hello is not None
        await unit.messages.add_trace(replace(hello, room=ROOM, remote_id="$hello-copy", kind="copy"))
    liked = {"account": DESK, "room": CHAT, "event": "$like", "target": copy, "key": "👍", "sender": PERSON, "at": AT}
    await house.desk.put(CustomerReacted(**liked), staff_reacts(BEN, "🎉", target="$hello-copy"))
    await house.desk.work(1)


async def _stands_in(house: RightsHouse, id: ConversationId, *places: tuple[str, str]) -> None:
    """What the delivery of its cards leaves behind."""
    async with house.engine.begin() as connection:
        group = await connection.scalar(sa.select(skill_group.c.id).where(skill_group.c.name == GROUP))
        for number, (room, card) in enumerate(places, 1):
            row = {"conversation_id": id, "number": number, "group_id": group, "room_id": room, "card": card}
            await connection.execute(place.insert().values(**row, is_room=room == CASE))
    async with house.desk.units() as unit:
        for number, (room, card) in enumerate(places, 1):
            trace = Trace(account=DESK, room=room, remote_id=card, kind="card", conversation=id, part=number)
            await unit.messages.add_trace(trace)


async def _what_play_does_not_reach(house: RightsHouse) -> None:
    """What is written by sync, by delivery, by time or by an older version; and something in each queue."""
    tables = whole_schema().tables
    async with house.engine.begin() as connection:
        newest = await connection.scalar(
            sa.select(conversation.c.id).order_by(conversation.c.opened_at.desc()).limit(1)
        )
        device = {"account": DESK, "user_id": CUSTOMER, "device_id": "ANNASPHONE"}
        await connection.execute(mx_device.insert().values(device))
        for who, membership in ((CUSTOMER, "join"), (DESK, "join"), ("@friend:x", "leave")):
            member = {"account": DESK, "room_id": CHAT, "user_id": who, "membership": membership}
            await connection.execute(mx_member.insert().values(member))
        await connection.execute(chat.update().values(language="en"))
        await connection.execute(channel_identity.update().values(scope="of one account"))
        times = {name: utc_now() - timedelta(hours=n) for n, name in enumerate(("unanswered_since", "warned_at"), 1)}
        times |= {name: utc_now() - timedelta(days=n) for n, name in enumerate(("queued_at", "waiting_since"), 1)}
        times["answered_at"] = utc_now() - timedelta(minutes=1)
        await connection.execute(conversation.update().where(conversation.c.id == newest).values(times))
        timer = {
            "kind": "silence",
            "subject": str(newest),
            "account": "",
            "conversation_id": newest,
            "due_at": utc_now(),
        }
        await connection.execute(tables["timer"].insert().values(timer))
    await house.desk.put(customer_says("$waits", "Not read yet"), lane=CHAT)
    await house.desk.put(staff_says(BEN, "Not read yet"), lane=f"{ROOM}|{CARD}")
    async with house.engine.begin() as connection:
        row = await connection.scalar(sa.select(inbox.c.id).where(inbox.c.lane == CHAT))
        letter = {"queue": "inbox", "row_id": row, "reason": "handler_failed"}
        await connection.execute(dead_letter.insert().values(letter))
        raw = (await house.storage.keys.of_queue()).seal(b'{"sender": "@anna:x"}', where=letter_place(DESK, "$odd"))
        whole = {"queue": f"sync:{DESK}", "row_id": 0, "reason": "KeyError", "enc_raw": raw, "source_id": "$odd"}
        await connection.execute(dead_letter.insert().values(whole))
    await house.rights.hold(CUSTOMER, "court-2026", "dora")
    await house.rights.restrict(CUSTOMER, "objection", "dora")


async def _export(house: RightsHouse, target: Path) -> dict[str, Any]:
    """With four eyes: asked for, approved, given."""
    with pytest.raises(NeedsApproval):
        await house.rights.export(CUSTOMER, "dora", target)
    [request] = await house.rights.requests()
    await house.rights.approve(request.id, "emil")
    await house.rights.export(CUSTOMER, "dora", target)
    with zipfile.ZipFile(target) as archive:
        return dict(json.loads(archive.read("data.json")))


async def _stored(house: RightsHouse) -> dict[str, set[object]]:
    """What is stored of each column that is shown, as it must arrive."""
    tables, stored = whole_schema().tables, {}
    async with house.engine.begin() as connection:
        people = await _staff(connection)
        for name, columns in PERSONAL_DATA.items():
            shown = [column for column, rule in columns.items() if rule.export]
            if not shown:
                continue
            about = _ABOUT.get(name, sa.true())
            rows = (await connection.execute(sa.select(*(tables[name].c[each] for each in shown)).where(about))).all()
            assert rows, f"{name} is empty: fill it, else nothing is said about it"
            for column in shown:
                values = list(_leaves([row._mapping[column] for row in rows]))
                assert values, f"{name}.{column} has no value: fill it, else nothing is said about it"
                key = f"{name}.{column}"
                stored[key] = TRANSLATED.get(key) or {_arrives(leaf, people) for leaf in values}
    return stored


async def _staff(connection: AsyncConnection) -> set[str]:
    """Their ids and addresses."""
    return {str(name) for row in await connection.execute(sa.select(staff.c.id, staff.c.address)) for name in row}


def _arrives(value: object, people: set[str]) -> object:
    """Who acts is a kind alone, save members of staff, who are numbers."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    kind, _, id = str(value).partition(":")
    if str(value) in people or (kind == "agent" and id in people):
        return STAFF
    return kind if kind in ("shell", "timer", "system", "customer") else value


def _lacking(stored: set[object], found: set[object]) -> list[object]:
    found |= {moment for each in found if (moment := _moment(each))}
    found |= {STAFF for each in found if str(each).startswith("staff-")}
    return [each for each in stored if each not in found and str(each) not in found]


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None


def _values(here: object, path: list[str]) -> Iterator[object]:
    """All that stands at the path, in every list on its way."""
    if isinstance(here, list):
        for each in here:
            yield from _values(each, path)
    elif not path:
        yield here
    elif isinstance(here, dict):
        yield from _values(here.get(path[0].removesuffix("[]")), path[1:])


def _leaves(value: object) -> Iterator[object]:
    """The single values of lists and mappings, the names in mappings too; what is empty is none."""
    match value:
        case dict():
            for name, each in value.items():
                yield name
                yield from _leaves(each)
        case str() | bytes():
            yield from [value] if value else ()
        case None | False:
            return
        case UUID() | datetime() | int() | float():
            yield value
        case _:
            for each in value:  # type: ignore[attr-defined]
                yield from _leaves(each)
