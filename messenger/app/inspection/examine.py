"""One file: its type by content, what is wrong with it, and what in it acts when it is opened. No I/O, bounded in bytes
and time; called in a process of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from messenger.app import attachments
from messenger.app.attachments import Picture, sniff
from messenger.app.inspection.bounds import Budget, NotAccepted
from messenger.app.inspection.office import OFFICE, OPEN, office_marks
from messenger.app.inspection.pdf import pdf_marks
from messenger.app.inspection.pictures import picture_size
from messenger.app.inspection.texts import rtf_marks, text_marks
from messenger.app.inspection.zips import find_end
from messenger.domain.attachment import Mark, Refusal

PDF, TEXT, RTF = "application/pdf", "text/plain", "application/rtf"
_PDF_MAY_BEGIN_UNTIL = 1024  # ISO 32000-1, Annex H.3: readers look so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """`refusal`: why it is held back whatever the group takes. `marks`: what people are told before they open it."""

    mime: str
    size: Picture | None = None
    marks: frozenset[Mark] = frozenset()
    refusal: Refusal | None = None


def examine(data: bytes, name: str) -> Examined:
    mime = sniff(data)
    try:
        budget = Budget()
        _must_be_one_thing(data, mime)
        size = picture_size(data, mime, budget)
        return Examined(mime=mime, size=size, marks=_marks(data, mime, name, budget))
    except NotAccepted as error:
        return Examined(mime=mime, refusal=error.code)


def _must_be_one_thing(data: bytes, mime: str) -> None:
    """A file that two programs read differently is meant to be mistaken by one of them."""
    is_archive = mime.startswith((OFFICE, OPEN)) or mime in ("application/zip", attachments.MACROS)
    if not is_archive and data[-65_557:].count(b"PK\x05\x06") and find_end(data) is not None:
        raise NotAccepted("mismatch")
    if mime not in (PDF, TEXT) and b"%PDF-" in data[:_PDF_MAY_BEGIN_UNTIL]:
        raise NotAccepted("mismatch")


def _marks(data: bytes, mime: str, name: str, budget: Budget) -> frozenset[Mark]:
    if mime.startswith((OFFICE, OPEN)):
        return office_marks(data, mime, budget)
    match mime:
        case attachments.MACROS:
            raise NotAccepted("active")
        case "application/pdf":
            return pdf_marks(data, budget)
        case "application/rtf":
            return rtf_marks(data)
        case "text/plain":
            return text_marks(data, name)
        case _:
            return frozenset()


def as_json(found: Examined) -> Mapping[str, object]:
    size = [found.size.width, found.size.height] if found.size else None
    return {"mime": found.mime, "size": size, "marks": sorted(found.marks), "refusal": found.refusal}
