"""Pictures by their headers, read by Pillow and never decoded: how large they are, how many of them are in one file."""

import re
import struct
from collections.abc import Iterator
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from messenger.app.attachments import Picture, picture
from messenger.app.inspection.bounds import Budget, NotAccepted

MAX_PIXELS = 100_000_000  # more is a decompression bomb for everybody who opens it
MAX_FRAMES = 5_000
MAX_MOVING_PIXELS = 2_000_000_000  # of all frames together
# WebP is not here: Pillow makes room for the whole picture when it opens one. Its header is read by us.
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/tiff": "TIFF"}
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
_SPATIAL_EXTENT = re.compile(rb"ispe\0\0\0\0(.{4})(.{4})", re.DOTALL)  # ISO/IEC 23008-12, 6.5.3
_BOXES = 65_536


def picture_size(data: bytes, mime: str, budget: Budget) -> Picture | None:
    """Of the largest picture in it; None for what is no picture. Raises NotAccepted."""
    if mime == "image/heic":
        return _largest(_in_boxes(data), frames=1)
    if mime == "image/webp":
        return _largest(_one(picture(data, mime)), frames=data.count(b"ANMF") or 1)
    if mime not in _FORMATS:
        return None
    if (own := picture(data, mime)) is not None:
        _largest([own], frames=1)  # before any library allocates by it
    return _by_pillow(data, mime, budget)


def _by_pillow(data: bytes, mime: str, budget: Budget) -> Picture:
    try:
        with Image.open(BytesIO(data), formats=[_FORMATS[mime]]) as image:
            size = Picture(*image.size)
            frames = _gif_frames(data, budget) if mime == "image/gif" else getattr(image, "n_frames", 1)
            if mime == "image/tiff":
                return _largest(_pages(image, budget), frames=1)
            return _largest([size], frames=frames)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAccepted("bomb") from error
    except UnidentifiedImageError as error:
        raise NotAccepted("mismatch") from error
    except _BROKEN as error:
        raise NotAccepted("bomb" if _is_too_much(error) else "mismatch") from error


def _is_too_much(error: Exception) -> bool:
    """Pillow's word for text blocks in a PNG that unpack without end."""
    return "Decompressed data too large" in str(error) or "Too much memory used in text chunks" in str(error)


def _largest(sizes: list[Picture], *, frames: int) -> Picture:
    if not sizes or any(size.width * size.height == 0 for size in sizes):
        raise NotAccepted("mismatch")
    largest = max(sizes, key=lambda size: size.width * size.height)
    pixels = largest.width * largest.height
    if pixels > MAX_PIXELS or frames > MAX_FRAMES or pixels * frames > MAX_MOVING_PIXELS:
        raise NotAccepted("bomb")
    return largest


def _one(size: Picture | None) -> list[Picture]:
    return [] if size is None else [size]


def _pages(image: Image.Image, budget: Budget) -> list[Picture]:
    sizes: list[Picture] = []
    for number in range(MAX_FRAMES + 1):
        budget.look_at_the_clock()
        try:
            image.seek(number)
        except EOFError:
            return sizes
        sizes.append(Picture(*image.size))
    raise NotAccepted("bomb")


def _in_boxes(data: bytes) -> list[Picture]:
    found = _SPATIAL_EXTENT.findall(data[:_BOXES])
    return [Picture(int.from_bytes(width), int.from_bytes(height)) for width, height in found]


def _gif_frames(data: bytes, budget: Budget) -> int:
    """Counts the image blocks (GIF89a, 20) without unpacking one."""
    frames = 0
    for kind in _gif_blocks(data, budget):
        frames += kind == 0x2C
        if frames > MAX_FRAMES:
            raise NotAccepted("bomb")
    return max(1, frames)


def _gif_blocks(data: bytes, budget: Budget) -> Iterator[int]:
    at = 13 + _palette(data[10])
    while at + 1 < len(data):
        kind = data[at]
        if kind == 0x2C:
            at += 11 + _palette(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:
            return
        yield kind
        at = _behind_blocks(data, at, budget)


def _palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int, budget: Budget) -> int:
    budget.look_at_the_clock()
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1
