"""What we send, as event contents. Pure. (What comes in is read in `incoming`.)

Client-server API v1.16, "Event replacements", "Rich replies", "Threading"; MSC3381 polls."""

from collections.abc import Mapping, Sequence
from typing import Any

from messenger.app.records import Said

HTML = "org.matrix.custom.html"
MOST_TWICE = 2_000  # characters that an edit repeats outside of its new content
# Polls in the form of MSC3381 before its last change, which is the one that Element Web, Element X and the others on
# their libraries write and show; the stable form needs extensible events, which no room version has yet.
POLL = "org.matrix.msc3381.poll"
POLL_START, POLL_END = f"{POLL}.start", f"{POLL}.end"
POLL_TEXT = "org.matrix.msc1767.text"


def text_content(said: Said) -> dict[str, Any]:
    content = {"msgtype": "m.notice" if said.is_notice else "m.text", "body": said.plain, **extras(said)}
    if said.html:
        content |= {"format": HTML, "formatted_body": said.html}
    return content


def extras(said: Said) -> dict[str, Any]:
    """Mentions are always set by us, so that a customer's `@room` rings nobody. The profile is MSC4144's; the name
    stands in the text as well."""
    found: dict[str, Any] = {"m.mentions": {"user_ids": list(said.mentions)} if said.mentions else {}}
    if said.profile:
        id, name = said.profile
        found["com.beeper.per_message_profile"] = {"id": id, "displayname": name, "has_fallback": True}
    return found


def placed(content: Mapping[str, Any], *, thread: str | None = None, reply_to: str | None = None) -> dict[str, Any]:
    """The content in its thread, and as an answer. In a thread, a client that knows none shows what the thread's root
    says as answered, unless it is a true reply."""
    answered = reply_to or thread
    if not answered:
        return dict(content)
    relation: dict[str, Any] = {"m.in_reply_to": {"event_id": answered}}
    if thread:
        relation |= {"rel_type": "m.thread", "event_id": thread, "is_falling_back": reply_to is None}
    return {**content, "m.relates_to": relation}


def edited(new: Mapping[str, Any], event: str) -> dict[str, Any]:
    """`new` in place of what `event` said. The outer words are for clients that know no edits; of long ones only the
    beginning, as both must fit into one event. Outer mentions are empty: an edit rings nobody a second time ("User and
    room mentions")."""
    outer = {
        name: value for name, value in new.items() if name not in ("format", "formatted_body") or not _is_long(new)
    }
    return {
        **outer,
        **_starred(new),
        "m.mentions": {},
        "m.new_content": dict(new),
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }


def _starred(new: Mapping[str, Any]) -> dict[str, str]:
    """A file without a caption has no words, only its name."""
    if new["body"] == new.get("filename"):
        return {}
    if _is_long(new):
        return {"body": f"* {new['body'][:MOST_TWICE]}…"}
    return {name: f"* {new[name]}" for name in ("body", "formatted_body") if name in new}


def _is_long(new: Mapping[str, Any]) -> bool:
    return len(new["body"]) + len(new.get("formatted_body", "")) > MOST_TWICE


def menu(text: str, buttons: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A poll of one choice. The same as numbered lines is what clients without polls show."""
    lines = [f"{number}. {label}" for number, (_, label) in enumerate(buttons, 1)]
    fallback = "\n".join([text, *lines] if text else lines)
    return {
        "msgtype": "m.text",
        "body": fallback,
        POLL_TEXT: fallback,
        "m.mentions": {},
        POLL_START: {
            "kind": f"{POLL}.disclosed",
            "max_selections": 1,
            "question": {POLL_TEXT: text, "msgtype": "m.text", "body": text},
            "answers": [{"id": id, POLL_TEXT: label} for id, label in buttons],
        },
    }


def end_of_menu(text: str, event: str) -> dict[str, Any]:
    return {
        "msgtype": "m.text",
        "body": text,
        POLL_TEXT: text,
        "m.mentions": {},
        POLL_END: {},
        "m.relates_to": {"rel_type": "m.reference", "event_id": event},
    }
