"""Which staff message leaves: the thirteen rows of the decision table (reply rule), each in all three modes and roles.
Rows 1 to 3 are decided before the rule sees a message: see `tests/integration/test_decision_rows.py`."""

import itertools

import pytest

from messenger.domain.people import ReplyMode, Role
from messenger.domain.replies import Said, Standing, Verdict, rule

A, C, L = Role.AGENT, Role.CLERK, Role.LEAD
OWNER, EXPLICIT, OPEN = ReplyMode.OWNER, ReplyMode.EXPLICIT, ReplyMode.OPEN
MODES, ROLES = tuple(ReplyMode), tuple(Role)
ANYBODY = ("self", "other", "nobody")
PLAIN = {"type": "m.text", "text": "Your prescription is ready."}
EXPLICITLY = {**PLAIN, "is_explicit": True}

# Row, what is said, in which modes, by which roles, whose the conversation is, what else holds, verdict and reason.
TABLE = [
    (4, {**PLAIN, "text": "!claim"}, MODES, ROLES, ANYBODY, {}, "command", "command"),
    (4, {**PLAIN, "text": "！frobnicate"}, MODES, ROLES, ANYBODY, {}, "command", "command"),
    (4, {**PLAIN, "is_note": True}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (5, {**PLAIN, "text": "// inside"}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (5, {**PLAIN, "text": "/ inside"}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (5, {**PLAIN, "text": "note: inside"}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (5, {**PLAIN, "text": "Notiz: innen"}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (5, {**PLAIN, "text": "备注：内部"}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (5, {**PLAIN, "text": "🔒 inside"}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (5, {**EXPLICITLY, "text": "// inside"}, MODES, ROLES, ANYBODY, {}, "keep", "note"),
    (6, {**PLAIN, "type": "m.sticker"}, MODES, ROLES, ANYBODY, {}, "keep", "type"),
    (6, {**PLAIN, "type": "m.notice"}, MODES, ROLES, ANYBODY, {}, "keep", "type"),
    (7, PLAIN, MODES, (C,), ANYBODY, {}, "keep", "role"),
    (7, EXPLICITLY, MODES, (C,), ANYBODY, {}, "keep", "role"),
    (7, PLAIN, (OWNER,), (L,), ("other",), {}, "keep", "not_owner"),
    (7, PLAIN, (OWNER,), (L,), ("nobody",), {}, "keep", "no_owner"),
    (8, PLAIN, (EXPLICIT,), (A, L), ANYBODY, {}, "keep", "draft"),
    (8, EXPLICITLY, (EXPLICIT,), (A, L), ANYBODY, {"four_eyes": True}, "keep", "draft"),
    (9, PLAIN, (OWNER,), (A,), ("other",), {}, "keep", "not_owner"),
    (9, PLAIN, (OWNER,), (A,), ("nobody",), {}, "keep", "no_owner"),
    (9, EXPLICITLY, (OWNER, EXPLICIT), (A, L), ("other",), {}, "keep", "not_owner"),
    (9, EXPLICITLY, (OWNER, EXPLICIT), (A, L), ("nobody",), {}, "keep", "no_owner"),
    (10, {**PLAIN, "mentions_staff": True}, (OWNER, OPEN), (A, L), ("self",), {}, "hold", "mentions_staff"),
    (10, {**EXPLICITLY, "mentions_staff": True}, MODES, (A, L), ("self",), {}, "hold", "mentions_staff"),
    (10, {**PLAIN, "text": "Hello\n// inside"}, (OWNER, OPEN), (A, L), ("self",), {}, "hold", "note_inside"),
    (10, {**EXPLICITLY, "text": "!note inside"}, MODES, (A, L), ("self",), {}, "hold", "note_inside"),
    (11, PLAIN, (OWNER, OPEN), (A, L), ("self",), {"is_resolved": True}, "hold", "resolved"),
    (11, EXPLICITLY, MODES, (A, L), ("self",), {"is_resolved": True}, "hold", "resolved"),
    (12, PLAIN, (OWNER, OPEN), (A, L), ("self",), {"is_customer_room_safe": False}, "hold", "unsafe"),
    (12, EXPLICITLY, MODES, (A, L), ("self",), {"is_customer_room_safe": False}, "hold", "unsafe"),
    (12, {**EXPLICITLY, "is_from_trusted_device": False}, MODES, (A, L), ("self",), {}, "keep", "device"),
    (13, PLAIN, (OWNER,), (A, L), ("self",), {}, "send", "answer"),
    (13, PLAIN, (OPEN,), (A, L), ANYBODY, {}, "send", "answer"),
    (13, EXPLICITLY, (OWNER, EXPLICIT), (A, L), ("self",), {}, "send", "answer"),
    (13, EXPLICITLY, (OPEN,), (A, L), ANYBODY, {}, "send", "answer"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "said", "modes", "roles", "owners", "more", "verdict", "reason"), TABLE)
def test_each_row_of_the_table_holds_in_its_modes_and_roles(
    row: int, said: dict, modes: tuple, roles: tuple, owners: tuple, more: dict, verdict: str, reason: str
) -> None:  # type: ignore[type-arg]
    for mode, role, owner in itertools.product(modes, roles, owners):
        standing = Standing(role=role, is_owner=owner == "self", has_owner=owner != "nobody", mode=mode, **more)
        ruling = rule(Said(**said), standing)
        assert (ruling.verdict, ruling.reason) == (verdict, reason), f"row {row}: {mode}, {role}, {owner}"


def test_the_table_decides_every_plain_message() -> None:
    """No combination of mode, role and owner is left without a row."""
    decided = {
        (mode, role, owner)
        for _, said, modes, roles, owners, more, _, _ in TABLE
        if said is PLAIN and not more
        for mode, role, owner in itertools.product(modes, roles, owners)
    }
    assert decided == set(itertools.product(MODES, ROLES, ANYBODY))


FIRST_WINS = [
    ({"text": "!r // x", "is_explicit": False}, {}, "command"),
    ({"text": "// x", "type": "m.sticker"}, {}, "note"),
    ({"type": "m.sticker", "mentions_staff": True}, {"role": C}, "type"),
    ({"mentions_staff": True}, {"role": C}, "role"),
    ({"mentions_staff": True}, {"mode": EXPLICIT}, "draft"),
    ({"mentions_staff": True}, {"is_owner": False}, "not_owner"),
    ({"mentions_staff": True}, {"is_resolved": True}, "mentions_staff"),
    ({"text": "a\n// b"}, {"is_resolved": True, "is_customer_room_safe": False}, "note_inside"),
    ({}, {"is_resolved": True, "is_customer_room_safe": False}, "resolved"),
]


@pytest.mark.parametrize(("said", "standing", "reason"), FIRST_WINS)
def test_of_several_rows_the_first_wins(said: dict, standing: dict, reason: str) -> None:  # type: ignore[type-arg]
    here = {"role": A, "is_owner": True, "has_owner": True, "mode": OWNER, **standing}
    ruling = rule(Said(**{**PLAIN, **said}), Standing(**here))
    assert ruling.reason == reason and ruling.verdict is not Verdict.SEND
