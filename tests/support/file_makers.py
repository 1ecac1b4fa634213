"""Files made by hand, byte by byte where no library would make them."""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from email.message import EmailMessage

from PIL import Image

OFFICE = "application/vnd.openxmlformats-officedocument."
WORD, SHEET = f"{OFFICE}wordprocessingml.document", f"{OFFICE}spreadsheetml.sheet"
SLIDES = f"{OFFICE}presentationml.presentation"
OPEN_TEXT = "application/vnd.oasis.opendocument.text"
MB = 1_000_000

TYPES = b'<Types><Override PartName="/word/document.xml" ContentType="%b"/></Types>'
DOCUMENT = b"<w:document><w:body><w:p><w:r><w:t>Guten Tag</w:t></w:r></w:p></w:body></w:document>"
RELATION = b'<Relationships><Relationship Id="r1" Type="http://x/relationships/%b" Target="%b" TargetMode="%b"/></Relationships>'  # noqa: E501
HYPERLINK = RELATION % (b"hyperlink", b"https://example.org", b"External")


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


def jpeg(width: int, height: int) -> bytes:
    head = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    return head + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\3" * 20


def gif_of_many(frames: int) -> bytes:
    frame = b"\x2c" + bytes(8) + b"\0" + b"\2" + b"\2\x44\1" + b"\0"
    return b"GIF89a" + struct.pack("<HH", 10, 10) + b"\0\0\0" + frame * frames + b";"


def heic(width: int, height: int) -> bytes:
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", width, height)


def zeros(megabytes: int) -> bytes:
    """Packed, and made at once: every megabyte is packed to the same bytes."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (engine.compress(bytes(MB)) + engine.flush(zlib.Z_FULL_FLUSH)) * megabytes + b"\3\0"


def noise(kilobytes: int) -> bytes:
    """What cannot be packed further, packed; the same in each run."""
    data = b"".join(hashlib.sha256(bytes([n, m])).digest() for n in range(kilobytes) for m in range(32))
    return zlib.compress(data)[2:-4]


def zlib_zeros(megabytes: int) -> bytes:
    checksum = struct.pack(">HH", megabytes * MB % 65_521, 1)
    return b"\x78\xda" + zeros(megabytes) + checksum


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


def mail() -> bytes:
    mail = EmailMessage()
    mail["Subject"] = "Invoice"
    mail.set_content("see attachment")
    mail.add_attachment(eicar(), maintype="application", subtype="octet-stream", filename="invoice.com")
    return mail.as_bytes()


def tiff(*sizes: tuple[int, int]) -> bytes:
    out = b"II*\0\x08\0\0\0"
    for n, (width, height) in enumerate(sizes):
        tags = ((256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
                (278, 4, height), (279, 4, 1))  # fmt: skip
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        size = 2 + len(entries) + 4
        after = len(out) + size if n + 1 < len(sizes) else 0
        out += struct.pack("<H", len(tags)) + entries + struct.pack("<I", after)
    return out
