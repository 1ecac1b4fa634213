"""PDF (ISO 32000): what acts when it is opened. Names may be spelled in numbers (`#4a`), and objects may stand inside
packed streams; both are looked through. Nothing is rendered, and nothing here goes back over what it has read."""

import re
from collections.abc import Iterator

from messenger.app.inspection.bounds import Budget, NotAccepted
from messenger.app.inspection.zips import inflated
from messenger.domain.attachment import Mark

_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_NAMES: tuple[tuple[bytes, Mark], ...] = (
    (b"/JavaScript", "script"),
    (b"/XFA", "script"),
    (b"/Rendition", "script"),
    (b"/Launch", "launch"),
    (b"/EmbeddedFile", "embedded"),
    (b"/EmbeddedFiles", "embedded"),
    (b"/RichMedia", "embedded"),
    (b"/SubmitForm", "remote"),
    (b"/ImportData", "remote"),
    (b"/GoToR", "remote"),
    (b"/GoToE", "embedded"),
    (b"/Encrypt", "locked"),
)
_DICTIONARY = 4096  # bytes before a stream in which its dictionary stands
_PLAIN_FILTERS = re.compile(rb"/(LZWDecode|LZW|ASCIIHexDecode|AHx|ASCII85Decode|A85|RunLengthDecode|RL|Crypt)\b")
_FLATE = re.compile(rb"/(FlateDecode|Fl)\b")
_OBJECTS = 32_000_000  # bytes of one stream of objects; usual are some thousands
_TWICE_PACKED = 100  # a stream packed twice that grows so much in one step is meant to burst


def pdf_marks(data: bytes, budget: Budget) -> frozenset[Mark]:
    """Raises NotAccepted."""
    found = set(_names_in(data))
    for dictionary, body in _streams(data):
        budget.look_at_the_clock()
        if b"ObjStm" in dictionary:
            budget.take_member()
            found |= set(_in_objects(dictionary, body, budget))
        elif len(_FLATE.findall(dictionary)) > 1:
            _must_not_burst(body, budget)
    return frozenset(found)


def _names_in(data: bytes) -> Iterator[Mark]:
    """Name by name: one expression for all of them takes fifty times as long."""
    plain = _ESCAPED.sub(_letter, data)
    yield from (mark for name, mark in _NAMES if _has(plain, name))


def _has(data: bytes, name: bytes) -> bool:
    """A name goes on with letters; where it ends, it is this one."""
    at = data.find(name)
    while at >= 0 and data[at + len(name) : at + len(name) + 1].isalnum():
        at = data.find(name, at + len(name))
    return at >= 0


def _letter(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 16)])


def _streams(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(dictionary, body) of each. One without an end goes to the end of the file, and is the last."""
    at, view = 0, memoryview(data)
    while (start := data.find(b"stream", at)) >= 0:
        end = data.find(b"endstream", start + 6)
        end = len(data) if end < 0 else end
        body = start + 6 + (2 if data[start + 6 : start + 8] == b"\r\n" else 1)
        head = data[max(at, start - _DICTIONARY) : start]
        yield _ESCAPED.sub(_letter, head[max(0, head.rfind(b" obj")) :]), view[body:end]
        at = end + 9


def _in_objects(dictionary: bytes, body: memoryview, budget: Budget) -> Iterator[Mark]:
    if _PLAIN_FILTERS.search(dictionary):
        yield "locked"  # no program writes its objects like this: somebody hides them
        return
    if not _FLATE.search(dictionary):
        yield from _names_in(bytes(body))
        return
    try:
        objects = _joined(budget.counted(inflated(body), len(body)))
    except NotAccepted as error:
        if error.code != "unreadable":
            raise
        yield "locked"
        return
    yield from _names_in(objects)


def _joined(chunks: Iterator[bytes]) -> bytes:
    kept = bytearray()
    for chunk in chunks:
        kept += chunk
        if len(kept) > _OBJECTS:
            raise NotAccepted("bomb")
    return bytes(kept)


def _must_not_burst(body: memoryview, budget: Budget) -> None:
    total = 0
    try:
        for chunk in budget.counted(inflated(body), len(body)):
            total += len(chunk)
            if total > _TWICE_PACKED * len(body):
                raise NotAccepted("bomb")
    except NotAccepted as error:
        if error.code != "unreadable":
            raise
