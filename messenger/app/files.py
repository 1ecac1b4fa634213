"""An attachment on its way: fetched, looked into, checked against the policy by its content, scanned, renamed to what
is safe. Nothing is relayed that did not come through here."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from messenger.app.hands import Hands
from messenger.app.inspection.examine import Examined
from messenger.app.inspection.inspector import Inspector
from messenger.app.outside_ports import NO_SCANNER, FileAway, FileSource, Scanner, ScannerAway
from messenger.app.records import File
from messenger.channels.errors import Rejected
from messenger.channels.messages import MediaRef
from messenger.domain.attachment import DEFAULT_POLICY, Accepted, Kind, Mark, Policy, Refused, judge
from messenger.observability.failpoints import fp

_TYPES: dict[Kind, str] = {"image": "m.image", "document": "m.file", "audio": "m.audio", "video": "m.video"}
# What nobody may open whatever its type: said before what the type alone would be told.
INLINE_S = 10.0
# How ClamAV names what it could not look into to the end (clamd.conf, AlertExceedsMax).
_OVER_ITS_LIMITS = "Heuristics.Limits.Exceeded"
_DEFINITE = frozenset({"active", "bomb"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`marks`: what is said of it to whoever gets it. `is_scanned`: a virus scanner has found nothing."""

    file: File
    kind: Kind
    marks: frozenset[Mark] = frozenset()
    is_scanned: bool = False


@dataclass(frozen=True, slots=True)
class Impatient:
    """A file source that has been waited for long enough: what is still away counts as unreadable."""

    source: FileSource

    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        try:
            return await self.source.fetch(ref, max_bytes=max_bytes)
        except FileAway as error:
            raise Rejected("bad_media", raw_code=error.raw_code) from error


async def checked_file(hands: Hands, ref: MediaRef, *, patience_s: float | None = INLINE_S) -> Checked | Refused:
    """As `fetch_checked`, with all that the desk has. In a lane where others wait behind it, the scanner is not waited
    for; where nobody does, with `patience_s` None, it is."""
    policy = Policy(max_bytes=hands.max_file_bytes)
    return await fetch_checked(
        hands.files, ref, policy, inspector=hands.inspector, scanner=hands.scanner, patience_s=patience_s
    )


async def fetch_checked(
    source: FileSource,
    ref: MediaRef,
    policy: Policy = DEFAULT_POLICY,
    *,
    inspector: Inspector,
    scanner: Scanner = NO_SCANNER,
    patience_s: float | None = None,
) -> Checked | Refused:
    """Refused with a code of the catalogue; raises Temporary when it may be tried again, ScannerAway among them."""
    if ref.size is not None and ref.size > policy.max_bytes:
        return Refused("too_big")
    try:
        data = await source.fetch(ref, max_bytes=policy.max_bytes)
    except Rejected as error:
        return Refused("too_big" if error.code == "too_large" else "unreadable")
    if not data:
        return Refused("empty")
    examined = await _examined(inspector, data, ref.filename, patience_s)
    verdict = _verdict(examined, ref, len(data), policy)
    if isinstance(verdict, Accepted):
        verdict = await _scanned(scanner, data, patience_s) or verdict
    if isinstance(verdict, Refused):
        return verdict
    fp("scanned")
    file = _file(data, ref, verdict, examined)
    return Checked(file=file, kind=verdict.kind, marks=examined.marks, is_scanned=scanner.is_on)


async def warnings_of(data: bytes, ref: MediaRef, *, inspector: Inspector, scanner: Scanner) -> Sequence[str]:
    """Codes of all that is to be known of a file before it is opened, for somebody who has a right to it as it is: why
    it would not be passed on, what the scanner says, its marks."""
    examined = await inspector.examine(data, ref.filename)
    verdict = _verdict(examined, ref, len(data), Policy(max_bytes=max(1, len(data))))
    try:
        found = await _scanned(scanner, data, None)
    except ScannerAway:
        found = Refused("unchecked")
    refusals = [each.code for each in (verdict, found) if isinstance(each, Refused)]
    return [*dict.fromkeys(refusals), *sorted(examined.marks)]


async def _examined(inspector: Inspector, data: bytes, name: str, patience_s: float | None) -> Examined:
    """Where others wait behind it, a file that takes long gets out of their way as if the scanner did not answer."""
    try:
        async with asyncio.timeout(patience_s):
            return await inspector.examine(data, name)
    except TimeoutError:
        raise ScannerAway("inspection busy") from None


def _verdict(examined: Examined, ref: MediaRef, size: int, policy: Policy) -> Accepted | Refused:
    if examined.refusal in _DEFINITE:
        return Refused(examined.refusal)
    verdict = judge(ref.mime, examined.mime, ref.filename, size, policy)
    if isinstance(verdict, Accepted) and examined.refusal is not None:
        return Refused(examined.refusal)
    return verdict


async def _scanned(scanner: Scanner, data: bytes, patience_s: float | None) -> Refused | None:
    try:
        found = await scanner.scan(data, patience_s=patience_s)
    except Rejected:
        return Refused("unchecked")
    if found.startswith(_OVER_ITS_LIMITS):
        return Refused("bomb")
    return Refused("virus", found) if found else None


def _file(data: bytes, ref: MediaRef, verdict: Accepted, examined: Examined) -> File:
    info = {"w": examined.size.width, "h": examined.size.height} if examined.size else {}
    if verdict.kind in ("audio", "video") and ref.duration_ms is not None:
        info["duration"] = ref.duration_ms
    file = File(data=data, name=verdict.filename, mime=verdict.mime, type=_TYPES[verdict.kind], info=info)
    is_voice = ref.voice and verdict.kind == "audio"
    return replace(file, is_voice=True, waveform=ref.waveform) if is_voice else file
