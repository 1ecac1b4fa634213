"""The outbox as its worker sees it. Ends of sends are written together: one transaction for all that ended
meanwhile."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app import boards
from messenger.app.items import StaffRedacted, StaffSaid
from messenger.app.outcome import Outcome
from messenger.app.records import OutboxRow
from messenger.observability.failpoints import fp
from messenger.storage import outbox as rows
from messenger.storage.codec import UNREADABLE
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import at_once, transaction
from messenger.storage.endings import Ending, settle
from messenger.storage.floods import note_card
from messenger.storage.lanes import Round
from messenger.storage.leases import Lease, fence
from messenger.storage.messages import remove_traces
from messenger.storage.models.conversations import chat, conversation, place
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.people import SqlPeople

log = logging.getLogger(__name__)

CARD_PAUSE = timedelta(seconds=10)
# One that is `unknown` keeps its lane until a person has decided.
_BURIED = {"dead": "skip_and_mark", "unknown": "block_lane"}


class SqlOutboxQueue:
    """Of one desk. Every transaction is fenced: a process that lost the lease claims and settles nothing. With
    `holds_answers` no answer leaves before `hear` and before what the team has said until then is handled: somebody may
    have taken it back while nobody was listening. `latest`: what the database's clock can say now (`QueueClock`)."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: DataKeys,
        *,
        desk: str,
        device: str,
        lease: Lease,
        holds_answers: bool = False,
        latest: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._engine, self._keys, self._desk, self._device, self._lease = engine, keys, desk, device, lease
        self._holds_answers, self._heard_to, self._latest = holds_answers, -1, latest
        self._round = Round()
        self.in_doubt: list[UUID] = []
        self.hurried_at = -math.inf
        self._ended: asyncio.Queue[tuple[Ending, asyncio.Future[bool]]] = asyncio.Queue()

    async def claim(self, most: int) -> Sequence[OutboxRow]:
        """A row that does not open is put aside, so that it stops nobody else."""
        await self._free_what_is_in_doubt()
        token, opened = uuid4(), []
        self.in_doubt.append(token)
        if self._holds_answers and self._heard_to >= 0:
            self._holds_answers = await self._has_unheard()
        async with at_once(self._engine) as connection:
            claimed = await rows.claim(
                connection,
                self._round,
                lease=self._lease,
                desk=self._desk,
                device=self._device,
                most=most,
                token=token,
                holds_answers=self._holds_answers,
                latest=self._latest(),
            )
        if claimed:
            fp("outbox_claimed")
        for row in claimed:
            try:
                opened.append(await rows.opened(self._keys, row, token))
            except UNREADABLE as error:
                async with self._fenced() as connection:
                    await rows.bury(connection, self._keys, row, type(error).__name__)
        self.in_doubt.remove(token)
        return opened

    async def _free_what_is_in_doubt(self) -> None:
        """Claims that were committed, or not, while the database went away: nobody sends what they hold."""
        if not self.in_doubt:
            return
        tokens = [*self.in_doubt]
        held = outbox.c.state == "claimed", outbox.c.claim_token.in_(tokens)
        async with self._fenced() as connection:
            await connection.execute(outbox.update().where(*held).values(claimed_until=sa.func.now()))
        self.in_doubt = [token for token in self.in_doubt if token not in tokens]

    async def end(self, row: OutboxRow, *, state: str, outcome: Outcome, code: str = "") -> bool:
        """Returns after COMMIT, and whether more waits in the row's lane. A claim that is not ours any more counts as
        more: it is looked after."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ended.put_nowait((Ending(row=row, state=state, outcome=outcome, code=code), done))
        return await done

    async def retry(
        self, row: OutboxRow, after: timedelta, code: str, *, has_failed: bool = True, for_a_person: bool = False
    ) -> None:
        """The row waits, by the database's clock: ours may be wrong. It may have got through, so a newer state is not
        merged into it: under its transaction id the homeserver would answer with what it was shown first. The newer
        state gets a row of its own behind this one."""
        since = sa.func.coalesce(outbox.c.failing_since, sa.func.now()) if has_failed else outbox.c.failing_since
        async with self._fenced() as connection:
            await connection.execute(
                rows.mine(row).values(
                    state="new",
                    next_at=sa.func.now() + after,
                    failures=outbox.c.failures + int(has_failed),
                    failing_since=None if for_a_person else since,
                    code=code,
                    claimed_until=None,
                    merge_key=None,
                )
            )

    async def hear(self) -> None:
        """All that happened while nobody was listening is in the inbox now. Only the first call counts."""
        if self._heard_to < 0:
            async with at_once(self._engine) as connection:
                self._heard_to = await connection.scalar(sa.select(sa.func.max(inbox.c.id))) or 0

    async def _has_unheard(self) -> bool:
        """What waits for something else has been looked at; it changes no answer that could leave now."""
        of_staff = inbox.c.kind.in_([StaffSaid.__name__, StaffRedacted.__name__])
        is_untouched = sa.and_(inbox.c.state == "new", inbox.c.attempts == 0, inbox.c.id <= self._heard_to)
        async with at_once(self._engine) as connection:
            return bool(await connection.scalar(sa.select(sa.exists().where(is_untouched, of_staff))))

    async def hurry(self) -> None:
        """The homeserver answers again."""
        self.hurried_at = time.monotonic()
        async with self._fenced() as connection:
            await rows.hurry(connection, desk=self._desk)

    async def step(self) -> None:
        """Writes what has ended; waits for the first."""
        batch = [await self._ended.get()]
        while not self._ended.empty():
            batch.append(self._ended.get_nowait())
        try:
            has_more = await self._write([ending for ending, _ in batch])
        except Exception as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        for ending, done in batch:
            if not done.done():
                done.set_result(has_more.get(ending.row.id, True))

    @asynccontextmanager
    async def _fenced(self) -> AsyncIterator[AsyncConnection]:
        async with transaction(self._engine) as connection:
            await fence(connection, self._lease)
            yield connection

    async def _write(self, endings: Sequence[Ending]) -> dict[int, bool]:
        is_plain = all(ending.is_plain for ending in endings)
        async with (at_once if is_plain else transaction)(self._engine) as connection:
            over = await settle(connection, self._keys, endings, self._lease)
            if not is_plain:
                held = [ending for ending in endings if ending.row.id in over]
                await self._leave_behind(connection, [ending.outcome for ending in held])
                await self._bury(connection, [ending for ending in held if ending.state in _BURIED])
            fp("sent_marked")
        fp("send_committed")
        return over

    async def _bury(self, connection: AsyncConnection, dead: Sequence[Ending]) -> None:
        if dead:
            await connection.execute(
                dead_letter.insert(),
                [
                    {
                        "queue": "outbox",
                        "row_id": ending.row.id,
                        "reason": ending.code,
                        "decision": _BURIED[ending.state],
                    }
                    for ending in dead
                ],
            )

    async def _leave_behind(self, connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
        """What `settle` does not write."""
        await remove_traces(connection, [trace for outcome in outcomes for trace in outcome.gone])
        for outcome in outcomes:
            await _place_card(connection, outcome)
            if outcome.remarked:
                await rows.space_remarks(connection, outcome.remarked)
            if outcome.opened:
                opened, room = outcome.opened
                await connection.execute(chat.update().where(chat.c.id == opened).values(remote=room))
            if outcome.spoke:
                id, spoke = outcome.spoke
                await connection.execute(chat.update().where(chat.c.id == id).values(conversation_id=spoke))
            if outcome.group_room:
                group, room = outcome.group_room
                await connection.execute(skill_group.update().where(skill_group.c.id == group).values(room_id=room))
            if outcome.direct_room:
                agent, room = outcome.direct_room
                await SqlPeople(connection, self._keys).set_direct_room(agent, room)
            if outcome.is_decision:
                await rows.hurry(connection, desk=self._desk)
            if outcome.flood:
                await note_card(connection, *outcome.flood)
            if outcome.board:
                group, event, digest = outcome.board
                values = {
                    "board_event": event,
                    "board_digest": digest,
                    "board_edit_at": sa.func.now() + boards.PAUSE,
                }
                await connection.execute(skill_group.update().where(skill_group.c.id == group).values(**values))


async def _place_card(connection: AsyncConnection, outcome: Outcome) -> None:
    if outcome.card:
        id, row = outcome.card
        new = insert(place).values(
            conversation_id=id,
            number=row.number,
            group_id=row.group,
            room_id=row.room,
            card=row.card,
            is_room=row.is_room,
        )
        # A room of its own is there before its card.
        has_none = new.on_conflict_do_update(
            index_elements=list(place.primary_key), set_={"card": new.excluded.card}, where=place.c.card == ""
        )
        await connection.execute(has_none)
        if row.card:
            await connection.execute(
                conversation.update()
                .where(conversation.c.id == id, conversation.c.place >= row.number)
                .values(card_room=row.room, card_event=row.card)
            )
            fp("card_placed")
    if outcome.edited_card:
        later = conversation.update().where(conversation.c.id == outcome.edited_card)
        await connection.execute(later.values(card_edit_at=sa.func.now() + CARD_PAUSE))
        # Edits that wait already were due at once; now they keep the distance too.
        waiting = outbox.update().where(outbox.c.merge_key == f"card:{outcome.edited_card}", outbox.c.state == "new")
        await connection.execute(waiting.values(next_at=sa.func.now() + CARD_PAUSE))
