"""What of ours relates to an event, and how it is taken back. The homeserver is asked each time: nothing is kept here.

Client-server API v1.16, "Relationships API"."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from messenger.channels.errors import Rejected
from messenger.matrix.batch import as_dict, as_text, events
from messenger.matrix.http import CLIENT_V1, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.sender import Sender, as_channel_error
from messenger.observability.failpoints import fp

PAGE = 100
PAGES = 50  # 5,000 relations; a chat has fewer by far


class Relations:
    """Of one account's own events."""

    def __init__(self, http: HomeserverClient, sender: Sender, *, own: str) -> None:
        self._http, self._sender, self._own = http, sender, own

    async def set_reactions(
        self, room: str, event: str, now: frozenset[str], *, key: str, keep: frozenset[str] = frozenset()
    ) -> None:
        """Makes our reactions exactly `now`, besides those of `keep`, which are not looked at. Raises ChannelError;
        Rejected (`expired`) if the event is gone."""
        found = await self._reactions(room, event)
        there = {emoji: reactions for emoji, reactions in found.items() if emoji not in keep}
        for emoji in sorted(now - there.keys()):
            relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": emoji}}
            await self._sender.send_clear(room, "m.reaction", relation, txn=_txn(key, emoji))
            fp("reaction_set")
        for emoji in sorted(there.keys() - now):
            for reaction in there[emoji]:
                await self._sender.redact(room, reaction, txn=_txn(key, reaction))
                fp("reaction_removed")

    async def take_back(self, room: str, event: str, *, key: str) -> None:
        """Redacts our message and its edits: a homeserver redacts only what it is told to. The message goes first, so
        that its first words are not shown in between."""
        edits = await self._own_of(room, event, "m.replace") or ()
        await self._redact(room, event, key)
        for edit in edits:
            await self._redact(room, str(edit["event_id"]), _txn(key, str(edit["event_id"])))

    async def _redact(self, room: str, event: str, txn: str) -> None:
        try:
            await self._sender.redact(room, event, txn=txn)
        except Rejected as error:
            if error.code != "no_such_recipient":
                raise

    async def _reactions(self, room: str, event: str) -> Mapping[str, Sequence[str]]:
        found = await self._own_of(room, event, "m.annotation", "m.reaction")
        if found is None:
            raise Rejected("expired", raw_code="the event is gone")
        there: dict[str, list[str]] = {}
        for reaction in found:
            emoji = as_text(as_dict(reaction["content"].get("m.relates_to")).get("key"))
            there.setdefault(emoji, []).append(str(reaction["event_id"]))
        return there

    async def _own_of(self, room: str, event: str, *kind: str) -> Sequence[Mapping[str, Any]] | None:
        """Our events with this relation; None if the homeserver does not know the event."""
        found: list[Mapping[str, Any]] = []
        start = ""
        for _ in range(PAGES):
            page = await self._page(room, event, kind, start)
            if page is None:
                return None
            found += [related for related in events(page.get("chunk")) if related["sender"] == self._own]
            start = as_text(page.get("next_batch"))
            if not start:
                break
        return found

    async def _page(self, room: str, event: str, kind: tuple[str, ...], start: str) -> Mapping[str, Any] | None:
        query = {"limit": str(PAGE)} | ({"from": start} if start else {})
        try:
            url = f"{CLIENT_V1}/rooms/{path(room, 'relations', event, *kind)}"
            return as_dict(await self._http.call("GET", url, query=query))
        except (MatrixError, Unreachable) as error:
            if isinstance(error, MatrixError) and error.status == 404:
                return None
            raise as_channel_error(error) from error


def _txn(key: str, part: str) -> str:
    """A transaction id of its own for each part of one outbox row, the same in every try."""
    return f"{key}.{sha256(part.encode()).hexdigest()[:16]}"
