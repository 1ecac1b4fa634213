"""What a customer's message is in the thread: its lines, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from messenger.app import render
from messenger.app.erased import customer_name
from messenger.app.files import Checked, checked_file
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import fitted, parts_of, safe_html
from messenger.app.ports import UnitOfWork
from messenger.app.records import Case, Said, StoredMessage
from messenger.domain.attachment import Refused
from messenger.domain.text import quoted_words, short_quote
from messenger.i18n import Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Under whose name, in whose words, whom it rings, and what it answers: an event of the same room, or else the
    quoted words."""

    case: Case
    message: StoredMessage
    words: Texts
    rings: bool = True
    reply_to: str | None = None
    quote: str = ""

    @property
    def name(self) -> str:
        return self.message.speaker or customer_name(self.words, self.case.chat)

    @property
    def profile(self) -> tuple[str, str]:
        shown = render.shown_name(self.words, self.name, unverified=self.message.is_unverified)
        return self.message.speaker or str(self.case.chat.contact), shown

    @property
    def mentions(self) -> Sequence[str]:
        return [self.case.owner.address] if self.case.owner and self.rings else []


async def answering(unit: UnitOfWork, relay: Relay) -> Relay:
    """A true reply where the answered message stands in the same room, under any of its ids; else its words above."""
    message, room = relay.message, relay.case.room
    if message.reply_to is None:
        return replace(relay, quote=quoted_words(message.content.full_text))
    traces = sorted(await unit.messages.traces_of(message.reply_to), key=lambda trace: trace.part)
    there = [trace.remote_id for trace in traces if trace.room == room and trace.kind in ("origin", "copy")]
    if there:
        return replace(relay, reply_to=there[0])
    answered = await unit.messages.get(message.reply_to)
    return relay if answered.is_deleted else replace(relay, quote=_quote_of(answered))


def _quote_of(answered: StoredMessage) -> str:
    media = answered.content.media
    return short_quote(answered.content.text or (media[0].filename if media else ""))


async def relay_said(hands: Hands, relay: Relay) -> tuple[Sequence[Said], Refused | None]:
    """The lines of the message, the first of which rings and answers."""
    content = relay.message.content
    if not content.media:
        return words_said(relay), None
    checked = await checked_file(hands, content.media[0])
    if isinstance(checked, Refused):
        return refused_said(hands, relay, checked), checked
    return [file_said(relay, checked)], None


def words_said(relay: Relay) -> list[Said]:
    message, said = relay.message, []
    for n, part in enumerate(parts_of(message.content)):
        text = render.customer_message(
            relay.words,
            relay.name,
            part.text,
            safe_html(part.html),
            unverified=message.is_unverified,
            edited=message.edited_at,
            late=message.at if message.is_late else None,
            clock=clock_of(relay.case),
            quote=relay.quote if n == 0 else "",
        )
        each = fitted(Said(plain=text.plain, html=text.html, profile=relay.profile))
        said.append(replace(each, mentions=relay.mentions, reply_to=relay.reply_to) if n == 0 else each)
    return said


def file_said(relay: Relay, checked: Checked) -> Said:
    message = relay.message
    text = render.attachment_caption(
        relay.words,
        relay.name,
        checked.kind,
        checked.file.name,
        len(checked.file.data),
        caption=message.content.text,
        scanned=checked.is_scanned,
        marks=checked.marks,
        unverified=message.is_unverified,
        edited=message.edited_at,
        clock=clock_of(relay.case),
        quote=relay.quote,
    )
    return Said(
        plain=text.plain,
        html=text.html,
        mentions=relay.mentions,
        profile=relay.profile,
        file=checked.file,
        reply_to=relay.reply_to,
    )


def refused_said(hands: Hands, relay: Relay, refused: Refused) -> list[Said]:
    """The words that came with the file are shown although it is not."""
    content = relay.message.content
    name = content.media[0].filename
    text = render.held_back(
        relay.words, relay.name, name, refused.code, limit=hands.max_file_bytes, found=refused.detail
    )
    gap = Said(plain=text.plain, html=text.html, mentions=relay.mentions)
    return [*(words_said(relay) if content.text else []), gap]
