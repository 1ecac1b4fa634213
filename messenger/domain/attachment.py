"""Which files pass. What the content is decides; the name and the sender's word must not contradict it.

Three opinions meet: the type the sender declared, the type of the first bytes (sniffed elsewhere, a library's work),
and the extension of the name. Accepted is only what the content shows to be on the allow-list; the others can only make
it worse.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from messenger.domain.text import clean_filename

MAX_BYTES = 25_000_000
UNKNOWN = "application/octet-stream"

Kind = Literal["image", "document", "audio", "video"]
# `active`: it would run; `bomb`: it unpacks to too much; `unchecked`: the scanner cannot take it.
Refusal = Literal[
    "too_big", "type_not_allowed", "mismatch", "empty", "unreadable", "active", "bomb", "virus", "unchecked"
]  # fmt: skip
# What people are told of a file before they open it: it runs a script, starts a program, holds files that nobody sees,
# fetches something, is locked in parts so that nobody could look, has formulas that act.
Mark = Literal["script", "launch", "embedded", "remote", "locked", "formula"]
MARKS: tuple[Mark, ...] = get_args(Mark)

# type of the content → the extensions it may carry; the first one is given to a file without any
IMAGES: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": ("jpg", "jpeg", "jpe", "jfif"),
    "image/png": ("png",),
    "image/gif": ("gif",),
    "image/webp": ("webp",),
    "image/heic": ("heic", "heif"),
    "image/tiff": ("tif", "tiff"),
}
DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "application/pdf": ("pdf",),
    "text/plain": ("txt", "csv", "md", "log"),
    "application/rtf": ("rtf",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("docx",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("xlsx",),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ("pptx",),
    "application/vnd.oasis.opendocument.text": ("odt",),
    "application/vnd.oasis.opendocument.spreadsheet": ("ods",),
    "application/vnd.oasis.opendocument.presentation": ("odp",),
}
AUDIO: Mapping[str, tuple[str, ...]] = {
    "audio/mpeg": ("mp3", "mpga"),
    "audio/ogg": ("ogg", "oga", "opus"),
    "audio/mp4": ("m4a", "mp4"),
    "audio/wav": ("wav",),
    "audio/aac": ("aac",),
    "audio/flac": ("flac",),
    "audio/amr": ("amr",),
}
VIDEO: Mapping[str, tuple[str, ...]] = {
    "video/mp4": ("mp4", "m4v"),
    "video/quicktime": ("mov", "qt"),
    "video/webm": ("webm",),
    "video/3gpp": ("3gp", "3gpp"),
}

# Extensions that a computer runs or a browser renders, whatever the bytes are: the name is all that some programs read.
_DANGEROUS = (
    "ade adp app appimage application appref-ms bash bat bin cab chm cmd com cpl csh deb desktop dll dmg docm "
    "dotm elf exe fxp gadget hlp hta htm html img inf ins iso jar jnlp js jse jsp ksh lnk mad mht mhtml mjs msc "
    "msi msix msp mst ocx php pif pl potm ppam ppsm pptm ps1 ps1xml ps2 psc1 psd1 psm1 py pyc reg rpm run scf scr "
    "sct sh shb shs shtml so svg svgz swf sys url vb vbe vbs vxd wasm wsc wsf wsh xbap xht xhtml xlam xlsm xltm "
    "xml xsl xslt zsh"
)
DANGEROUS = frozenset(_DANGEROUS.split())

# Other names of a type that senders and libraries use.
_SAME: Mapping[str, str] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/heif": "image/heic",
    "audio/mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/opus": "audio/ogg",
    "audio/x-flac": "audio/flac",
    "audio/aacp": "audio/aac",
    "application/ogg": "audio/ogg",
    "audio/webm": "video/webm",
    "audio/3gpp": "video/3gpp",
    "video/x-m4v": "video/mp4",
    "application/x-pdf": "application/pdf",
    "text/rtf": "application/rtf",
    "text/csv": "text/plain",
    "text/markdown": "text/plain",
}
# Containers that hold sound or pictures: a phone may call its voice message video/mp4.
_SISTERS = (
    frozenset({"audio/mp4", "video/mp4", "video/quicktime", "video/3gpp"}),
    frozenset({"audio/ogg", "video/ogg"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a group takes: bytes at most, and per kind the types with their extensions."""

    max_bytes: int = MAX_BYTES
    allowed: Mapping[Kind, Mapping[str, tuple[str, ...]]] = field(
        default_factory=lambda: {"image": IMAGES, "document": DOCUMENTS, "audio": AUDIO, "video": VIDEO}
    )

    def kind(self, mime: str) -> Kind | None:
        return next((kind for kind, types in self.allowed.items() if mime in types), None)


