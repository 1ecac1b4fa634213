"""The certificate of an erasure: for each place what is done, what was requested of others, and what is impossible. It
holds a pseudonym, counts and dates; signed by the installation's key."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from messenger.app.erasure_ports import Counted, Erasure, ErasureHands

KIND = "erasure certificate"
FORMAT = "stellwerk-erasure-certificate/1"
MOST_NAMED = 100  # of foreign servers: anybody may bring some into a room
_ROOMS = ("group_room", "case_room", "customer_room")


def certificate(hands: ErasureHands, erasure: Erasure, counts: Sequence[Counted], now: datetime) -> dict[str, Any]:
    is_person = erasure.conversation is None
    body = {
        "format": FORMAT,
        "installation": hands.installation,
        "subject": erasure.subject,
        "scope": erasure.scope,
        "ledger_position": erasure.ledger_position,
        "begun_at": erasure.begun_at.isoformat(),
        "done_at": now.isoformat(),
        "places": [*(_at_home(hands, erasure) if is_person else []), *_in_rooms(counts), *_elsewhere(counts)],
        "public_key": hands.signer.public,
    }
    return {**body, "signature": hands.signer.sign(KIND, body)}


def signed_part(document: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Of a certificate: what is signed, by which key, and the signature. Raises KeyError and TypeError."""
    body = {name: value for name, value in document.items() if name != "signature"}
    return body, str(document["public_key"]), str(document["signature"])


def _at_home(hands: ErasureHands, erasure: Erasure) -> list[dict[str, Any]]:
    main = (erasure.begun_at + timedelta(days=hands.backups.main_days)).date().isoformat()
    keys = (erasure.begun_at + timedelta(days=hands.backups.key_days)).date().isoformat()
    return [
        _place("person_key", "done", "destroyed: what was sealed under it cannot be opened any more"),
        _place("database", "done", "words, names, addresses, tags, reactions, queues and timers are removed"),
        _place("room_keys", "done", "of the person's rooms, here and in the desk's key backup"),
        _place("key_database_backups", "requested", f"the last one that holds the key ends on {keys}", until=keys),
        _place(
            "main_database_backups",
            "requested",
            f"they end on {main}; before a restored one serves, this erasure is applied to it again",
            until=main,
        ),
        _place("audit_log", "impossible", "kept as evidence: ids and codes, no words, no names"),
    ]


def _in_rooms(counts: Sequence[Counted]) -> Iterable[dict[str, Any]]:
    for place in _ROOMS:
        for each in counts:
            if each.place == place and each.kind in ("event", "media"):
                name = f"{place}_{'files' if each.kind == 'media' else 'messages'}"
                yield _place(name, each.fate, _WHY.get(each.code, each.code) or "removed at our homeserver", each.count)


def _elsewhere(counts: Sequence[Counted]) -> Iterable[dict[str, Any]]:
    foreign = sorted({name for each in counts for name in _foreign(each.code)})
    if foreign:
        why = "their copies were asked to be removed; a foreign server cannot be made to obey"
        more = {"more": f"and {len(foreign) - MOST_NAMED} more"} if len(foreign) > MOST_NAMED else {}
        yield {**_place("foreign_servers", "requested", why, len(foreign)), "servers": foreign[:MOST_NAMED], **more}
    yield _place(
        "devices", "impossible", "of staff and of the person: what they have kept on their own is out of reach"
    )


def _foreign(code: str) -> Sequence[str]:
    """`foreign:one.example,two.example`."""
    kind, _, names = code.partition(":")
    return names.split(",") if kind == "foreign" and names else []


def _place(name: str, outcome: str, why: str, count: int | None = None, **more: str) -> dict[str, Any]:
    return {"place": name, "outcome": outcome, "why": why, **({} if count is None else {"count": count}), **more}


_WHY: Mapping[str, str] = {
    "gone": "had been removed before",
    "no_power": "the desk has no right to remove others' messages in this room",
    "not_there": "the desk is not in this room any more",
    "no_admin": "no administrator's token is configured, so the homeserver keeps the encrypted file; its key is gone",
    "foreign": "lies on a foreign server; our copy is withheld. Its key is gone here",
    "refused": "the homeserver refused",
}
