"""Which reactions cross, and with which sign."""

import pytest

from messenger.domain.people import ReplyMode, Role
from messenger.domain.reactions import PICTURE, carried_key, reaction_leaves
from messenger.domain.replies import MARKERS, Standing


@pytest.mark.parametrize(
    "key",
    [
        "👍",
        "❤️",
        "👩‍👩‍👧‍👦",
        "👍🏽",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "1️⃣",
        "thanks",
        "谢谢",
    ],
)
def test_a_sign_crosses_as_it_is(key: str) -> None:
    assert carried_key(key) == key


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("\u202egood\u2066", "good"),
        (" so\x00 so\n", "so so"),
        ("\u200d", ""),
        ("\ufe0f", ""),
        ("", ""),
        ("x" * 200, "x" * 64),
        ("mxc://evil.example/pixel", PICTURE),
    ],
)
def test_what_is_invisible_or_too_long_is_left_out(raw: str, key: str) -> None:
    assert carried_key(raw) == key
    assert carried_key(key) == key


@pytest.mark.parametrize("marker", sorted(set(MARKERS.values())))
def test_a_sign_that_looks_like_a_marker_of_the_desk_never_is_one(marker: str) -> None:
    bare = marker.replace("\ufe0f", "")
    for spelling in (bare, bare + "\ufe0f"):
        shown = carried_key(spelling)
        assert shown not in MARKERS.values() and shown.replace("\ufe0f", "") == bare


OWNER = Standing(role=Role.AGENT, is_owner=True, has_owner=True, mode=ReplyMode.OWNER)
COLLEAGUE = Standing(role=Role.AGENT, is_owner=False, has_owner=True, mode=ReplyMode.OWNER)


@pytest.mark.parametrize(
    ("standing", "leaves"),
    [
        (OWNER, True),
        (COLLEAGUE, False),
        (Standing(role=Role.AGENT, is_owner=False, has_owner=False, mode=ReplyMode.OWNER), False),
        (Standing(role=Role.AGENT, is_owner=False, has_owner=True, mode=ReplyMode.OPEN), True),
        (Standing(role=Role.CLERK, is_owner=False, has_owner=True, mode=ReplyMode.OPEN), False),
        (Standing(role=Role.AGENT, is_owner=True, has_owner=True, mode=ReplyMode.EXPLICIT), False),
        (Standing(role=Role.AGENT, is_owner=True, has_owner=True, mode=ReplyMode.OWNER, is_resolved=True), False),
        (
            Standing(
                role=Role.AGENT, is_owner=True, has_owner=True, mode=ReplyMode.OWNER, is_customer_room_safe=False
            ),
            False,
        ),
    ],
)  # fmt: skip
def test_a_reaction_leaves_where_the_same_persons_words_would(standing: Standing, leaves: bool) -> None:
    assert reaction_leaves("👍", standing, is_device_trusted=True) is leaves


@pytest.mark.parametrize("key", ["/x", "note: no", "!r yes", "🔒"])
def test_a_note_or_a_command_does_not_leave_as_a_reaction_either(key: str) -> None:
    assert not reaction_leaves(key, OWNER, is_device_trusted=True)


@pytest.mark.parametrize(
    ("key", "leaves"), [("👍🏽", True), ("1️⃣", True), ("yes", False), ("DE89", False), ("12", False)]
)
def test_words_that_no_device_signed_stay_inside_where_signed_devices_are_asked_for(key: str, leaves: bool) -> None:
    assert reaction_leaves(key, OWNER, is_device_trusted=False) is leaves
    assert reaction_leaves(key, OWNER, is_device_trusted=True)
