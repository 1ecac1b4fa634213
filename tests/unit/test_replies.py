"""The reply rule, row by row: who may say what to whom, in every mode."""

import itertools

import pytest

from messenger.domain.people import ReplyMode, Role
from messenger.domain.replies import MARKERS, RELAYED_TYPES, Fate, Ruling, Said, Standing, Verdict, rule

TEXT = Said(type="m.text", text="Your prescription is ready.")
OWNER = Standing(role=Role.AGENT, is_owner=True, has_owner=True, mode=ReplyMode.OWNER)


def standing(role: Role, mode: ReplyMode, *, owner: str) -> Standing:
    """`owner` is `self`, `other` or `nobody`."""
    return Standing(role=role, is_owner=owner == "self", has_owner=owner != "nobody", mode=mode)


# Columns: what mode, who writes, who owns it. Clerks and other people's conversations are in every part.
PLAIN_TEXT = [
    (ReplyMode.OWNER, Role.AGENT, "self", "send", "answer"),
    (ReplyMode.OWNER, Role.LEAD, "self", "send", "answer"),
    (ReplyMode.OWNER, Role.CLERK, "self", "keep", "role"),
    (ReplyMode.OWNER, Role.AGENT, "other", "keep", "not_owner"),
    (ReplyMode.OWNER, Role.LEAD, "other", "keep", "not_owner"),
    (ReplyMode.OWNER, Role.CLERK, "other", "keep", "role"),
    (ReplyMode.OWNER, Role.AGENT, "nobody", "keep", "no_owner"),
    (ReplyMode.OWNER, Role.LEAD, "nobody", "keep", "no_owner"),
    (ReplyMode.OWNER, Role.CLERK, "nobody", "keep", "role"),
    (ReplyMode.EXPLICIT, Role.AGENT, "self", "keep", "draft"),
    (ReplyMode.EXPLICIT, Role.LEAD, "self", "keep", "draft"),
    (ReplyMode.EXPLICIT, Role.CLERK, "self", "keep", "role"),
    (ReplyMode.EXPLICIT, Role.AGENT, "other", "keep", "draft"),
    (ReplyMode.EXPLICIT, Role.AGENT, "nobody", "keep", "draft"),
    (ReplyMode.OPEN, Role.AGENT, "self", "send", "answer"),
    (ReplyMode.OPEN, Role.AGENT, "other", "send", "answer"),
    (ReplyMode.OPEN, Role.AGENT, "nobody", "send", "answer"),
    (ReplyMode.OPEN, Role.LEAD, "other", "send", "answer"),
    (ReplyMode.OPEN, Role.CLERK, "other", "keep", "role"),
    (ReplyMode.OPEN, Role.CLERK, "nobody", "keep", "role"),
]


@pytest.mark.parametrize(("mode", "role", "owner", "verdict", "reason"), PLAIN_TEXT)
def test_plain_text_leaves_only_where_the_table_says_so(
    mode: ReplyMode, role: Role, owner: str, verdict: str, reason: str
) -> None:
    assert rule(TEXT, standing(role, mode, owner=owner)) == Ruling(Verdict(verdict), reason)


@pytest.mark.parametrize(
    ("mode", "owner", "verdict", "reason"),
    [
        (ReplyMode.EXPLICIT, "self", "send", "answer"),
        (ReplyMode.EXPLICIT, "other", "keep", "not_owner"),
        (ReplyMode.EXPLICIT, "nobody", "keep", "no_owner"),
        (ReplyMode.OWNER, "self", "send", "answer"),
        (ReplyMode.OWNER, "other", "keep", "not_owner"),
        (ReplyMode.OPEN, "other", "send", "answer"),
    ],
)
def test_an_order_to_reply_needs_the_same_right_as_an_answer(
    mode: ReplyMode, owner: str, verdict: str, reason: str
) -> None:
    said = Said(type="m.text", text="Your prescription is ready.", is_explicit=True)
    assert rule(said, standing(Role.AGENT, mode, owner=owner)) == Ruling(Verdict(verdict), reason)


@pytest.mark.parametrize("explicit", [False, True])
def test_nothing_leaves_from_a_device_that_the_group_does_not_trust(explicit: bool) -> None:
    said = Said(type="m.text", text="Ready.", is_explicit=explicit, is_from_trusted_device=False)
    assert rule(said, OWNER) == Ruling(Verdict.KEEP, "device")


