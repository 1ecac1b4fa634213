"""What every delivery needs: the ports to the outside, and how a case looks to the staff."""

from dataclasses import dataclass, field, replace
from uuid import UUID
from zoneinfo import ZoneInfo

from messenger.app import render, render_cards
from messenger.app.erased import customer_name
from messenger.app.inspection.inspector import Inspector
from messenger.app.outside_ports import NO_SCANNER, ChatDoor, CustomerChannel, Desk, FileSource, Scanner
from messenger.app.ports import Units
from messenger.app.records import Case, Chat, Place, Said, StoredMessage, Trace
from messenger.channels.errors import Temporary
from messenger.domain.attachment import MAX_BYTES
from messenger.domain.ids import ConversationId
from messenger.i18n import texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """Who speaks, in which languages, first the default one."""

    name: str
    languages: tuple[str, ...] = ("en", "de", "zh")


@dataclass(slots=True)
class Hands:
    """The outside, for deliveries. No transaction is open while it is used."""

    units: Units
    desk: Desk
    channel: CustomerChannel
    door: ChatDoor
    files: FileSource
    organisation: Organisation
    channel_name: str = "matrix"
    max_file_bytes: int = MAX_BYTES
    inspector: Inspector = field(default_factory=lambda: Inspector(max_bytes=MAX_BYTES))
    scanner: Scanner = NO_SCANNER

    async def case(self, id: UUID) -> Case:
        async with self.units.look() as unit:
            return await unit.conversations.case(ConversationId(id))

    async def post(self, case: Case, said: Said, txn: str) -> str:
        place = Place(room=self.room_of(case), thread=case.thread)
        if case.card is None:
            raise Temporary("unreachable", raw_code="the card is on its way")
        return await self.desk.post(place, said, txn=txn, policy=case.group.device_policy)

    async def card_of(self, case: Case) -> Said:
        preview, pause = "", case.conversation.pause
        note = pause.note if pause else None
        if note or (case.group.announce_preview and case.owner is None):
            async with self.units.look() as unit:
                preview = await unit.messages.first_text(case.conversation.id)
                reason = (await unit.messages.get(note)).content.text if note else ""
        view = replace(self.view(case, preview, reason if note else ""), follows=await self.earlier(case))
        text = render_cards.card(texts(case.group.language), view)
        return Said(plain=text.plain, html=text.html)

    async def earlier(self, case: Case) -> render_cards.Earlier | None:
        """The conversation that this one follows."""
        id = case.conversation.previous
        if id is None:
            return None
        async with self.units.look() as unit:
            number, places = await unit.conversations.number_of(id), await unit.conversations.places(id)
        last = places[-1] if places else None
        link = self.desk.link(Place(room=last.room, thread=None if last.is_room else last.card)) if last else ""
        return render_cards.Earlier(number, link)

    def view(self, case: Case, preview: str, pause_note: str = "") -> render_cards.CardView:
        now, pause = case.conversation, case.conversation.pause
        return render_cards.CardView(
            ref=now.number,
            label=customer_name(texts(case.group.language), case.chat),
            channel=self.channel_name,
            language=now.language,
            state=now.state.value,
            owner=case.owner.name if case.owner else None,
            since=now.opened_at,
            claimed_at=now.claimed_at,
            waiting_since=now.waiting_since,
            is_released=now.is_released,
            preview=preview or None,
            leg="matrix",
            tz=clock_of(case).tz,
            now=clock_of(case).now,
            paused_until=pause.until if pause else None,
            wake_on=sorted(pause.wake_on) if pause else (),
            pause_note=pause_note,
            resolved_at=now.resolved_at,
            resolution=now.resolution or "",
            tags=case.tags,
            is_room=now.is_in_room,
        )

    def copy(self, case: Case, message: StoredMessage, event: str) -> Trace:
        return Trace(
            account=self.desk.account,
            room=self.room_of(case),
            remote_id=event,
            kind="copy",
            conversation=case.conversation.id,
            message=message.id,
        )

    def room_of(self, case: Case) -> str:
        if case.room is None:
            raise Temporary("unreachable", raw_code="the group has no room yet")
        return case.room

    def language_of(self, chat: Chat) -> str:
        return chat.language or self.organisation.languages[0]


def clock_of(case: Case) -> render.Clock:
    return render.Clock(tz=ZoneInfo(case.group.time_zone))
