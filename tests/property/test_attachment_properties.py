"""Properties of the attachment policy: whatever a stranger sends, only the content opens the door."""

from hypothesis import given
from hypothesis import strategies as st

from messenger.app.attachments import picture, sniff
from messenger.domain.attachment import DANGEROUS, DEFAULT_POLICY, MAX_BYTES, Accepted, canonical, judge
from messenger.domain.text import clean_filename

ALLOWED = [mime for types in DEFAULT_POLICY.allowed.values() for mime in types]
MIMES = st.one_of(
    st.sampled_from([*ALLOWED, "", "text/html", "image/svg+xml", "application/x-sh"]), st.text(max_size=20)
)
NAMES = st.one_of(
    st.text(max_size=40),
    st.builds(lambda stem, end: f"{stem}.{end}", st.text(max_size=9), st.sampled_from(sorted(DANGEROUS))),
)
MAGIC = st.sampled_from(
    [b"MZ", b"\x7fELF", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"PK\x03\x04", b"<svg>", b"<html>",
     b"\0\0\0\x18ftypisom", b"RIFF\0\0\0\0WEBP", b"OggS", b"\xff\xd8\xff\xe0", b"{\\rtf1", b"ID3", b"#!/bin/sh", b""]
)  # fmt: skip


@given(MIMES, MIMES, NAMES, st.integers(-1, 2 * MAX_BYTES))
def test_what_is_accepted_is_small_allowed_and_named_alike(declared: str, content: str, name: str, size: int) -> None:
    verdict = judge(declared, content, name, size)
    if isinstance(verdict, Accepted):
        assert 0 < size <= MAX_BYTES
        assert verdict.mime == canonical(content) and verdict.mime in DEFAULT_POLICY.allowed[verdict.kind]
        assert verdict.filename == clean_filename(verdict.filename)
        assert not {part.casefold() for part in verdict.filename.split(".")[1:]} & DANGEROUS


@given(MIMES, NAMES, st.integers(1, MAX_BYTES))
def test_a_programs_content_passes_under_no_name_and_no_word(declared: str, name: str, size: int) -> None:
    for content in (
        "application/x-executable",
        "text/html",
        "image/svg+xml",
        "application/zip",
        "application/octet-stream",
    ):
        assert not isinstance(judge(declared, content, name, size), Accepted)


@given(MAGIC, st.binary(max_size=300), MAGIC)
def test_sniffing_never_fails_and_never_calls_a_program_anything_else(first: bytes, middle: bytes, last: bytes) -> None:
    data = first + middle + last
    mime = sniff(data)
    assert "/" in mime
    if first in (b"MZ", b"\x7fELF", b"#!/bin/sh", b"<svg>", b"<html>"):
        assert not isinstance(judge("", mime, "harmless", len(data)), Accepted)


@given(st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp"]), MAGIC, st.binary(max_size=200))
def test_no_header_makes_the_reader_fail(mime: str, magic: bytes, rest: bytes) -> None:
    size = picture(magic + rest, mime)
    assert size is None or min(size.width, size.height) >= 0
