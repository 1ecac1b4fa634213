"""The pinned board of each group: how much waits and since when, what is in work, who is there. It is looked at every
few seconds beside all turns, and edited at most every 30 seconds, and only when it would read differently."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from messenger.app import render_lists
from messenger.app.effects.groups import EditBoard
from messenger.app.hands import Hands
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.ports import UnitOfWork
from messenger.app.records import BoardRow, Place, Said
from messenger.app.render import Clock, Rendered
from messenger.app.to_person import link_of
from messenger.domain.ids import GroupId
from messenger.i18n import texts

PAUSE = timedelta(seconds=30)
MOST_WAITING = 5


@dataclass(frozen=True, slots=True)
class Board:
    """What a board says now. `digest` leaves out the time of the edit: that alone changes nothing."""

    row: BoardRow
    text: Rendered
    digest: str


async def renew_boards(hands: Hands) -> int:
    """Wants an edit of every board that is not true any more. Returns how many those were."""
    async with hands.units.look() as unit:
        boards = [await _board(hands, unit, group) for group in await unit.boards.due()]
    stale = [board.row.group.id for board in boards if board.digest != board.row.digest]
    return sum([await _want_edit(hands, group) for group in stale])


async def edit_board(hands: Hands, effect: EditBoard, txn: str) -> Outcome:
    """Posted and pinned once, then edited. It says what is so when it is sent."""
    async with hands.units.look() as unit:
        board = await _board(hands, unit, GroupId(effect.group))
    row, said = board.row, Said(plain=board.text.plain, html=board.text.html)
    if row.room is None:
        return NOTHING
    place, policy, event = Place(room=row.room), row.group.device_policy, row.event
    if event is not None:
        await hands.desk.edit(place, event, said, txn=txn, policy=policy)
    else:
        event = await hands.desk.find(row.room, txn) or await hands.desk.post(place, said, txn=txn, policy=policy)
        await hands.desk.pin(row.room, [event])
    return Outcome(board=(row.group.id, event, board.digest))


async def _want_edit(hands: Hands, group: GroupId) -> bool:
    async with hands.units() as unit:
        if not await unit.boards.book(group, pause=PAUSE):
            return False
        await unit.outbox.put(f"board|{group}|{unit.now.isoformat()}", [EditBoard(group=group)])
    return True


async def _board(hands: Hands, unit: UnitOfWork, id: GroupId) -> Board:
    row = await unit.boards.get(id)
    zone = ZoneInfo(row.group.time_zone)
    today = datetime.combine(unit.now.astimezone(zone).date(), time(), zone)
    now = await unit.boards.now(id, today=today, tomorrow=today + timedelta(days=1), most=MOST_WAITING)
    words, clock = texts(row.group.language), Clock(unit.now, zone)
    links = [link_of(hands, each) for each in now.first]
    lines = render_lists.board(words, now, links, clock)
    text = render_lists.with_board_head(words, row.group.name, lines, clock)
    digest = sha256(f"{row.group.name}\n{lines.html}".encode()).hexdigest()
    return Board(row, text, digest)
