"""Office documents: ZIP archives of XML (ECMA-376, ODF 1.3). With macros they are refused; what else acts when they are
opened is marked."""

import html
import re
from collections.abc import Iterator

from messenger.app.attachments import PROGRAM, sniff
from messenger.app.inspection.bounds import MAX_DEPTH, Budget, NotAccepted
from messenger.app.inspection.zips import Member, members, unpacked
from messenger.domain.attachment import DANGEROUS, Mark

OFFICE = "application/vnd.openxmlformats-officedocument."
OPEN = "application/vnd.oasis.opendocument."
_KEEP = 4_000_000  # of a part that is read as XML
_HEAD = 4096
_ARCHIVE = 64_000_000  # an archive inside is looked into; none is so large in a file that we take
_TYPES = "[content_types].xml"

# Ends of names that no program of an office suite writes and a computer runs; pages inside are marked, not refused.
_USUAL = frozenset({"xml", "bin", "svg"})
_PAGES = frozenset({"htm", "html", "mht", "mhtml", "xhtml", "xht"})

_RELATION = re.compile(r"<[^<>]{0,4000}TargetMode\s*=\s*[\"']External[\"'][^<>]{0,4000}>", re.IGNORECASE)
_INSTRUCTION = re.compile(r"instrText[^<>]{0,400}>([^<>]{0,4000})<", re.IGNORECASE)
_DDE = re.compile(r"\bDDE(AUTO)?\b", re.IGNORECASE)
_SIGNS: dict[str, Mark] = {
    "<ddelink": "script",
    "<oddelink": "script",
    "office:dde-source": "script",
    "vnd.sun.star.script:": "script",
    "script:event-listener": "script",
    "vnd.sun.star.expand:": "script",
    "<w:control ": "script",
    "macro:": "script",
    "ppaction://program": "launch",
    "ppaction://macro": "launch",
    "draw:object-ole": "embedded",
    "<w:altchunk": "embedded",
    "manifest:encryption-data": "locked",
    "<encryptioninfo": "locked",
}
_MACRO_TYPES = ("vbaproject", "macroenabled", "macrosheet", "vnd.sun.star.basic")
_MACRO_PLACES = ("basic/", "scripts/", "xl/macrosheets/")


def office_marks(data: bytes, mime: str, budget: Budget, depth: int = 0) -> frozenset[Mark]:
    """Raises NotAccepted."""
    if depth > MAX_DEPTH:
        raise NotAccepted("bomb")
    found = members(data, budget)
    names = {member.name.casefold() for member in found}
    if mime.startswith(OFFICE) and _TYPES not in names:
        raise NotAccepted("mismatch")
    return frozenset(mark for member in found for mark in _of_member(data, member, budget, depth))


def _of_member(data: bytes, member: Member, budget: Budget, depth: int) -> Iterator[Mark]:
    name = member.name.casefold().replace("\\", "/")
    extension = name.rpartition(".")[2]
    if name.endswith("vbaproject.bin") or name.startswith(_MACRO_PLACES):
        raise NotAccepted("active")
    if extension in DANGEROUS - _USUAL - _PAGES:
        raise NotAccepted("active")
    if member.is_locked:
        yield "locked"
        return
    is_xml = extension in ("xml", "rels", "vml", "rdf")
    is_archive = data[member.data : member.data + 4] == b"PK\x03\x04" or extension in ("docx", "xlsx", "pptx", "zip")
    content = unpacked(data, member, budget, keep=_KEEP if is_xml else _ARCHIVE if is_archive else _HEAD)
    if is_archive and len(content) == _ARCHIVE:
        raise NotAccepted("bomb")
    yield from _of_content(name, extension, content, is_xml, budget, depth)


def _of_content(name: str, extension: str, content: bytes, is_xml: bool, budget: Budget, depth: int) -> Iterator[Mark]:
    if extension in _PAGES or "/embeddings/" in f"/{name}":
        yield "embedded"
    if "/activex/" in f"/{name}":
        yield "script"
    if is_xml:
        yield from _of_xml(name, _as_text(content))
    elif content.startswith(b"PK\x03\x04"):
        yield "embedded"
        yield from office_marks(content, sniff(content), budget, depth + 1)
    elif sniff(content) == PROGRAM:
        raise NotAccepted("active")


def _of_xml(name: str, text: str) -> Iterator[Mark]:
    low = text.casefold()
    if name.endswith((_TYPES, "manifest.xml")) and any(sign in low for sign in _MACRO_TYPES):
        raise NotAccepted("active")
    yield from (mark for sign, mark in _SIGNS.items() if sign in low)
    if name.endswith(".rels") and any("/hyperlink" not in each.casefold() for each in _RELATION.findall(text)):
        yield "remote"
    if "instrtext" in low and _DDE.search("".join(_INSTRUCTION.findall(text))):
        yield "script"


def _as_text(content: bytes) -> str:
    """XML may be in UTF-16 and may spell its letters as numbers."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:8]:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else _wide(content), "replace")
    else:
        text = content.decode("utf-8", "replace")
    return html.unescape(text)


def _wide(content: bytes) -> str:
    return "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
