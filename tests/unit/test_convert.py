"""Room events as inbox items: what each kind becomes on either side, and ten thousand broken answers that raise nothing
and can always be stored."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from messenger.app.desk_ports import Arrival, RoomState
from messenger.app.items import CustomerReacted, StaffReacted, StaffRedacted, StaffSaid, Unreadable
from messenger.channels.messages import (
    InboundMessage,
    MessageDeleted,
    MessageEdited,
    Unsupported,
)
from messenger.matrix import convert, room_state
from messenger.matrix.batch import parse
from messenger.matrix.engine import Decrypted
from messenger.storage.codec import dump
from tests.support.fuzz import fuzzed_bodies

DESK = "@desk:x"
GROUP = RoomState(room_id="!group", encrypted=True, use="group")
CASE = RoomState(room_id="!case", encrypted=True, use="case")
CHAT = RoomState(room_id="!chat", encrypted=True, use="chat")
TEXT = {"msgtype": "m.text", "body": "hello"}


def opened(content: Mapping[str, Any], *, type: str = "m.room.message", state: Any = "new", **more: Any) -> Decrypted:
    return Decrypted(state=state, type=type, content=content, sender_key="k", session_id="s", index=3, **more)


def event(relation: Any = None, *, type: str = "m.room.encrypted", **more: Any) -> dict[str, Any]:
    content = {"m.relates_to": relation} if relation is not None else {}
    return {"event_id": "$1", "sender": "@ben:x", "type": type, "content": content, "origin_server_ts": 1000, **more}


def arrival(room: RoomState, raw: Mapping[str, Any], plain: Decrypted | None = None) -> Arrival | None:
    return convert.arrival(DESK, room, raw, plain)


def item(room: RoomState, raw: Mapping[str, Any], plain: Decrypted | None = None) -> Any:
    found = arrival(room, raw, plain)
    assert found is not None
    return found.item


THREAD = {"rel_type": "m.thread", "event_id": "$card"}


def test_a_thread_message_keeps_its_place_and_who_it_mentions() -> None:
    said = item(GROUP, event(THREAD), opened({**TEXT, "m.mentions": {"user_ids": ["@cleo:x", 7, "nobody"]}}))
    assert isinstance(said, StaffSaid)
    assert (said.thread, said.type, said.content.text, list(said.mentions)) == ("$card", "m.text", "hello", ["@cleo:x"])
    found = arrival(GROUP, event(THREAD), opened(TEXT))
    assert found is not None and (found.lane, found.ciphertext) == ("!group|$card", ("!group", "k", "s", 3))


@pytest.mark.parametrize("root", [None, 7, "", "card", "$a\0b", "$" + "x" * 5000, ["$card"]])
def test_a_thread_of_nonsense_is_no_thread(root: object) -> None:
    found = arrival(GROUP, event({"rel_type": "m.thread", "event_id": root}), opened(TEXT))
    assert found is not None and isinstance(found.item, StaffSaid)
    assert found.item.thread is None and "\0" not in found.lane and len(found.lane) < 600


def test_a_direct_chat_of_staff_is_a_room_of_staff_in_one_order() -> None:
    direct = RoomState(room_id="!direct", encrypted=True, use="direct")
    for relation in (None, THREAD):
        found = arrival(direct, event(relation), opened(TEXT))
        assert found is not None and isinstance(found.item, StaffSaid)
        assert found.lane == "!direct|main"


REPLACE = {"rel_type": "m.replace", "event_id": "$old"}


def test_an_edit_of_staff_says_what_it_puts_in_the_place_of_what() -> None:
    new = {**TEXT, "msgtype": "m.emote", "body": "better", "m.mentions": {"user_ids": ["@cleo:x"]}}
    outer = {**TEXT, "body": "* better", "m.mentions": {"user_ids": ["@other:x"]}, "m.new_content": new}
    said = item(GROUP, event(REPLACE), opened(outer))
    assert isinstance(said, StaffSaid) and (said.edits, said.reply_to, said.thread) == ("$old", None, None)
    assert (said.content.text, said.type, list(said.mentions)) == ("better", "m.emote", ["@cleo:x"])


def test_an_edit_of_a_caption_brings_the_file_again() -> None:
    new = {"msgtype": "m.file", "body": "look here", "filename": "a.pdf", "file": {"url": "mxc://x/y"}}
    said = item(GROUP, event(REPLACE), opened({**TEXT, "m.new_content": new}))
    assert (said.type, said.content.text, said.content.media[0].filename) == ("m.file", "look here", "a.pdf")


@pytest.mark.parametrize("new", [None, 7, "x", {}, {"body": "b"}, {"msgtype": "m.text"}, {"msgtype": [], "body": {}}])
def test_an_edit_that_puts_nothing_in_place_stays_visible_and_is_never_words_to_send(new: object) -> None:
    outer = {**TEXT, "body": "* better", **({"m.new_content": new} if new is not None else {})}
    said = item(GROUP, event(REPLACE), opened(outer))
    assert (said.edits, said.type, said.content.text) == ("$old", "m.replace", "* better")
    edited = item(CHAT, event(REPLACE), opened(outer))
    assert isinstance(edited, MessageEdited) and edited.content.text == "* better"
    nothing = item(CHAT, event(REPLACE), opened({"msgtype": "m.text", "m.new_content": new}))
    assert isinstance(nothing, Unsupported) and nothing.what == "m.replace"


def test_an_edit_that_says_only_inside_what_it_edits_is_no_message_to_send() -> None:
    hidden = {**TEXT, "body": "* better", "m.new_content": {**TEXT, "body": "better"}, "m.relates_to": REPLACE}
    for room in (GROUP, CASE):
        said = item(room, event(), opened(hidden))
        assert (said.edits, said.type, said.content.text) == (None, "m.replace", "better")


@pytest.mark.parametrize("target", [None, 7, "", "old", ["$old"]])
def test_an_edit_of_no_message_is_no_message_to_send_either(target: object) -> None:
    relation = {"rel_type": "m.replace", "event_id": target}
    said = item(GROUP, event(relation), opened({**TEXT, "m.new_content": {**TEXT, "body": "better"}}))
    assert (said.edits, said.type, said.content.text) == (None, "m.replace", "better")


@pytest.mark.parametrize(
    "relation", [{"rel_type": "x.odd", "event_id": "$o"}, {"rel_type": 7}, {"rel_type": "m.thread"}]
)
def test_an_unknown_relation_loses_no_words(relation: Mapping[str, Any]) -> None:
    assert item(CHAT, event(relation), opened(TEXT)).content.text == "hello"
    said = item(GROUP, event(relation), opened(TEXT))
    assert (said.content.text, said.type, said.thread, said.edits) == ("hello", "m.text", None, None)


def test_a_case_room_is_staffs_and_everything_in_it_is_one_lane() -> None:
    found = [
        arrival(CASE, event(), opened(TEXT)),
        arrival(CASE, event(REPLACE), opened({**TEXT, "m.new_content": TEXT})),
        arrival(CASE, event({"event_id": "$x", "key": "👀"}, type="m.reaction")),
        arrival(CASE, event(type="m.room.redaction", redacts="$o")),
    ]
    assert [type(each.item) for each in found if each] == [StaffSaid, StaffSaid, StaffReacted, StaffRedacted]
    assert {each.lane for each in found if each} == {"!case|main"}


@pytest.mark.parametrize(
    ("type", "content"),
    [
        ("org.matrix.msc3381.poll.response", {"org.matrix.msc3381.poll.response": {"answers": ["billing"]}}),
        ("m.poll.response", {"m.poll.response": {"answers": ["billing", "other"]}}),
        ("m.poll.response", {"m.selections": ["billing"]}),
    ],
)
def test_a_vote_in_a_chat_is_the_answer_to_the_menu(type: str, content: Mapping[str, Any]) -> None:
    said = item(CHAT, event({"rel_type": "m.reference", "event_id": "$menu"}), opened(content, type=type))
    assert isinstance(said, InboundMessage)
    assert (said.content.text, said.signals, said.reply_to) == ("billing", {"button": "billing"}, "$menu")


@pytest.mark.parametrize("answers", [None, [], "x", [7], [{}]])
def test_a_vote_for_nothing_is_shown_as_what_it_is(answers: object) -> None:
    kind = "org.matrix.msc3381.poll.response"
    found = item(CHAT, event(), opened({kind: {"answers": answers}, "m.selections": answers}, type=kind))
    assert isinstance(found, Unsupported) and found.what == kind


@pytest.mark.parametrize("kind", ["m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start", "x"])
def test_a_kind_that_is_not_known_bears_its_own_name_so_that_it_is_kept(kind: str) -> None:
    said = item(GROUP, event(THREAD), opened({"body": "x"}, type=kind))
    assert isinstance(said, StaffSaid) and said.type == kind


def test_reactions_and_redactions_of_staff() -> None:
    relation = {"rel_type": "m.annotation", "event_id": "$card", "key": "👀"}
    reacted = item(GROUP, event(relation, type="m.reaction"))
    assert isinstance(reacted, StaffReacted) and (reacted.target, reacted.key) == ("$card", "👀")
    for more in ({"redacts": "$r"}, {"content": {"redacts": "$r"}}):
        redacted = item(GROUP, event(type="m.room.redaction", **({"content": {}} | more)))
        assert isinstance(redacted, StaffRedacted) and redacted.target == "$r"


@pytest.mark.parametrize(
    "relation", [{}, {"event_id": "$c"}, {"event_id": 7, "key": "x"}, {"event_id": "$c", "key": "x" * 65}, {"key": "x"}]
)
def test_a_reaction_of_nonsense_is_nothing(relation: Mapping[str, Any]) -> None:
    assert arrival(GROUP, event(relation, type="m.reaction")) is None
    key = relation.get("key")
    assert (arrival(CHAT, event(relation, type="m.reaction")) is None) == (
        key is None or relation.get("event_id") != "$c"
    )


def test_a_customers_message_edit_reaction_and_deletion() -> None:
    replace = {"rel_type": "m.replace", "event_id": "$old"}
    edited = item(CHAT, event(replace), opened({**TEXT, "m.new_content": {**TEXT, "body": "new"}}))
    assert isinstance(edited, MessageEdited) and (edited.target, edited.content.text) == ("$old", "new")
    assert isinstance(item(CHAT, event(), opened(TEXT)), InboundMessage)
    reacted = item(CHAT, event({"event_id": "$o", "key": "👍"}, type="m.reaction"))
    assert isinstance(reacted, CustomerReacted)
    assert (reacted.room, reacted.event, reacted.target, reacted.key) == ("!chat", "$1", "$o", "👍")
    assert isinstance(item(CHAT, event(type="m.room.redaction", redacts="$o")), MessageDeleted)
    assert isinstance(item(CHAT, event(), opened({}, type="m.sticker")), Unsupported)


@pytest.mark.parametrize("room", [GROUP, CHAT])
def test_clear_text_is_unreadable_by_rule_and_our_own_words_are_nothing(room: RoomState) -> None:
    unreadable = item(room, event(type="m.room.message", content=TEXT))
    assert isinstance(unreadable, Unreadable) and unreadable.reason == "clear_text"
    assert arrival(room, event(sender=DESK), opened(TEXT)) is None
    assert arrival(room, event(type="m.room.name", state_key="")) is None


def test_an_event_without_its_key_is_kept_whole_until_the_key_comes() -> None:
    waiting = arrival(CHAT, event(), opened({}, state="waiting_key"))
    assert waiting is not None and waiting.raw == event() and (waiting.session, waiting.waits) == (("!chat", "s"), True)
    assert waiting.ciphertext is None, "it is not taken yet, so it is no replay"


@pytest.mark.parametrize("state", ["quarantine", "undecryptable"])
def test_nothing_of_what_cannot_be_trusted_gets_into_the_item(state: str) -> None:
    unreadable = item(CHAT, event(), opened({"body": "forged"}, state=state))
    assert isinstance(unreadable, Unreadable) and "forged" not in dump(unreadable).decode()


@pytest.mark.parametrize(
    ("body", "own"),
    [
        ("> <@ben:x> // secret\n\nanswer", "answer"),
        ("> <@ben:x> one\n> two\n\nanswer\n> a real quotation", "answer\n> a real quotation"),
        ("> * <@ben:x> waves\n\nhi", "hi"),
        ("> <@ben:x> only a quotation", ""),
        ("> my own quotation\nanswer", "> my own quotation\nanswer"),
        ("answer", "answer"),
        ("> <@ben:x> x\n\n!note secret", "!note secret"),
    ],
)
def test_the_quotation_above_a_reply_is_taken_away(body: str, own: str) -> None:
    reply = {**THREAD, "m.in_reply_to": {"event_id": "$note"}}
    for room in (GROUP, CHAT):
        assert item(room, event(reply), opened({**TEXT, "body": body})).content.text == own
    if own:
        new = {**TEXT, "body": body}
        assert item(GROUP, event(REPLACE), opened({**TEXT, "m.new_content": new})).content.text == own
    assert item(GROUP, event(THREAD), opened({**TEXT, "body": body})).content.text == body, "no reply, so a quotation"


FILE = {"msgtype": "m.audio", "body": "a.ogg", "file": {"url": "mxc://x/y"}}


@pytest.mark.parametrize(
    ("content", "name", "caption"),
    [
        ({"body": "a.pdf"}, "a.pdf", ""),
        ({"body": "a.pdf", "filename": "a.pdf"}, "a.pdf", ""),
        ({"body": "look", "filename": "a.pdf"}, "a.pdf", "look"),
        ({"filename": "a.pdf"}, "a.pdf", ""),
        ({"body": 7, "filename": None}, "", ""),
    ],
)
def test_a_files_name_and_caption_are_told_apart(content: Mapping[str, Any], name: str, caption: str) -> None:
    shown = item(CHAT, event(), opened({"msgtype": "m.file", "file": {"url": "mxc://x/y"}, **content})).content
    assert (shown.media[0].filename, shown.text) == (name, caption)
    assert json.loads(shown.media[0].id) == {"url": "mxc://x/y"}


def test_a_voice_message_keeps_its_length_and_its_shape() -> None:
    sound = {"duration": 2_500, "waveform": [0, 512, 1024]}
    content = {**FILE, "org.matrix.msc3245.voice": {}, "org.matrix.msc1767.audio": sound}
    [media] = item(CHAT, event(), opened(content)).content.media
    assert (media.voice, media.duration_ms, media.waveform) == (True, 2_500, [0, 512, 1024])


@pytest.mark.parametrize("duration", ["2500", 2.5, True, -1, 2**60, None])
def test_nonsense_about_sound_is_left_out(duration: object) -> None:
    sound = {"duration": duration, "waveform": [*"ab", True, 1.5, None, 10**9, -5, *[1] * 10_000]}
    content = {**FILE, "info": {"duration": duration}, "org.matrix.msc1767.audio": sound}
    [media] = item(CHAT, event(), opened(content)).content.media
    assert (media.voice, media.duration_ms) == (False, None)
    assert list(media.waveform[:3]) == [1024, 0, 1] and len(media.waveform) < 256


@pytest.mark.parametrize("at", [None, "x", -1, 2**70, 1.5, True, {}])
def test_an_absurd_time_is_the_epoch(at: object) -> None:
    assert item(CHAT, event(origin_server_ts=at), opened(TEXT)).at.year == 1970


RELATIONS: list[Any] = [
    THREAD,
    {"rel_type": "m.replace", "event_id": "$old"},
    {**THREAD, "m.in_reply_to": {"event_id": "$x"}},
    {"rel_type": "m.annotation", "event_id": "$c", "key": "👀"},
]
PNG = {"mimetype": "image/png", "size": 3}
FILE = {"msgtype": "m.image", "body": "b", "filename": "f", "info": PNG, "file": {"url": "u"}}
INNER: list[dict[str, Any]] = [
    {**TEXT, "format": "org.matrix.custom.html", "formatted_body": "<b>x</b>", "m.mentions": {"user_ids": ["@a:b"]}},
    FILE,
    {**TEXT, "m.new_content": TEXT},
]
REFERENCE = {"rel_type": "m.reference", "event_id": "$menu"}
VOTED = "org.matrix.msc3381.poll.response"
VOTE = {VOTED: {"answers": ["a"]}, "m.selections": ["a"]}
# The inner contents stand in clear here, so that they are wounded with the rest.
ANSWER = {
    "next_batch": "s1",
    "rooms": {
        "join": {
            room: {
                "timeline": {
                    "events": [
                        {**event(relation), "event_id": f"${n}{m}", "inner": inner, "inner_type": "m.room.message"}
                        for n, relation in enumerate(RELATIONS)
                        for m, inner in enumerate(INNER)
                    ]
                    + [
                        {**event(REFERENCE), "event_id": "$vote", "inner": VOTE, "inner_type": VOTED},
                        {**event(RELATIONS[3], type="m.reaction"), "event_id": "$re"},
                        {**event(type="m.room.redaction"), "event_id": "$rd", "redacts": "$x"},
                        {**event(type="m.room.member"), "event_id": "$m", "state_key": "@a:b"},
                        {**event({}, type="m.room.encryption"), "event_id": "$e", "state_key": ""},
                    ],
                    "limited": True,
                    "prev_batch": "p",
                },
                "state": {"events": []},
            }
            for room in ("!group", "!chat")
        },
        "invite": {"!i": {"invite_state": {"events": [event(type="m.room.member")]}}},
        "leave": {"!l": {}},
    },
    "to_device": {"events": [{"type": "x"}]},
    "device_lists": {"changed": ["@a:b"], "left": []},
    "device_one_time_keys_count": {"signed_curve25519": 50},
}


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_broken_answers_raise_nothing_and_everything_can_be_stored(count: int) -> None:
    batches = items = 0
    for body in fuzzed_bodies([ANSWER], seed=20261124, count=count):
        batch = parse(_decoded(body))
        for room in batch.rooms if batch else ():
            batches += 1
            known = RoomState(room_id=room.room_id, use="group" if "group" in room.room_id else "chat")
            state, members = room_state.apply(known, room.state, own=DESK)
            storable(state.algorithm, state.history_visibility, *members, *members.values())
            for raw in room.timeline[:4] + room.timeline[-5:]:
                items += converts(state, raw)
    assert batches > count and items > count, "too much was thrown away to prove anything"


def converts(room: RoomState, raw: Mapping[str, Any]) -> int:
    inner = raw.get("inner")
    plain = None
    if raw["type"] == "m.room.encrypted":
        kind = raw.get("inner_type")
        plain = opened(inner if isinstance(inner, dict) else {}, type=kind if isinstance(kind, str) else "x")
    found = convert.arrival(DESK, room, raw, plain)
    if found is None:
        return 0
    storable(found.lane, found.source_id, type(found.item).__name__)
    dump(found.item)
    return 1


def storable(*texts: str) -> None:
    for text in texts:
        assert "\0" not in text and len(text) < 1000
        text.encode()


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