@dataclass(frozen=True, slots=True)
class Accepted:
    """`mime` is the content's and `filename` is clean and fits it: these are passed on, never what the sender said."""

    kind: Kind
    mime: str
    filename: str


@dataclass(frozen=True, slots=True)
class Refused:
    """`detail`: what the scanner calls it that it found."""

    code: Refusal
    detail: str = ""


DEFAULT_POLICY = Policy()


def judge(
    declared_mime: str, sniffed_mime: str, filename: str, size: int, policy: Policy = DEFAULT_POLICY
) -> Accepted | Refused:
    """`sniffed_mime` is what the bytes are, `declared_mime` may be empty or `application/octet-stream` (no opinion)."""
    if size <= 0:
        return Refused("empty")
    if size > policy.max_bytes:
        return Refused("too_big")
    declared, content, name = canonical(declared_mime), canonical(sniffed_mime), clean_filename(filename)
    kind = policy.kind(content)
    if kind is None or _is_dangerous(name) or _is_active(declared):
        return Refused("type_not_allowed")
    if not _agree(declared, content):
        return Refused("mismatch")
    return _named(kind, content, name, policy)


def canonical(mime: str) -> str:
    """Lower case, without parameters, one name for each type: `Image/JPG; x=y` → `image/jpeg`."""
    bare = mime.split(";", 1)[0].strip().lower()
    return _SAME.get(bare, bare) or UNKNOWN


def _named(kind: Kind, content: str, name: str, policy: Policy) -> Accepted | Refused:
    fitting = policy.allowed[kind][content]
    extension = _extension(name)
    if extension in fitting or _is_sister_extension(extension, content, policy):
        return Accepted(kind, content, name)
    if extension in _all_extensions(policy):
        return Refused("mismatch")
    return Accepted(kind, content, clean_filename(f"{name}.{fitting[0]}"))


def _agree(declared: str, content: str) -> bool:
    """No opinion agrees with everything; `text/…` is a word for any text; containers are named loosely."""
    if declared in (UNKNOWN, content):
        return True
    if declared.startswith("text/"):
        return content == "text/plain"
    return any(declared in sisters and content in sisters for sisters in _SISTERS)


def _is_active(mime: str) -> bool:
    """Says the sender himself that it runs or renders?"""
    return mime in _ACTIVE or mime.endswith(("+xml", "/xml")) or "script" in mime or "macroenabled" in mime


def _is_dangerous(name: str) -> bool:
    """Any extension of the name, not only the last: `invoice.exe.pdf` fools people."""
    return any(part.strip().casefold() in DANGEROUS for part in name.split(".")[1:])


def _extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return extension.strip().casefold() if dot and stem else ""


def _is_sister_extension(extension: str, content: str, policy: Policy) -> bool:
    sisters = next((group for group in _SISTERS if content in group), frozenset[str]())
    return any(extension in types.get(mime, ()) for types in policy.allowed.values() for mime in sisters)


def _all_extensions(policy: Policy) -> frozenset[str]:
    return frozenset(extension for types in policy.allowed.values() for group in types.values() for extension in group)


_ACTIVE = frozenset({
    "text/html", "image/svg+xml", "application/x-msdownload", "application/x-msdos-program", "application/x-sh",
    "application/x-executable", "application/vnd.microsoft.portable-executable", "application/java-archive",
    "application/x-shockwave-flash", "application/hta", "application/x-bat", "application/x-msi", "application/wasm",
})  # fmt: skip
