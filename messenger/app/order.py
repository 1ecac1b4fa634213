"""An order: a command, with who gave it and where. In a conversation's place (`Order`) it is about that conversation;
outside of any (`DeskOrder`) it is about the person's work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from messenger.app.effects.staff import SayAnswer
from messenger.app.items import StaffSaid
from messenger.app.records import Seat, StoredMessage, Trace
from messenger.app.staff_messages import actor_of, stored, tell
from messenger.app.turn import Turn
from messenger.channels.messages import Content
from messenger.domain import commands as c
from messenger.domain.conversation import Conversation
from messenger.domain.ids import MessageId
from messenger.domain.people import Agent, Role, SkillGroup
from messenger.domain.replies import Fate
from messenger.domain.staff_commands import Asked, find
from messenger.i18n import texts


@dataclass(frozen=True, slots=True)
class Order:
    """A command in a conversation's place, with who gave it."""

    turn: Turn
    item: StaffSaid
    conversation: Conversation
    seat: Seat
    asked: Asked

    async def do(self, command: c.Command, *, note: str = "") -> None:
        """`note`: a reason or a comment. It is kept as a note of the conversation: the event log names it and holds no
        text. Raises DomainError."""
        await self.turn.change_fate(self.conversation.id, self.conversation, command, actor=actor_of(self.seat))
        if note:
            content = replace(self.item.content, text=note, html="")
            message = replace(self.message(content), fate=Fate.KEPT)
            await self.turn.unit.messages.add(message, self.origin(message))

    def answer(self, text: str, **fields: str) -> None:
        tell(self.turn, self.conversation, self.seat, text, **fields)

    def message(self, content: Content) -> StoredMessage:
        return stored(self.turn, self.item, content, self.conversation, self.seat)

    def note_id(self, text: str) -> MessageId | None:
        return self.message(self.item.content).id if text else None

    @property
    def example(self) -> str:
        return self.asked.command.example_in(texts(self.seat.agent.language).language)

    @property
    def usage(self) -> str:
        return self.asked.command.usage_in(texts(self.seat.agent.language).language)

    def origin(self, message: StoredMessage) -> Trace:
        return Trace(
            account=self.item.account,
            room=self.item.room,
            remote_id=self.item.event,
            kind="origin",
            conversation=self.conversation.id,
            message=message.id,
        )


@dataclass(frozen=True, slots=True)
class DeskOrder:
    """A command that is about no conversation. `seats` is everywhere the person has one, and never empty."""

    turn: Turn
    item: StaffSaid
    seats: Sequence[tuple[SkillGroup, Seat]]
    asked: Asked

    @property
    def person(self) -> Agent:
        return self.seats[0][1].agent

    @property
    def role(self) -> Role:
        """The most that this person is anywhere."""
        roles = {seat.role for _, seat in self.seats}
        return next(role for role in (Role.LEAD, Role.AGENT, Role.CLERK) if role in roles)

    @property
    def here(self) -> dict[str, Any]:
        return where_asked(self.item, self.seats)

    def answer(self, text: str, **fields: str) -> None:
        self.turn.effects.append(SayAnswer(text=text, fields=fields, **self.here))

    @property
    def example(self) -> str:
        return self.asked.command.example_in(texts(self.person.language).language)

    @property
    def usage(self) -> str:
        return self.asked.command.usage_in(texts(self.person.language).language)

    @property
    def word(self) -> str:
        return called(self.asked.command.name, self.person)


def where_asked(item: StaffSaid, seats: Sequence[tuple[SkillGroup, Seat]]) -> dict[str, Any]:
    """Where an `Answer` is wanted: beside the command, and in the person's language."""
    return {"room": item.room, "event": item.event, "thread": item.thread, "reader": seats[0][1].agent.id}


def called(name: str, reader: Agent) -> str:
    """The command's word in this person's language; nothing for none."""
    command = find(name) if name else None
    return command.word_in(texts(reader.language).language) if command else ""
