"""What some bytes are: their type by content, and what a picture's header says of its size. No I/O and no decoding:
nothing here opens what a stranger sent."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import puremagic

from messenger.domain.attachment import DEFAULT_POLICY, UNKNOWN, canonical

PROGRAM, MACROS = "application/x-executable", "application/vnd.ms-office.macroenabled"
_HEAD = 4096
_TEXT_SAMPLE = 65_536

# What must never pass as something else, whatever a library would call it.
_PROGRAMS = (
    b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\x00asm", b"#!/",
    b"#! /",
)  # fmt: skip
_MARKUP = (
    b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<svg", b"<iframe", b"<?xml", b"<?php", b"<!--",
)  # fmt: skip
_SVG = (b"<svg", b"<!doctype svg")

_BOX_BRANDS = {
    b"heic": "image/heic", b"heix": "image/heic", b"hevc": "image/heic", b"mif1": "image/heic", b"msf1": "image/heic",
    b"avif": "image/avif", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime",
}  # fmt: skip
_ZIPPED = {
    b"word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    b"xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    b"ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's own word about its size, in pixels."""

    width: int
    height: int


def sniff(data: bytes) -> str:
    """The MIME type by content, in the canonical spelling of the policy; `application/octet-stream` when nothing is
    known. Programs and markup are recognised first, so that no polyglot passes by its harmless half."""
    head = data[:_HEAD]
    if head.startswith(_PROGRAMS):
        return PROGRAM
    if _is_markup(head):
        return "image/svg+xml" if any(sign in _narrow(head).lower() for sign in _SVG) else "text/html"
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head.startswith(b"PK\x03\x04"):
        return _in_zip(data)
    return _by_signature(head) or _plain_text(data)


def picture(data: bytes, mime: str) -> Picture | None:
    """The size a picture's header tells, without decoding. None when it is broken or the format has no reader here."""
    read = _READERS.get(mime)
    try:
        return read(data) if read else None
    except (struct.error, IndexError):
        return None


def _is_markup(head: bytes) -> bool:
    return _narrow(head).removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_MARKUP)


def _narrow(head: bytes) -> bytes:
    """Text of two bytes a letter, as of one: a browser reads both."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace").encode()
    if head[1:2] == b"\0" and head[3:4] == b"\0":
        return head.decode("utf-16-le", "replace").encode()
    return head


def _by_brand(head: bytes) -> str:
    brand = head[8:12]
    if brand in _BOX_BRANDS:
        return _BOX_BRANDS[brand]
    return "video/3gpp" if brand.startswith((b"3gp", b"3g2")) else "video/mp4"


def _in_zip(data: bytes) -> str:
    """An office document by the names inside; anything else stays an archive, and one with macros is a program."""
    head, names = data[:_TEXT_SAMPLE], _directory(data)
    if b"vbaProject.bin" in names:
        return MACROS
    if head[30:38] == b"mimetype":
        declared = head[38:].split(b"PK", 1)[0].decode("ascii", "replace")
        return canonical(declared) if DEFAULT_POLICY.kind(declared) else "application/zip"
    if b"[Content_Types].xml" in names:
        return next((mime for sign, mime in _ZIPPED.items() if sign in names), "application/zip")
    return "application/zip"


def _directory(data: bytes) -> bytes:
    """Where an archive names its members (APPNOTE 6.3.9, 4.3.16), or its end where that is not where it says."""
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    if end < 0 or end + 22 > len(data):
        return data[-_TEXT_SAMPLE:]
    size, offset = struct.unpack("<II", data[end + 12 : end + 20])
    return data[offset : offset + size] if offset + size == end else data[-_TEXT_SAMPLE:]


def _by_signature(head: bytes) -> str | None:
    """The library's best match among the types we know; what it knows and we do not is named, so that it is refused."""
    if head.startswith(b"OggS"):
        return "video/ogg" if b"theora" in head[:512] else "audio/ogg"
    if head.startswith((b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa")):
        return "audio/mpeg"
    if head.startswith(b"#!AMR"):
        return "audio/amr"
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return None
    named = [canonical(match.mime_type) for match in matches if match.mime_type]
    allowed = [mime for mime in named if DEFAULT_POLICY.kind(mime)]
    return next(iter(allowed or named), None)


def _plain_text(data: bytes) -> str:
    """Text is what decodes as text and has no controls; the sample may cut one character at its end."""
    sample = data[:_TEXT_SAMPLE]
    if not sample or any(byte < 32 and byte not in b"\t\n\r\x0c" for byte in sample):
        return UNKNOWN
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            return UNKNOWN
    return "text/plain"


def _png(data: bytes) -> Picture | None:
    if data[12:16] != b"IHDR":
        return None
    return Picture(*struct.unpack(">II", data[16:24]))


def _gif(data: bytes) -> Picture:
    return Picture(*struct.unpack("<HH", data[6:10]))


def _jpeg(data: bytes) -> Picture | None:
    """Walks the segments to the frame header (ITU-T T.81 B.2.2)."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return Picture(width, height)
        at += 2 if marker == 0xFF else 2 + max(2, struct.unpack(">H", data[at + 2 : at + 4])[0])
    return None


def _webp(data: bytes) -> Picture | None:
    """RFC 9649: lossy, lossless and extended have their size in different places."""
    match data[12:16]:
        case b"VP8X":
            return Picture(int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1)
        case b"VP8L" if len(data) >= 25:
            bits = int.from_bytes(data[21:25], "little")
            return Picture((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8 ":
            width, height = struct.unpack("<HH", data[26:30])
            return Picture(width & 0x3FFF, height & 0x3FFF)
        case _:
            return None


_READERS = {"image/png": _png, "image/gif": _gif, "image/jpeg": _jpeg, "image/webp": _webp}
