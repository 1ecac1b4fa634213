"""Which files pass: the table that everybody may read, with real first bytes."""

import struct
import zipfile
from io import BytesIO

import pytest

from messenger.app.attachments import picture, sniff
from messenger.domain.attachment import MAX_BYTES, Accepted, Policy, Refused, judge

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480) + b"\x08\2\0\0\0" + b"\0" * 40
JPEG = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    + b"\xff\xc0\0\x11\x08"
    + struct.pack(">HH", 480, 640)
    + b"\3" * 20
)
GIF = b"GIF89a" + struct.pack("<HH", 640, 480) + b"\x80\0\0"
WEBP = b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")
WEBP_LOSSY = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30\x01\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480) + b"\0" * 8
WEBP_LOSSLESS = b"RIFF\x24\0\0\0WEBPVP8L\x18\0\0\0\x2f" + (639 | 479 << 14).to_bytes(4, "little") + b"\0" * 8
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"
OGG = b"OggS\0\2" + b"\0" * 22 + b"\x01\x13OpusHead"


def zipped(*names: str, mimetype: str = "") -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype)
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


DOCX = zipped("[Content_Types].xml", "word/document.xml")
ODT = zipped("content.xml", mimetype="application/vnd.oasis.opendocument.text")
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image/avif"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (PDF, "application/pdf"),
        (DOCX, WORD),
        (
            zipped("[Content_Types].xml", "xl/workbook.xml"),
            WORD.replace("wordprocessingml.document", "spreadsheetml.sheet"),
        ),
        (ODT, "application/vnd.oasis.opendocument.text"),
        (zipped("a.txt"), "application/zip"),
        (
            zipped("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"),
            "application/vnd.ms-office.macroenabled",
        ),
        (b"{\\rtf1\\ansi x}", "application/rtf"),
        (MP4, "video/mp4"),
        (b"\0\0\0\x18ftypM4A \0\0\2\0", "audio/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0", "video/quicktime"),
        (b"\0\0\0\x143gp4", "application/octet-stream"),
        (b"\0\0\0\x14ftyp3gp4\0\0", "video/3gpp"),
        (OGG, "audio/ogg"),
        (b"ID3\3\0\0\0\0\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0\0", "audio/mpeg"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm", "video/webm"),
        (b"#!AMR\n\x3c", "audio/amr"),
        (b"Guten Tag, hier das Rezept\n", "text/plain"),
        ("处方".encode(), "text/plain"),
        (b"a;b\n1;2\n", "text/plain"),
        (b"MZ\x90\0\3\0\0\0", "application/x-executable"),
        (b"\x7fELF\2\1\1", "application/x-executable"),
        (b"#!/bin/sh\necho", "application/x-executable"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html><html>", "text/html"),
        (b"<script>alert(1)</script>", "text/html"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">', "image/svg+xml"),
        (b"\0\1\2\3", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_the_content_tells_the_type(data: bytes, mime: str) -> None:
    assert sniff(data) == mime


@pytest.mark.parametrize(
    ("declared", "content", "name", "size", "verdict"),
    [
        ("image/jpeg", "image/jpeg", "Rezept.jpg", 1000, Accepted("image", "image/jpeg", "Rezept.jpg")),
        ("image/jpg", "image/jpeg", "Rezept.JPEG", 1000, Accepted("image", "image/jpeg", "Rezept.JPEG")),
        ("", "application/pdf", "../../Antrag.pdf", 1000, Accepted("document", "application/pdf", "Antrag.pdf")),
        ("application/octet-stream", "image/png", "", 1000, Accepted("image", "image/png", "file.png")),
        (
            "image/png",
            "image/png",
            "Bildschirmfoto 10.03",
            9,
            Accepted("image", "image/png", "Bildschirmfoto 10.03.png"),
        ),
        ("audio/ogg; codecs=opus", "audio/ogg", "voice.ogg", 9, Accepted("audio", "audio/ogg", "voice.ogg")),
        ("audio/mp4", "video/mp4", "voice.m4a", 9, Accepted("video", "video/mp4", "voice.m4a")),
        ("text/csv", "text/plain", "list.csv", 9, Accepted("document", "text/plain", "list.csv")),
        ("image/png", "image/png", "a.png", 0, Refused("empty")),
        ("image/png", "image/png", "a.png", MAX_BYTES, Accepted("image", "image/png", "a.png")),
        ("image/png", "image/png", "a.png", MAX_BYTES + 1, Refused("too_big")),
        ("image/png", "application/x-executable", "a.png", 9, Refused("type_not_allowed")),
        ("image/png", "image/png", "a.exe", 9, Refused("type_not_allowed")),
        ("image/png", "image/png", "a.exe.png", 9, Refused("type_not_allowed")),
        ("image/png", "image/png", "a\u202egnp.exe", 9, Refused("type_not_allowed")),
        ("text/plain", "text/plain", "run.bat", 9, Refused("type_not_allowed")),
        ("text/html", "text/plain", "a.txt", 9, Refused("type_not_allowed")),
        ("image/svg+xml", "image/svg+xml", "a.svg", 9, Refused("type_not_allowed")),
        ("application/zip", "application/zip", "a.zip", 9, Refused("type_not_allowed")),
        ("application/pdf", "image/png", "a.png", 9, Refused("mismatch")),
        ("image/png", "image/png", "a.pdf", 9, Refused("mismatch")),
        ("application/pdf", "text/plain", "a.pdf", 9, Refused("mismatch")),
        ("", "application/octet-stream", "a.pdf", 9, Refused("type_not_allowed")),
    ],
)
def test_the_policy_judges(declared: str, content: str, name: str, size: int, verdict: Accepted | Refused) -> None:
    assert judge(declared, content, name, size) == verdict


@pytest.mark.parametrize(
    ("data", "name", "verdict"),
    [
        (b"GIF89a/*<script>*/=1;alert(1)", "a.gif", "accepted as image/gif"),
        (b"GIF89a=1;", "a.js", "type_not_allowed"),
        (b"<svg/onload=alert(1)>%PDF-1.7", "a.pdf", "type_not_allowed"),
        (PDF + zipped("a.exe"), "a.pdf", "accepted as application/pdf"),
        (b"MZ" + PNG, "a.png", "type_not_allowed"),
        (zipped("word/document.xml"), "a.docx", "type_not_allowed"),
        (zipped("x", mimetype="text/html"), "a.odt", "type_not_allowed"),
        (PNG, "a.pdf", "mismatch"),
    ],
)
def test_of_a_polyglot_the_content_decides(data: bytes, name: str, verdict: str) -> None:
    judged = judge("", sniff(data), name, len(data))
    assert verdict == (judged.code if isinstance(judged, Refused) else f"accepted as {judged.mime}")


def test_a_group_may_take_less() -> None:
    pictures_only = Policy(max_bytes=1000, allowed={"image": {"image/png": ("png",)}})
    assert judge("", "application/pdf", "a.pdf", 9, pictures_only) == Refused("type_not_allowed")
    assert judge("", "image/png", "a.png", 1001, pictures_only) == Refused("too_big")


@pytest.mark.parametrize(
    ("data", "mime"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp"), (WEBP_LOSSY, "image/webp"),
     (WEBP_LOSSLESS, "image/webp")],
)  # fmt: skip
def test_a_pictures_size_is_read_without_decoding(data: bytes, mime: str) -> None:
    size = picture(data, mime)
    assert size is not None and (size.width, size.height) == (640, 480)


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/gif", "image/webp"])
def test_a_broken_header_tells_no_size(mime: str) -> None:
    whole = {"image/png": PNG, "image/jpeg": JPEG, "image/gif": GIF, "image/webp": WEBP}[mime]
    assert picture(whole[:9], mime) is None and picture(b"", mime) is None