@pytest.mark.parametrize(
    "text",
    [
        "// the doctor is wrong", "/ the doctor is wrong", "/shrug", "note: not for her", "Note: x", "NOTE : x",
        "notiz: Blutdruck", "备注: 内部", "备注：内部", "🔒 inside", "🔒\ufe0f inside", "  \n // x", "\u200b// x",
        "\ufeffnote: x", "／／ full width", "ｎｏｔｅ：x", "\u2066//\u2069 x", "note:",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ReplyMode)
def test_what_looks_like_a_note_stays_inside_in_every_mode(text: str, mode: ReplyMode) -> None:
    for role, owner in itertools.product(Role, ("self", "other", "nobody")):
        assert rule(Said(type="m.text", text=text), standing(role, mode, owner=owner)) == Ruling(Verdict.KEEP, "note")


@pytest.mark.parametrize("text", ["!claim", "！claim", " !frobnicate", "!", "\u200b!note secret", "\n！note secret"])
@pytest.mark.parametrize("mode", ReplyMode)
def test_what_looks_like_a_command_is_never_an_answer(text: str, mode: ReplyMode) -> None:
    for role, owner in itertools.product(Role, ("self", "other", "nobody")):
        ruling = rule(Said(type="m.text", text=text), standing(role, mode, owner=owner))
        assert ruling.verdict is Verdict.COMMAND


def test_an_order_keeps_its_note_even_if_the_text_looks_harmless() -> None:
    said = Said(type="m.text", text="she is my neighbour", is_note=True)
    assert rule(said, OWNER) == Ruling(Verdict.KEEP, "note")


def test_an_ordered_reply_that_begins_with_a_note_prefix_stays_inside() -> None:
    assert rule(Said(type="m.text", text="// oops", is_explicit=True), OWNER).verdict is Verdict.KEEP


@pytest.mark.parametrize(
    "type", ["m.notice", "m.emote", "m.sticker", "m.location", "m.poll.start", "unknown", "", "m.key.verification"]
)
def test_kinds_that_are_not_on_the_list_stay_inside(type: str) -> None:
    assert rule(Said(type=type, text="hello"), OWNER) == Ruling(Verdict.KEEP, "type")


@pytest.mark.parametrize("type", sorted(RELAYED_TYPES))
def test_words_and_files_of_the_owner_leave(type: str) -> None:
    assert rule(Said(type=type, text=""), OWNER).verdict is Verdict.SEND


def test_an_ordered_reply_that_looks_like_a_command_is_held() -> None:
    said = Said(type="m.text", text="!note she is my aunt", is_explicit=True)
    assert rule(said, OWNER) == Ruling(Verdict.HOLD, "note_inside")


def test_a_mention_of_a_colleague_is_held() -> None:
    said = Said(type="m.text", text="Ben, what do you think?", mentions_staff=True)
    assert rule(said, OWNER) == Ruling(Verdict.HOLD, "mentions_staff")


@pytest.mark.parametrize("text", ["Hello\n// do not send", "Hello\n\nNotiz: nein", "a\nb\n🔒 c"])
def test_a_note_inside_an_answer_is_held(text: str) -> None:
    assert rule(Said(type="m.text", text=text), OWNER) == Ruling(Verdict.HOLD, "note_inside")


@pytest.mark.parametrize("text", ["> note: she is difficult\n\nDear Anna,", "Dear Anna,\n> > // she is difficult"])
def test_an_answer_that_quotes_a_note_is_held(text: str) -> None:
    assert rule(Said(type="m.text", text=text), OWNER) == Ruling(Verdict.HOLD, "note_inside")


def test_an_answer_that_quotes_an_answer_leaves() -> None:
    assert rule(Said(type="m.text", text="> when will it come?\n\nTomorrow."), OWNER).verdict is Verdict.SEND


@pytest.mark.parametrize("text", ["Take one and/or two.", "Notes: none", "Really!", "5/6", "Hello\nand/or"])
def test_signs_inside_a_line_mean_nothing(text: str) -> None:
    assert rule(Said(type="m.text", text=text), OWNER).verdict is Verdict.SEND


def test_a_colleague_who_mentions_somebody_is_kept_rather_than_held() -> None:
    said = Said(type="m.text", text="@ben look", mentions_staff=True)
    assert rule(said, standing(Role.AGENT, ReplyMode.OWNER, owner="other")).verdict is Verdict.KEEP


def test_every_fate_has_a_marker_and_the_sent_ones_look_alike() -> None:
    assert set(MARKERS) == set(Fate)
    shared = {MARKERS[Fate.QUEUED], MARKERS[Fate.SENT]}
    assert len(shared) == 1 and len(set(MARKERS.values())) == len(Fate) - 1
