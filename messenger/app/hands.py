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
from messenger.channels.contract import Reconciles
from messenger.channels.errors import Temporary
from messenger.channels.messages import OutboundMessage, Sent
from messenger.domain.attachment import MAX_BYTES
from messenger.domain.ids import ConversationId
from messenger.domain.people import DevicePolicy
from messenger.i18n import texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """Who speaks, in which languages, first the default one."""

    name: str
    languages: tuple[str, ...] = ("en", "de", "zh")


@dataclass(slots=True)
class Hands:
    """The outside, for deliveries. No transaction is open while it is used. `is_careful`: an earlier try may have got
    through without the other side knowing our repeat (it is too long ago, another device tried, the chat has another
    room now), so that each part is looked for before it is sent."""

    units: Units
    desk: Desk
    channel: CustomerChannel
    door: ChatDoor
    files: FileSource
    organisation: Organisation
    channel_name: str = "matrix"
    max_file_bytes: int = MAX_BYTES
    is_careful: bool = False
    inspector: Inspector = field(default_factory=lambda: Inspector(max_bytes=MAX_BYTES))
    scanner: Scanner = NO_SCANNER

    async def case(self, id: UUID) -> Case:
        async with self.units.look() as unit:
            return await unit.conversations.case(ConversationId(id))

    async def say(self, place: Place, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        found = await self.desk.find(place.room, txn) if self.is_careful else None
        return found or await self.desk.post(place, said, txn=txn, policy=policy)

    async def send(self, message: OutboundMessage) -> Sent:
        return await self.find_sent(message) or await self.channel.send(message)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """What an earlier try has sent, also into a room that the chat had then. Only for those that are careful: else
        the other side knows a repeat by itself."""
        if not self.is_careful or not isinstance(self.channel, Reconciles):
            return None
        async with self.units.look() as unit:
            former = await unit.successions.former_rooms(self.desk.account, message.reply_token)
        for room in (message.reply_token, *former):
            if sent := await self.channel.find_sent(replace(message, reply_token=room)):
                return sent
        return None

    async def post(self, case: Case, said: Said, txn: str) -> str:
        place = Place(room=self.room_of(case), thread=case.thread)
        if case.card is None:
            raise Temporary("unreachable", raw_code="the card is on its way")
        return await self.say(place, said, txn=txn, policy=case.group.device_policy)

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
            reopen=case.group.reopen,
            reopen_days=case.group.reopen_days,
            tags=case.tags,
            is_room=now.is_in_room,
            is_unverified=now.is_unverified,
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
