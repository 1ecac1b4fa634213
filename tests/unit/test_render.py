"""Every text in every language, as people read it. The expected words lie in `snapshots/<language>.txt`, one readable
file each. After a wanted change: `UPDATE_SNAPSHOTS=1 pytest tests/unit/test_render.py`, then read the difference."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from messenger.app import help, render_lists
from messenger.app.records import BoardNow, Listed, Present
from messenger.app.render import (
    Clock,
    Rendered,
    attachment_caption,
    customer_message,
    greeting,
    held_back,
    notice,
    say_duration,
    say_size,
    say_time,
)
from messenger.app.render_cards import CardView, Earlier, card, context, former_card, pointer
from messenger.app.render_packs import PackView, PastLine, Step, history, pack
from messenger.demo.first_day import number_of
from messenger.domain.errors import NotYourConversation
from messenger.domain.ids import ConversationId
from messenger.domain.people import Reopen, Role
from messenger.domain.staff_commands import COMMANDS, Asked, find, parse
from messenger.i18n import LANGUAGES, Texts, texts

SNAPSHOTS = Path(__file__).parent / "snapshots"
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 24, 9, 20, tzinfo=UTC)
VIEW = CardView(
    ref="K-4F7Q", label="M. S.", channel="matrix", language="de", state="queued", owner=None, claimed_at=None,
    since=NOW - timedelta(minutes=17), waiting_since=NOW - timedelta(minutes=17), leg="matrix", tz=BERLIN, now=NOW,
    preview='Mein Antrag <wurde> "abgelehnt"\n\nWarum?',
)  # fmt: skip
OPEN = replace(VIEW, state="open", owner="Anna Krüger", claimed_at=NOW - timedelta(minutes=14))
RESOLVED = replace(OPEN, state="resolved", resolved_at=NOW, resolution="solved")
CARDS = {
    "new": VIEW,
    "new without preview": replace(VIEW, preview=None, language="fr", channel="fax", leg="provider"),
    "after an earlier one": replace(VIEW, follows=Earlier("K-9P2M", "https://matrix.to/#/x?via=a&b")),
    "released": replace(VIEW, is_released=True, since=NOW - timedelta(days=3)),
    "open": OPEN,
    "waiting": replace(OPEN, waiting_since=None),
    "paused until a time": replace(
        OPEN,
        state="paused",
        paused_until=NOW + timedelta(days=1),
        wake_on=("customer", "partner", "time"),
        pause_note="hospital report",
    ),
    "paused until an answer": replace(OPEN, state="paused", wake_on=("customer",)),
    "unverified": replace(VIEW, is_unverified=True),
    "tagged": replace(OPEN, tags=("Rechnung", "<b>eilig</b>")),
    "resolved": RESOLVED,
    "resolved, always to come back": replace(RESOLVED, reopen=Reopen.ALWAYS),
    "resolved, back within a day": replace(RESOLVED, reopen_days=1),
    "resolved, never to come back": replace(RESOLVED, reopen=Reopen.NEVER),
}
PACK = PackView(
    ref="K-4F7Q",
    cause="customer",
    owner="Ben Li",
    by="",
    rested=9 * 86400,
    steps=[
        Step("opened", NOW - timedelta(days=12)),
        Step("paused", NOW - timedelta(days=9), who="Anna Krüger"),
        Step("resumed", NOW - timedelta(days=8)),
        Step("resumed_by", NOW - timedelta(days=7), who="Ben Li"),
    ],
    note="waiting for the hospital",
    open_point="Ist der Bericht <da>?",
    earlier="https://matrix.to/#/x?via=a&b",
    files=["Antrag.pdf", "Rezept <1>.jpg"],
    last=[
        PastLine(at="Thu 12 Nov 10:02", who="M. S.", text="Mein Antrag wurde abgelehnt", side="customer"),
        PastLine(at="Fri 13 Nov 09:12", who="Anna Krüger", text="We ask the hospital", side="answer"),
        PastLine(at="Fri 13 Nov 09:15", who="Ben Li", text="call them on Monday", side="note"),
    ],
    clock=Clock(NOW, BERLIN),
)
FIELDS: dict[str, str | int | datetime] = {
    "ref": "K-4F7Q",
    "label": "M. S.",
    "name": "M. S.",
    "owner": "Anna Krüger",
    "agent": "Anna",
    "group": "Claims",
    "org": "Example Insurance",
    "file": "Rezept <1>.pdf",
    "key": "abcd efgh",
    "count": "2",
    "number": "3",
    "persons": "38",
    "server": "example.net",
    "cause": "one customer",
    "lines": "Flood 3: one customer",
    "pictures": "0 17 63 5 21 40 33",
    "numbers": "1234 5678 9012",
    "word": "cliam",
    "guess": "claim",
    "usage": "!note TEXT",
    "giver": "Ben Roth",
    "load": "3.2",
    "units": "5",
    "free": "2",
    "of": "4",
    "position": "1",
    "status": "busy",
    "device": "ABCDEFGHIJ",
    "action": "release",
    "link": "https://matrix.to/#/x?via=a&b",
    "person": "Ben Li",
    "members": "Anna Krüger, Ben Li",
    "emoji": "👀",
    "channel": "Matrix",
    "what": "m.location",
    "at": NOW,
    "since": NOW - timedelta(hours=1),
    "until": NOW + timedelta(days=1),
    "security": "…",
    "text": "Hallo",
    "who": "…",
    "code": "550",
    "command": "claim",
    "reason": "…",
    "preview": "Mein Antrag",
    "choice": "Claims & bills",
    "why": "Notfall, die Praxis ist am Telefon",
    "started": "K-9P2M",
    "in_group": "Claims",
    "claimed": "10:03",
    "waited": "3 min",
    "waiting": "10:03",
    "leg": "🔐",
    "language": "German",
    "kind": "photo",
    "size": "1.2 MB",
    "url": "https://desk.example/k?a=1&b=2",
    "provider": "WhatsApp",
    "commands": "!claim",
    "help": "…",
    "place": "anywhere",
    "example": "!claim K-4F7Q",
    "words": "!take !接手",
    "n": 2,
    "by": "Ben Li",
    "note": "needs a pharmacist",
    "to_group": "Prescriptions",
    "groups": "Claims, Prescriptions",
    "wakes": "customer time",
    "causes": "the customer writes",
    "resolved": "12:17",
    "resolution": "solved",
    "rested": "9 days",
    "now": "09:00",
    "steps": "12 Nov 10:02 opened",
    "files": "Antrag.pdf, Rezept.jpg",
    "ours": 1,
    "paused": 3,
    "in_work": 8,
    "waking": 1,
    "people": "Anna 3/5, Ben 2/5",
    "tags": "invoice, urgent",
    "organisation": "Linden Health",
    "found": "Win.Test.EICAR_HDB-1",
}


LISTED = Listed(
    id=ConversationId(UUID(int=1)), number="K-4F7Q", group="Claims <1>", language="de", is_paused=False,
    queued_at=NOW - timedelta(minutes=17), claimed_at=NOW, waiting_since=NOW - timedelta(minutes=5), answered_at=None,
    paused_until=None, wake_on=(), place=None,
)  # fmt: skip
RESTING = replace(LISTED, is_paused=True, waiting_since=None, wake_on=("customer",), number="K-9P2M", language="fr")
ROWS = [(LISTED, "https://x?a=1&b=2"), (replace(LISTED, waiting_since=None), ""), (RESTING, "https://x")]
BOARD = BoardNow(
    waiting=7, in_work=8, paused=5, waking=2, resolved=22, first=[LISTED],
    present=[Present(name="Anna Krüger", has=3, units=5.0), Present(name="Ben Li", has=0, units=2.5)],
)  # fmt: skip
EMPTY = BoardNow(waiting=0, in_work=0, paused=0, waking=0, resolved=0, first=[], present=[])


def lists(language: Texts) -> Iterator[tuple[str, Rendered]]:
    clock = Clock(NOW, BERLIN)
    yield "queue", render_lists.queue(language, ROWS, 12, clock)
    yield "queue, empty", render_lists.queue(language, [], 0, clock)
    (mine,) = render_lists.mine(language, [*ROWS, (replace(RESTING, waiting_since=NOW), "https://x")], clock)
    yield "mine", mine
    for title, now, links in (("board", BOARD, ["https://x?a=1&b=2"]), ("board, empty", EMPTY, [])):
        lines = render_lists.board(language, now, links, clock)
        yield title, render_lists.with_board_head(language, "Claims <1>", lines, clock)


def rendered(language: Texts) -> Iterator[tuple[str, Rendered]]:
    """Everything the product can say, with a title."""
    for id in language.entries:
        if not id.endswith(".html"):
            yield id, notice(language, id, clock=Clock(NOW, BERLIN), **FIELDS)
    for state, view in CARDS.items():
        yield f"card, {state}", card(language, view)
        yield f"card in a room of its own, {state}", card(language, replace(view, is_room=True))
        yield f"card that points to its room, {state}", pointer(language, view, "https://x?a=1&b=2")
    yield "pack", pack(language, PACK)
    yield "pack of a short past", pack(language, replace(PACK, cause="claim", steps=(), note="", files=(), last=()))
    for kind in ("transferred", "continues", "in_room"):
        yield (
            f"former card, {kind}",
            former_card(language, kind, ref="K-4F7Q", group="Claims", link="https://x?a=1&b=2"),
        )
    for policy in Reopen:
        ended = {"by": "Ben", "resolution": "solved", "reopen": policy.value, "days": "7"}
        yield f"resolved, reopen {policy.value}", notice(language, "S22", clock=Clock(NOW, BERLIN), **ended)
    yield "history", history(language, PACK.last)
    yield "history of nothing", history(language, ())
    yield "context", context(language, OPEN)
    yield "context, explicit", context(language, OPEN, explicit=True, url="https://desk.example/k?a=1&b=2")
    yield "customer's message", customer_message(language, "M. S.", "Guten Tag\n<b>", "Guten <b>Tag</b>")
    yield (
        "customer's message, unverified, edited",
        customer_message(language, "", "Hi", unverified=True, edited=NOW, clock=Clock(NOW, BERLIN)),
    )
    yield (
        "attachment",
        attachment_caption(language, "M. S.", "image", "../Rezept.jpg", 1_234_567, caption="Mein Rezept"),
    )
    yield "attachment, scanned", attachment_caption(language, "M. S.", "document", "a.pdf", 900, scanned=True)
    marks = frozenset({"launch", "script", "embedded"})
    yield "attachment, marked", attachment_caption(language, "M. S.", "document", "a.pdf", 900, marks=marks)
    yield "file held back", held_back(language, "M. S.", "../x.exe", "type_not_allowed")
    yield "greeting", greeting([language, *(texts(other) for other in LANGUAGES)], "Example <Insurance>")
    yield from lists(language)
    yield "help", help.answer(language, COMMANDS, "", Role.CLERK)
    yield "help all", help.answer(language, COMMANDS, "all", Role.CLERK)
    yield "help for one command", help.answer(language, COMMANDS, "pause", Role.AGENT)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_reads_as_recorded(language: str) -> None:
    now = "\n".join(f"## {title}\n{text.plain}\n---\n{text.html}\n" for title, text in rendered(texts(language)))
    recorded = SNAPSHOTS / f"{language}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        recorded.write_text(now, encoding="utf-8")
    assert now == recorded.read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", CARDS)
def test_the_plain_card_alone_names_reference_state_and_next_action(language: str, state: str) -> None:
    said = texts(language)
    plain = card(said, CARDS[state]).plain
    first = {"waiting": said.plain("S1.waiting", **_shown("S1.waiting")), "open": "Anna Krüger"}.get(state, plain)
    assert plain.split(" · ")[0] == first.split(" · ")[0]
    assert plain.split(" · ")[1] == "K-4F7Q"
    own = {"paused": "resume", "resolved": "reopen"}.get(CARDS[state].state, "release")
    command = find("claim" if CARDS[state].owner is None else own)
    assert command is not None and f"!{command.word_in(language)}" in plain.splitlines()[-1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_html_says_the_same_as_its_plain_text(language: str) -> None:
    for title, text in rendered(texts(language)):
        words = re.sub(r"<[^>]*>", "", re.sub(r"<!--.*?-->", "", text.html))
        for field in ("K-4F7Q", "Anna Krüger", "!claim", "!release", "!undo"):
            if field in text.plain and "help" not in title.casefold():
                assert field in words or field in text.html, title


@pytest.mark.parametrize("language", LANGUAGES)
def test_html_uses_only_what_every_client_renders(language: str) -> None:
    for title, text in rendered(texts(language)):
        tags = set(re.findall(r"</?([a-z0-9]+)", text.html))
        assert tags <= {"b", "i", "code", "blockquote", "ul", "li", "br", "a", "strong"}, title


def test_mine_leaves_nothing_out_however_much_it_is() -> None:
    rows = [(replace(LISTED, number=f"K-{number}"), "https://x") for number in range(120)]
    parts = list(render_lists.mine(texts("en"), rows, Clock(NOW, BERLIN)))
    said = [line for part in parts for line in part.plain.splitlines()]
    assert len(parts) == 3
    assert [line.split(" · ")[0] for line in said[1:]] == [row.number for row, _ in rows]


def test_the_passing_of_time_changes_nothing_on_a_board() -> None:
    words = texts("en")
    now = render_lists.board(words, BOARD, ["https://x"], Clock(NOW, BERLIN))
    assert render_lists.board(words, BOARD, ["https://x"], Clock(NOW + timedelta(hours=3), BERLIN)) == now


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_story_does_not_take_a_board_that_names_a_conversation_for_its_card(language: str) -> None:
    board = dict(lists(texts(language)))["board"].plain
    assert "K-4F7Q" in board and number_of(board) == ""
    assert {number_of(card(texts(language), view).plain) for view in CARDS.values()} == {"K-4F7Q"}


def test_a_customers_markup_and_direction_marks_never_reach_html() -> None:
    text = customer_message(texts("en"), "<script>Anna\u202e", "a\u202e<img src=x>\n\x00b")
    assert text.html == ("<strong data-mx-profile-fallback>&lt;script&gt;Anna: </strong>a&lt;img src=x&gt;<br>b")
    assert text.plain == "<script>Anna: a<img src=x>\nb"


def test_a_customer_cannot_name_himself_like_our_internal_notes() -> None:
    text = customer_message(texts("en"), "🔒 Internal — Anna: the dose is right", "yes")
    assert text.plain == "Internal - Anna the dose is right: yes"


def test_the_greeting_tells_each_language_once() -> None:
    text = greeting([texts("de"), texts("en"), texts("zh")], "Beispiel")
    assert [line[:5] for line in text.plain.split("\n\n")] == ["Guten", "Hello", "您好，这里"]
    assert "<b>Dieser Chat ist" in text.html


def test_a_state_without_a_card_is_not_shown_as_another() -> None:
    with pytest.raises(ValueError, match=r"S1\.closed"):
        card(texts("en"), replace(VIEW, state="closed"))


def test_a_moment_may_come_as_iso_text_from_the_outbox() -> None:
    said = notice(texts("en"), "S25.customer", clock=Clock(NOW, BERLIN), label="M. S.", at=NOW.isoformat(), reason="x")
    assert said.plain.startswith("A message of M. S. from 10:20 cannot be read yet:")


def test_where_nobody_owns_the_refusal_says_how_to_claim() -> None:
    said = notice(texts("en"), "S10c.owner", owner="", action="release").plain
    assert said == "Not done: nobody owns this conversation; take it with !claim (release)."


@pytest.mark.parametrize(
    ("language", "action", "said"),
    [
        ("en", "transfer", "Not done: only the owner Anna Krüger or a lead may transfer here."),
        ("de", "assign", "Nicht ausgeführt: Nur Anna Krüger (zuständig) oder die Teamleitung darf hier zuweisen."),
        ("zh", "pause", "未执行：此处只有负责人Anna Krüger或主管可以暂停。"),
        ("en", "approve", "Not done: only the owner Anna Krüger may approve here."),
        ("de", "later", "Nicht ausgeführt: Nur Anna Krüger (zuständig) darf hier für später schreiben."),
    ],
)  # fmt: skip
def test_a_refusal_says_who_else_may_do_what(language: str, action: str, said: str) -> None:
    refused = NotYourConversation(action=action, owner=None, is_owners_alone=action in ("approve", "later"))
    assert notice(texts(language), refused.text, owner="Anna Krüger", action=action).plain == said


def test_an_unknown_reason_is_still_told() -> None:
    assert "error inside the desk" in notice(texts("en"), "S13.no_such_code", label="M. S.").plain
    assert "could not be opened" in notice(texts("en"), "C10.corrupt", file="a.pdf").plain


@pytest.mark.parametrize(("code", "command"), [("left", "start"), ("window_closed", "start"), ("unknown", "r")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_who_hears_that_an_answer_did_not_leave_is_told_a_command_that_helps(
    language: str, code: str, command: str
) -> None:
    said = notice(texts(language), f"S13.{code}", label="M. S.", channel="WhatsApp", ref="K-4F7Q").plain
    asked = parse(said[said.index("!") :].partition(" · ")[0])
    assert isinstance(asked, Asked) and asked.command.name == command


def test_an_answer_whose_end_nobody_knows_is_not_called_unsent() -> None:
    assert "Perhaps not sent" in notice(texts("en"), "S13.unknown", label="M. S.").plain


def test_every_error_code_of_a_channel_has_its_own_text() -> None:
    from messenger.channels.errors import CODES

    for code in CODES:
        assert all(texts(language).has(f"S13.{code}") for language in LANGUAGES), code


def test_every_reason_of_the_attachment_policy_has_its_texts() -> None:
    from typing import get_args

    from messenger.domain.attachment import Refusal

    for code in get_args(Refusal):
        assert all(texts(language).has(f"{family}.{code}") for family in ("S5b", "C10") for language in LANGUAGES)


@pytest.mark.parametrize(
    ("language", "at", "said"),
    [
        ("en", NOW, "10:20"),
        ("en", NOW - timedelta(days=1), "Mon 23 Nov 10:20"),
        ("de", NOW - timedelta(days=1), "Mo. 23. Nov. 10:20"),
        ("zh", NOW - timedelta(days=1), "11月23日周一 10:20"),
        ("en", NOW - timedelta(days=365), "Mon 24 Nov 2025 10:20"),
    ],
)
def test_times_of_another_day_carry_their_date(language: str, at: datetime, said: str) -> None:
    assert say_time(texts(language), at, Clock(NOW, BERLIN)) == said


def test_today_is_the_readers_day_not_that_of_utc() -> None:
    before_midnight = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    assert say_time(texts("en"), before_midnight, Clock(NOW, BERLIN)) == "00:30"
    assert say_time(texts("en"), before_midnight, Clock(NOW, UTC)) == "Mon 23 Nov 23:30"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "less than a minute"), (40, "1 min"), (170, "3 min"), (5400, "2 h"), (86_400 * 9, "9 days")],
)
def test_durations_are_rounded_to_what_matters(seconds: float, said: str) -> None:
    assert say_duration(texts("en"), seconds) == said


@pytest.mark.parametrize(("language", "said"), [("en", "1.2 MB"), ("de", "1,2 MB"), ("zh", "1.2 MB")])
def test_sizes_follow_the_language(language: str, said: str) -> None:
    assert say_size(texts(language), 1_234_567) == said
    assert say_size(texts(language), 12) == "12 B"


def _shown(id: str) -> dict[str, str]:
    return {name: str(FIELDS[name]) for name in texts("en").fields(id)}


@pytest.mark.parametrize("id", ["S17", "S17.fallback", "S18", "S22"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_step_without_a_comment_leaves_no_hole_and_one_with_it_quotes_it(language: str, id: str) -> None:
    fields = {"by": "Ben", "ref": "K-4F7Q", "to_group": "Claims", "link": "https://x", "resolution": "solved"}
    alone, told = (
        notice(texts(language), id, clock=Clock(), wakes="customer", until="", note=note, **fields)
        for note in ("", "<b>ask</b> again")
    )
    assert all(gap not in text for text in (alone.plain, alone.html) for gap in ("  ", " .", " 。", "()", "（）"))
    assert "<b>ask</b> again" in told.plain and "&lt;b&gt;ask&lt;/b&gt; again" in told.html
