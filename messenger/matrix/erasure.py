"""Erasing in rooms: what stands there is found, removed as far as the desk's rights reach, and the desk goes.

Redactions: client-server API v1.16, "Redactions"; the relations of a thread: "Relationships API" with `recurse`. Files:
Synapse's admin API, "Delete local media" and "Quarantining media by ID"."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from messenger.app.desk_ports import IngestStore
from messenger.app.erasure_ports import Ended, Found, NotNow, Target
from messenger.channels.errors import ChannelError, Rejected
from messenger.matrix.batch import as_dict, as_text, events, server_of
from messenger.matrix.engine import CryptoEngine, Decrypted
from messenger.matrix.http import CLIENT, CLIENT_V1, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.identity.key_backup import BackupChanged, KeyBackup
from messenger.matrix.room_book import RoomBook
from messenger.matrix.sent_lookup import SentLookup

ADMIN = "/_synapse/admin/v1"
EVENT = "$"  # how the ids of events begin; transaction ids never do
PAGE = 100
_DONE_ALREADY = (404, 410)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixErasure:
    """Implements `ErasureRooms`. `admin` is an administrator's connection; None: files stay on the homeserver."""

    http: HomeserverClient
    engine: CryptoEngine
    store: IngestStore
    lookup: SentLookup
    backup: KeyBackup
    book: RoomBook
    admin: HomeserverClient | None

    async def look(self, target: Target) -> Found:
        """The newest first. A room that keeps us out shows nothing: what we had noted before is all there is."""
        if target.kind == "thread" and not target.subject.startswith(EVENT):
            card = await self._sent_as(target.subject, target.room)
            return await self.look(replace(target, subject=card)) if card else Found()
        found: list[str] = [target.subject] if target.subject else []
        media: list[str] = []
        try:
            async for page in self._pages(target):
                found += [str(event["event_id"]) for event in page if _says_something(event)]
                media += [address for opened in await self._opened(target.room, page) for address in _files_of(opened)]
            foreign = await self._foreign_servers(target) if target.place == "customer_room" else []
        except (MatrixError, Unreachable) as error:
            if not _is_refusal(error):
                raise _later(error) from error
            foreign = []
        return Found(events=list(dict.fromkeys(found)), media=list(dict.fromkeys(media)), foreign_servers=foreign)

    async def _sent_as(self, txn: str, room: str) -> str | None:
        try:
            return await self.lookup.find(room, txn)
        except Rejected:
            return None
        except ChannelError as error:
            raise NotNow("homeserver", seconds=5) from error

    async def redact(self, target: Target) -> Ended:
        txn = f"erase.{sha256(target.subject.encode()).hexdigest()[:24]}"
        try:
            await self.http.call("PUT", f"{CLIENT}/rooms/{path(target.room, 'redact', target.subject, txn)}", {})
        except (MatrixError, Unreachable) as error:
            if not _is_refusal(error):
                raise _later(error) from error
            return _not_redacted(target, error)
        return Ended(target=target, fate="done")

    async def remove_media(self, target: Target) -> Ended:
        server, _, media = target.subject.removeprefix("mxc://").partition("/")
        if self.admin is None:
            return Ended(target=target, fate="impossible", code="no_admin")
        is_ours = server == server_of(self.engine.user_id)
        method, url = ("DELETE", "media") if is_ours else ("POST", "media/quarantine")
        try:
            await self.admin.call(method, f"{ADMIN}/{url}/{path(server, media)}", None if is_ours else {})
        except (MatrixError, Unreachable) as error:
            if not _is_refusal(error):
                raise _later(error) from error
            is_gone = is_ours and isinstance(error, MatrixError) and error.status in _DONE_ALREADY
            return Ended(target=target, fate="done" if is_gone else "impossible", code="gone" if is_gone else "refused")
        return Ended(target=target, fate="done") if is_ours else Ended(target=target, fate="impossible", code="foreign")

    async def forget_keys(self, rooms: Sequence[str], people: Sequence[str]) -> None:
        await self.engine.forget(rooms, people)
        try:
            for room in rooms:
                await self.backup.forget_room(room)
        except BackupChanged as error:
            raise NotNow("backup_changed", seconds=60) from error
        except (MatrixError, Unreachable) as error:
            raise _later(error) from error

    async def leave(self, room: str) -> None:
        try:
            for alias in await self._aliases(room):
                await self._if_allowed("DELETE", f"{CLIENT}/directory/room/{path(alias)}")
            await self._if_allowed("POST", f"{CLIENT}/rooms/{path(room, 'leave')}", {})
            await self._if_allowed("POST", f"{CLIENT}/rooms/{path(room, 'forget')}", {})
        except (MatrixError, Unreachable) as error:
            raise _later(error) from error
        self.book.forget([room])

    async def _pages(self, target: Target) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        if target.kind == "message":
            yield [as_dict(await self.http.call("GET", f"{CLIENT}/rooms/{path(target.room, 'event', target.subject)}"))]
            url = f"{CLIENT_V1}/rooms/{path(target.room, 'relations', target.subject, 'm.replace')}"
            query, following = {"limit": str(PAGE)}, "next_batch"
        elif target.kind == "thread":
            url = f"{CLIENT_V1}/rooms/{path(target.room, 'relations', target.subject)}"
            query, following = {"limit": str(PAGE), "recurse": "true"}, "next_batch"
        else:
            url = f"{CLIENT}/rooms/{path(target.room)}/messages"
            query, following = {"limit": str(PAGE), "dir": "b"}, "end"
        start = ""
        while True:
            page = as_dict(await self.http.call("GET", url, query=query | ({"from": start} if start else {})))
            yield list(events(page.get("chunk")))
            before, start = start, as_text(page.get(following))
            if not start or start == before:
                return

    async def _opened(self, room: str, page: Sequence[Mapping[str, Any]]) -> Sequence[Decrypted]:
        sealed = [event for event in page if event["type"] == "m.room.encrypted" and _says_something(event)]
        wanted = {(room, as_text(event["content"].get("session_id"))) for event in sealed}
        if not wanted:
            return []
        async with self.store.look() as stored:
            await self.engine.load_sessions(stored, sorted(wanted), {event["sender"] for event in sealed})
        return [self.engine.decrypt(room, event) for event in sealed]

    async def _foreign_servers(self, target: Target) -> Sequence[str]:
        """All whose users are or were in the room."""
        answer = as_dict(await self.http.call("GET", f"{CLIENT}/rooms/{path(target.room)}/members"))
        members = [as_text(event.get("state_key")) for event in events(answer.get("chunk"))]
        return sorted({server_of(member) for member in members if member} - {server_of(self.engine.user_id)})

    async def _aliases(self, room: str) -> Sequence[str]:
        found = await self._if_allowed("GET", f"{CLIENT}/rooms/{path(room, 'aliases')}")
        return [alias for alias in as_dict(found).get("aliases", ()) if isinstance(alias, str)]

    async def _if_allowed(self, method: str, url: str, body: Any = None) -> Any:
        """What was done before, or is not ours to do, counts as done."""
        try:
            return await self.http.call(method, url, body)
        except MatrixError as error:
            if not _is_refusal(error):
                raise
            return {}


