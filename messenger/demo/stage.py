"""What the acts of the story share: who is there, what they have said, and how an act waits for what it expects."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from rich.console import Console

from messenger import bootstrap
from messenger.config import Settings
from messenger.demo.actor import Actor, Seen, StoryBroke
from messenger.demo.time_machine import go_on

_T = TypeVar("_T")


@dataclass(slots=True)
class Stage:
    """`cards` are the conversation's cards in the team's room, oldest first; `number` is known with the first one."""

    console: Console
    settings: Settings
    desk: str
    anna: Actor
    leonie: Actor
    old: frozenset[str]
    enter_ruth: Callable[[], Awaitable[Actor]]
    ruth: Actor | None = None
    chat: str = ""
    cards: list[Seen] = field(default_factory=list)
    number: str = ""
    leaps: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def thread(self) -> str:
        if not self.cards:
            raise StoryBroke("there is no card yet")
        return self.cards[-1].event_id

    @property
    def room(self) -> str:
        return self.cards[-1].room_id if self.cards else ""

    @property
    def colleague(self) -> Actor:
        if self.ruth is None:
            raise StoryBroke("the colleague has not come yet")
        return self.ruth

    @contextmanager
    def act(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.console.print(f"[green]✓[/] {text}  [dim]{time.monotonic() - started:.1f} s[/]", soft_wrap=True)

    async def say(self, who: Actor, text: str) -> str:
        return await who.say(self.room, text, thread=self.thread)

    async def read(self, who: Actor, *texts: str, after: int = 0) -> Seen:
        """A message of the thread with all these texts. `after`: how many messages this person had seen before."""

        def look() -> Seen | None:
            news = {seen.event_id for seen in who.seen[after:]}
            found = (m for m in who.messages(self.room, thread=self.thread) if m.event_id in news)
            return next((m for m in found if all(text in m.text for text in texts)), None)

        return await who.until(look, what=f"“{texts[0][:30]}…” in the thread")

    async def received(self, text: str) -> Seen:
        """At the customer's."""
        anna = self.anna
        return await anna.until(
            lambda: next((m for m in anna.messages(self.chat, sender=self.desk) if text in m.text), None),
            what=f"“{text[:30]}…” in the customer's chat",
        )

    async def marked(self, who: Actor, event_id: str, mark: str) -> None:
        await who.until(
            lambda: next((r for r in who.reactions_on(event_id) if r.text.rstrip("\ufe0f") == mark), None),
            what=f"the mark {mark}",
        )

    async def card_says(self, who: Actor, card: str, text: str) -> None:
        await who.until(
            lambda: next((edit for edit in who.edits_of(card) if text in edit.text), None), what=f"a card with “{text}”"
        )

    async def state(self) -> str:
        """As `stellwerk conversation show` tells it."""
        return str((await self._details()).state)

    async def times(self, event: str) -> int:
        """How often this has happened to the conversation."""
        return sum(each.what == event for each in (await self._details()).history)

    async def pass_time(self, by: timedelta, text: str) -> None:
        async with bootstrap.open_engine(self.settings) as engine:
            await go_on(engine, by)
        self.leaps.append((datetime.now(UTC), text))

    async def _details(self) -> Any:
        async with bootstrap.open_admin(self.settings) as admin:
            return await admin.conversation(self.number)


def expect(held: object, what: str) -> None:
    if not held:
        raise StoryBroke(f"expected: {what}")
