"""Lists of conversations, as people read them. Numbers and times only, no customers: colleagues may read along."""

from collections.abc import Iterator, Sequence

from messenger.app.records import BoardNow, Listed
from messenger.app.render import Clock, Rendered, say_time, say_wakes
from messenger.i18n import LANGUAGES, Texts, escape

Rows = Sequence[tuple[Listed, str]]  # each with its link
LINES_A_MESSAGE = 50


def queue(texts: Texts, rows: Rows, total: int, clock: Clock) -> Rendered:
    """The longest waiting first, and how many more there are."""
    if not rows:
        return Rendered(texts.plain("queue.none"), texts.html("queue.none"))
    lines = [_line(row, link, _since(texts, row, clock), say_language(texts, row.language)) for row, link in rows]
    more = [_text(texts, "queue.more", n=total - len(rows))] if total > len(rows) else []
    return _listed(_text(texts, "queue.head", n=total), [*lines, *more])


def mine(texts: Texts, rows: Rows, clock: Clock) -> Iterator[Rendered]:
    """Whose turn it is, since when, what wakes it. Several messages, if one cannot hold it all."""
    if not rows:
        yield _text(texts, "mine.none")
        return
    ours = sum(row.waiting_since is not None and not row.is_paused for row, _ in rows)
    paused = sum(row.is_paused for row, _ in rows)
    head = _text(texts, "mine.head", n=len(rows), ours=ours, paused=paused)
    lines = [_line(row, link, _turn(texts, row, clock)) for row, link in rows]
    for first in range(0, len(lines), LINES_A_MESSAGE):
        yield _listed(head if first == 0 else None, lines[first : first + LINES_A_MESSAGE])


def with_board_head(texts: Texts, group: str, lines: Rendered, clock: Clock) -> Rendered:
    """S27: the board with its name, and when it was true."""
    head = _text(texts, "S27", group=group, at=say_time(texts, clock.now, clock))
    next = _text(texts, "S27.next")
    return Rendered("\n".join((head.plain, lines.plain, next.plain)), head.html + lines.html + next.html)


def board(texts: Texts, now: BoardNow, links: Sequence[str], clock: Clock) -> Rendered:
    """What changes on a board. All times are moments, so that their passing changes nothing."""
    oldest = say_time(texts, now.first[0].queued_at, clock) if now.first else ""
    waiting = _text(texts, "S27.waiting" if now.first else "S27.empty", n=now.waiting, since=oldest)
    numbers = [
        _line(row, link, say_time(texts, row.queued_at, clock), with_group=False)
        for row, link in zip(now.first, links, strict=True)
    ]
    counts = _text(
        texts, "S27.counts", in_work=now.in_work, paused=now.paused, waking=now.waking, resolved=now.resolved
    )
    here = ", ".join(f"{person.name} {person.has}/{person.units:g}" for person in now.present)
    people = _text(texts, "S27.here", people=here) if here else _text(texts, "S27.nobody")
    return _listed(None, [waiting, *numbers, counts, people])


def say_language(texts: Texts, language: str) -> str:
    return texts.plain(f"language.{language if language in LANGUAGES else 'unknown'}")


def _since(texts: Texts, row: Listed, clock: Clock) -> str:
    return texts.plain("list.since", since=say_time(texts, row.queued_at, clock))


def _turn(texts: Texts, row: Listed, clock: Clock) -> str:
    wakes = say_wakes(texts, row.paused_until, row.wake_on, clock)
    if row.is_paused and row.waiting_since is None:
        return texts.plain("mine.paused", wakes=wakes)
    since = say_time(texts, row.waiting_since or row.answered_at or row.claimed_at or row.queued_at, clock)
    if row.is_paused:
        return texts.plain("mine.paused_ours", wakes=wakes, since=since)
    return texts.plain("mine.theirs" if row.waiting_since is None else "mine.ours", since=since)


def _line(row: Listed, link: str, *words: str, with_group: bool = True) -> Rendered:
    said = " · ".join((row.group, *words) if with_group else words)
    plain = " · ".join(part for part in (row.number, said, link) if part)
    number = f'<a href="{escape(link)}">{escape(row.number)}</a>' if link else f"<code>{escape(row.number)}</code>"
    return Rendered(plain, f"{number} · {escape(said)}")


def _listed(head: Rendered | None, lines: Sequence[Rendered]) -> Rendered:
    above = [head] if head else []
    plain = "\n".join(line.plain for line in [*above, *lines])
    return Rendered(plain, "".join(line.html for line in above) + f"<ul>{''.join(map(_item, lines))}</ul>")


def _item(line: Rendered) -> str:
    return f"<li>{line.html}</li>"


def _text(texts: Texts, id: str, **fields: str | int) -> Rendered:
    return Rendered(texts.plain(id, **fields), texts.html(id, **fields))