def _says_something(event: Mapping[str, Any]) -> bool:
    """State stays, it tells who was in the room and holds no words; so do redactions, and what was redacted before."""
    unsigned = as_dict(event.get("unsigned"))
    return event.get("state_key") is None and event["type"] != "m.room.redaction" and "redacted_because" not in unsigned


def _files_of(opened: Decrypted) -> Iterable[str]:
    content = as_dict(opened.content)
    for part in (content, as_dict(content.get("m.new_content"))):
        for holder, name in ((part, "file"), (as_dict(part.get("info")), "thumbnail_file")):
            address = as_text(as_dict(holder.get(name)).get("url"))
            if address.startswith("mxc://"):
                yield address


def _is_refusal(error: MatrixError | Unreachable) -> bool:
    return (
        isinstance(error, MatrixError) and 400 <= error.status < 500 and not (error.is_throttled or error.status == 401)
    )


def _not_redacted(target: Target, error: MatrixError | Unreachable) -> Ended:
    if isinstance(error, MatrixError) and error.status in _DONE_ALREADY:
        return Ended(target=target, fate="done", code="gone")
    return Ended(target=target, fate="impossible", code="no_power")


def _later(error: MatrixError | Unreachable) -> NotNow:
    if isinstance(error, MatrixError) and error.is_throttled:
        return NotNow("rate_limit", seconds=error.pause.total_seconds())
    return NotNow("homeserver", seconds=5)
