"""The WHEN of `!pause` and `!later`: a moment, what else wakes the conversation, and the words that follow.

It is our own grammar and not dateparser, which is slow, guesses, and has no total grammar for three languages in one.

How a text is read, from its beginning: a leading `until` is ignored; then come causes and one time, in any order.
- Hours and minutes are exact durations, also across a clock change. Days, weeks, weekdays and dates name a day; without
  a time of day it is the group's morning of that day. A time alone is the next time the clock shows it.
- A weekday is the next such day, today only if a time still to come is given; Chinese 下周五 is Friday of next week.
- A date without a year is the next such date.
- A cause (`reply`, `partner`, `document`, `api`) or `keep` counts only at the beginning or directly behind the time or
  another cause: in "fri partner has to check" it wakes for the partner too, in "fri, partner has to check" and "fri the
  partner has to check" the word belongs to the reason.
- Only the first line is read for the time; what stands on the next lines is the reason.
- A day behind a time ("9:00 fri") counts only where nothing but causes follows: in "14:00 Morgen rufen wir an" the
  second word begins the text.
"""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from messenger.domain import when_words as w
from messenger.domain.hours import NINE, OpeningHours
from messenger.domain.pauses import Cause
from messenger.domain.when_moments import FARTHEST, Context, TooFar, joined, leads, match, read_moment

_LONGEST_PHRASE = 300  # characters; what comes later is never part of the time
_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """`until` is in UTC, set exactly if `wake_on` has TIME. `keep`: the customer's messages do not wake. `rest` is the
    reason, or the text to send, as it was written."""

    until: datetime | None
    wake_on: frozenset[Cause]
    keep: bool = False
    rest: str = ""

    def text(self, zone: ZoneInfo) -> str:
        """The canonical spelling without `rest`. It is read back to the same moment and causes, at any time before."""
        shown = self.until.astimezone(zone).isoformat(" ", "seconds") if self.until else ""
        causes = [cause.value for cause in Cause if cause in self.wake_on - {Cause.TIME, Cause.CUSTOMER}]
        words = [shown, *causes, "keep" if self.keep else ""]
        return " ".join(filter(None, words)) or "reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotUnderstood:
    """`code`: unknown, past, too_far, or never (nothing would wake it). `read` is what was taken for the time."""

    code: str
    read: str


_Caused = tuple[frozenset[Cause], bool, int]


def read_when(
    text: str, *, now: datetime, hours: OpeningHours | ZoneInfo, default: time = NINE, with_causes: bool = True
) -> When | NotUnderstood:
    """Reads the beginning of `text`; never raises. `default` is the morning where the hours have none. Without causes
    (for `!later`) words like "Document" always belong to the text."""
    calendar = hours if isinstance(hours, OpeningHours) else OpeningHours(zone=hours)
    context = Context(now=now.astimezone(UTC), hours=calendar, default=default)
    written = text.lstrip()
    head = _folded(_first_line(written))
    start = leads(head, 0)

    def may_end(at: int) -> bool:
        return with_causes and _causes(head, at)[2] == len(head.rstrip())

    causes, keep, end = _causes(head, start) if with_causes else (frozenset(), False, start)
    try:
        found = read_moment(head, joined(head, end) if end > start else end, context, may_end=may_end)
    except TooFar:
        return NotUnderstood(code="too_far", read=_first_words(written))
    if found:
        more, keep_too, end = _causes(head, found[1]) if with_causes else (frozenset(), False, found[1])
        causes, keep = causes | more, keep or keep_too
    if not found and not causes:
        return NotUnderstood(code="unknown", read=_first_words(written))
    return _checked(found[0] if found else None, causes, keep=keep, now=context.now, written=written, end=end)


def _checked(
    until: datetime | None, causes: frozenset[Cause], *, keep: bool, now: datetime, written: str, end: int
) -> When | NotUnderstood:
    read = written[:end].strip()
    if until and until <= now:
        return NotUnderstood(code="past", read=read)
    if until and until - now > FARTHEST:
        return NotUnderstood(code="too_far", read=read)
    wake_on = causes - {Cause.CUSTOMER} if keep else causes | {Cause.CUSTOMER}
    wake_on = wake_on | {Cause.TIME} if until else wake_on
    if not wake_on:
        return NotUnderstood(code="never", read=read)
    return When(until=until, wake_on=wake_on, keep=keep, rest=_rest(written, end))


def _first_line(written: str) -> str:
    return next(iter(written[:_LONGEST_PHRASE].splitlines()), "")


def _folded(text: str) -> str:
    """Small letters and half-width signs, character by character, so that places stay what they are in the original."""
    folded = ((unicodedata.normalize("NFKC", char).casefold(), char) for char in text)
    return "".join(new if len(new) == 1 else char for new, char in folded)


def _first_words(written: str) -> str:
    return " ".join(written[:_SHOWN].split())


def _rest(written: str, end: int) -> str:
    """What follows, without one sign that closes the time ("fri 9:00: call back")."""
    rest = written[end:]
    return (rest[1:] if rest[:1] in tuple(",;:.，；：。、") else rest).strip()


def _causes(head: str, at: int) -> _Caused:
    causes: frozenset[Cause] = frozenset()
    keep = False
    while found := (match(w.CAUSE, head, at) or match(w.CAUSE, head, joined(head, at))):
        word = found["cause"]
        causes, keep = (causes | {Cause(w.CAUSES[word])}, keep) if word else (causes, True)
        at = found.end()
    return causes, keep, at
