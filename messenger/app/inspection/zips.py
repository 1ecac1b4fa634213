"""ZIP archives, read by their central directory (APPNOTE 6.3.9, 4.3). Ours and not the library's: `zipfile` makes an
object for each of half a million members before anybody can say that this is too many, and stops where a member says
it ends, which is what a bomb lies about."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from messenger.app.inspection.bounds import Budget, NotAccepted

_END, _CENTRAL, _LOCAL, _END64 = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04", b"PK\x06\x07"
_STORED, _DEFLATED = 0, 8
_CHUNK = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    name: str
    method: int
    is_locked: bool
    packed: int
    size: int
    start: int  # of its local header
    data: int  # of its content


def find_end(data: bytes) -> int | None:
    """Where the end record of an archive stands whose directory is there too; None if this is no archive."""
    at = data.rfind(_END, max(0, len(data) - 65_557))
    if at < 0 or at + 22 > len(data):
        return None
    size, offset = struct.unpack("<II", data[at + 12 : at + 20])
    begins = at - size  # bytes may stand before the archive: then its offsets are too small
    is_there = begins >= 0 and offset <= begins and (size == 0 or data[begins : begins + 4] == _CENTRAL)
    return at if is_there else None


def members(data: bytes, budget: Budget) -> list[Member]:
    """All of them, each in its own place. Raises NotAccepted."""
    end = find_end(data)
    if end is None or data[end - 20 : end - 16] == _END64:
        raise NotAccepted("unreadable")  # 64 bits are for archives far above our limit
    size, offset = struct.unpack("<II", data[end + 12 : end + 20])
    if offset + size != end:
        raise NotAccepted("mismatch")  # something stands before it, or between
    found = list(_directory(data, offset, end, budget))
    _must_not_overlap(found, offset)
    return found


def unpacked(data: bytes, member: Member, budget: Budget, *, keep: int) -> bytes:
    """The first `keep` bytes; all of it is unpacked and counted. Raises NotAccepted."""
    kept, total = bytearray(), 0
    for chunk in budget.counted(_chunks(data, member), member.packed):
        total += len(chunk)
        if len(kept) < keep:
            kept += chunk[: keep - len(kept)]
        if total > member.size:
            raise NotAccepted("bomb")  # it says less than it holds
    return bytes(kept)


def _directory(data: bytes, at: int, end: int, budget: Budget) -> Iterator[Member]:
    while at < end:
        budget.take_member()
        if data[at : at + 4] != _CENTRAL or at + 46 > end:
            raise NotAccepted("unreadable")
        flags, method = struct.unpack("<HH", data[at + 8 : at + 12])
        packed, size, name, extra, comment = struct.unpack("<IIHHH", data[at + 20 : at + 34])
        (start,) = struct.unpack("<I", data[at + 42 : at + 46])
        raw = data[at + 46 : at + 46 + name]
        yield Member(
            name=raw.decode("utf-8", "replace"),
            method=method,
            is_locked=bool(flags & 1),
            packed=packed,
            size=size,
            start=start,
            data=_content(data, start, raw),
        )
        at += 46 + name + extra + comment


def _content(data: bytes, start: int, name: bytes) -> int:
    """Behind the local header, which must be of the same name: readers differ in which of the two they believe."""
    if data[start : start + 4] != _LOCAL or start + 30 > len(data):
        raise NotAccepted("unreadable")
    length = int.from_bytes(data[start + 26 : start + 28], "little")
    extra = int.from_bytes(data[start + 28 : start + 30], "little")
    if data[start + 30 : start + 30 + length] != name:
        raise NotAccepted("mismatch")
    return start + 30 + length + extra


def _must_not_overlap(found: list[Member], end: int) -> None:
    """Members that share their bytes are how ten megabytes become a petabyte."""
    places = sorted((member.start, member.data + member.packed) for member in found)
    follows = [start for start, _ in places[1:]] + [end]
    if any(last > next for (_, last), next in zip(places, follows, strict=True)):
        raise NotAccepted("bomb")


def _chunks(data: bytes, member: Member) -> Iterator[bytes]:
    packed = memoryview(data)[member.data : member.data + member.packed]
    if member.method == _STORED:
        yield from (bytes(packed[at : at + _CHUNK]) for at in range(0, len(packed), _CHUNK))
    elif member.method == _DEFLATED:
        yield from inflated(packed, raw=True)
    else:
        raise NotAccepted("unreadable")  # office programs write no other


def inflated(packed: bytes | memoryview, *, raw: bool = False) -> Iterator[bytes]:
    """Chunk by chunk, so that whoever counts can stop. Ends where the data does not go on. Raises NotAccepted."""
    engine = zlib.decompressobj(-15 if raw else 15)
    rest: bytes | memoryview = packed
    try:
        while len(rest) and not engine.eof:
            chunk = engine.decompress(rest, _CHUNK)
            rest = engine.unconsumed_tail
            yield chunk
    except zlib.error as error:
        raise NotAccepted("unreadable") from error
