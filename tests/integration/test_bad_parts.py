"""What the database refuses of a batch stops nothing else in it, and nothing that comes after it; it is kept for a
person to look at. The refusals are real: triggers in PostgreSQL."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.matrix import convert
from messenger.matrix.parts import MOST_AT_ONCE
from messenger.matrix.sync import WHOLE_TRIES
from messenger.storage.models.queues import dead_letter, inbox
from tests.integration.test_bad_input_fuzz import Lookout, a_lookout

REFUSES = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '22021'; END $$"""


@pytest.fixture
async def lookout(database: AsyncEngine) -> AsyncIterator[Lookout]:
    async with a_lookout(database) as lookout:
        await lookout.step()
        yield lookout


async def refuse(lookout: Lookout, table: str, when: str) -> None:
    async with lookout.database.begin() as connection:
        await connection.execute(sa.text(REFUSES))
        trigger = f"CREATE TRIGGER refuses BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when})"
        await connection.execute(sa.text(f"{trigger} EXECUTE FUNCTION refuse()"))


async def agree(lookout: Lookout, table: str) -> None:
    async with lookout.database.begin() as connection:
        await connection.execute(sa.text(f"DROP TRIGGER refuses ON {table}"))


async def taken(lookout: Lookout) -> Sequence[str]:
    """Events that were read, in the order of their rows."""
    async with lookout.database.begin() as connection:
        query = sa.select(inbox.c.source_id).where(inbox.c.kind == "InboundMessage").order_by(inbox.c.id)
        return list(await connection.scalars(query))


async def put_aside(lookout: Lookout) -> Sequence[str]:
    async with lookout.database.begin() as connection:
        return list(await connection.scalars(sa.select(dead_letter.c.source_id).order_by(dead_letter.c.id)))


async def until_it_goes_on(lookout: Lookout) -> list[str]:
    """The kinds of errors before."""
    kinds: list[str] = []
    while (kind := await lookout.step()) and len(kinds) < 10:
        kinds.append(kind)
    return kinds


async def test_a_message_that_the_database_refuses_stops_no_other(lookout: Lookout) -> None:
    honest, hostile = lookout.rooms[lookout.honest], lookout.rooms[lookout.hostile]
    before = [lookout.honest.say(honest, f"before {number}") for number in range(3)]
    bad = lookout.hostile.say(hostile, "bad")
    good = [lookout.hostile.say(hostile, "good"), lookout.honest.say(honest, "after")]
    await refuse(lookout, "inbox", f"NEW.source_id = '{bad}'")
    assert await until_it_goes_on(lookout) == ["DBAPIError"] * (WHOLE_TRIES - 1)
    assert sorted(await taken(lookout)) == sorted([*before, *good]) and await put_aside(lookout) == [bad]
    assert [event for event in await taken(lookout) if event in before] == before
    later = lookout.hostile.say(hostile, "later")
    assert await lookout.step() == ""
    assert (await taken(lookout))[-1] == later and await put_aside(lookout) == [bad]


async def test_several_bad_ones_are_all_found(lookout: Lookout) -> None:
    hostile = lookout.rooms[lookout.hostile]
    said = [lookout.hostile.say(hostile, f"word {number}") for number in range(9)]
    bad = [said[0], said[4], said[5], said[8]]
    await refuse(lookout, "inbox", f"NEW.source_id IN ({', '.join(map(repr, bad))})")
    await until_it_goes_on(lookout)
    assert await taken(lookout) == [event for event in said if event not in bad]
    assert sorted(await put_aside(lookout)) == sorted(bad)


async def test_a_member_whom_the_database_refuses_stops_no_other(lookout: Lookout) -> None:
    honest, hostile = lookout.rooms[lookout.honest], lookout.rooms[lookout.hostile]
    stranger = lookout.server.world.register("stranger")
    content = {"membership": "invite"}
    room = lookout.server.world.room(hostile, lookout.hostile.user_id)
    event = lookout.server.world.emit(
        room, lookout.hostile.user_id, "m.room.member", content, state_key=stranger.user_id
    )
    good = [lookout.hostile.say(hostile, "beside it"), lookout.honest.say(honest, "elsewhere")]
    await refuse(lookout, "mx_member", f"NEW.user_id = '{stranger.user_id}'")
    await until_it_goes_on(lookout)
    assert sorted(await taken(lookout)) == sorted(good)
    assert set(await put_aside(lookout)) == {event["event_id"]}


async def test_a_room_key_that_the_database_refuses_stops_no_other(lookout: Lookout) -> None:
    """What it would have opened waits for it, as for any key."""
    honest, hostile = lookout.rooms[lookout.honest], lookout.rooms[lookout.hostile]
    locked, good = lookout.hostile.say(hostile, "locked"), lookout.honest.say(honest, "good")
    await refuse(lookout, "mx_megolm", f"NEW.room_id = '{hostile}'")
    await until_it_goes_on(lookout)
    assert await taken(lookout) == [good] and await put_aside(lookout) == ["to_device|"]
    async with lookout.database.begin() as connection:
        state = await connection.scalar(sa.select(inbox.c.state).where(inbox.c.source_id == locked))
    assert state == "waiting_key"


async def test_an_event_that_breaks_its_reader_stops_no_other(
    lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = lookout.rooms[lookout.honest]
    first, bad, last = (lookout.honest.say(honest, text) for text in ("first", "bad", "last"))
    proper = convert.arrival

    def breaks(account: str, room: Any, event: Mapping[str, Any], *rest: Any, **more: Any) -> Any:
        return 1 // 0 if event["event_id"] == bad else proper(account, room, event, *rest, **more)

    monkeypatch.setattr(convert, "arrival", breaks)
    assert await lookout.step() == ""
    assert await taken(lookout) == [first, last] and await put_aside(lookout) == [bad]


async def test_a_backlog_of_thousands_is_taken_in_order_and_in_several_transactions(lookout: Lookout) -> None:
    """The database ends a transaction in which nothing is asked for long, and a slow machine converts slowly."""
    honest = lookout.rooms[lookout.honest]
    said = [lookout.honest.say(honest, f"word {number}") for number in range(4 * MOST_AT_ONCE)]
    assert await lookout.step() == ""
    assert await taken(lookout) == said
    async with lookout.database.begin() as connection:
        of_one = sa.text("SELECT count(*) FROM inbox WHERE kind = 'InboundMessage' GROUP BY xmin")
        together = list(await connection.scalars(of_one))
    assert max(together) <= MOST_AT_ONCE


async def test_nothing_is_put_aside_while_the_token_cannot_be_written(lookout: Lookout) -> None:
    honest = lookout.rooms[lookout.honest]
    said = [lookout.honest.say(honest, f"word {number}") for number in range(3)]
    await refuse(lookout, "cursor", "true")
    assert [await lookout.step() for _ in range(WHOLE_TRIES + 2)] == ["DBAPIError"] * (WHOLE_TRIES + 2)
    assert await put_aside(lookout) == []
    await agree(lookout, "cursor")
    assert await until_it_goes_on(lookout) == []
    assert await taken(lookout) == said, "each once, although its parts came first"
