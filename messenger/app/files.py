"""An attachment on its way: fetched, checked against the policy by its content, renamed to what is safe."""

from dataclasses import dataclass

from messenger.app.attachments import is_plausible, picture, sniff
from messenger.app.outside_ports import FileAway, FileSource
from messenger.app.records import File
from messenger.channels.errors import Rejected
from messenger.channels.messages import MediaRef
from messenger.domain.attachment import DEFAULT_POLICY, Accepted, Kind, Policy, Refused, judge
from messenger.observability.failpoints import fp

_TYPES: dict[Kind, str] = {"image": "m.image", "document": "m.file", "audio": "m.audio", "video": "m.video"}


@dataclass(frozen=True, slots=True)
class Checked:
    file: File
    kind: Kind


@dataclass(frozen=True, slots=True)
class Impatient:
    """A file source that has been waited for long enough: what is still away counts as unreadable."""

    source: FileSource

    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        try:
            return await self.source.fetch(ref, max_bytes=max_bytes)
        except FileAway as error:
            raise Rejected("bad_media", raw_code=error.raw_code) from error


async def fetch_checked(source: FileSource, ref: MediaRef, policy: Policy = DEFAULT_POLICY) -> Checked | Refused:
    """Refused with a code of the catalogue; raises Temporary when it may be tried again."""
    if ref.size is not None and ref.size > policy.max_bytes:
        return Refused("too_big")
    try:
        data = await source.fetch(ref, max_bytes=policy.max_bytes)
    except Rejected as error:
        return Refused("too_big" if error.code == "too_large" else "unreadable")
    mime = sniff(data)
    verdict = judge(ref.mime, mime, ref.filename, len(data), policy)
    if isinstance(verdict, Refused):
        return verdict
    if not is_plausible(data, verdict.mime):
        return Refused("mismatch")
    fp("scanned")
    return Checked(_file(data, verdict), verdict.kind)


def _file(data: bytes, verdict: Accepted) -> File:
    size = picture(data, verdict.mime)
    info = {"w": size.width, "h": size.height} if size else {}
    return File(data=data, name=verdict.filename, mime=verdict.mime, type=_TYPES[verdict.kind], info=info)
