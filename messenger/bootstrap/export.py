"""The archive of an export: the document for machines with its schema, the page for people, and the files, opened from
Matrix media. It is made once, readable for nobody else, and never over another file."""

import asyncio
import json
import logging
import os
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from messenger.app.export.document import Export, ExportedFile
from messenger.app.export.page import page
from messenger.app.files import warnings_of
from messenger.app.inspection.inspector import Inspector
from messenger.app.outside_ports import NO_SCANNER, FileSource
from messenger.bootstrap.database import Storage
from messenger.bootstrap.outlets import outlets
from messenger.bootstrap.scanning import scanner_of
from messenger.channels.errors import ChannelError
from messenger.channels.messages import MediaRef
from messenger.config import Settings
from messenger.domain.text import clean_filename
from messenger.i18n import texts
from messenger.matrix.http import HomeserverClient
from messenger.matrix.media import MatrixMedia
from messenger.observability.time import utc_now
from messenger.queries.person_export import person_export, with_files
from messenger.storage.desks import load_login

log = logging.getLogger(__name__)

LONGEST_NAME = 80
MEGABYTE = 1_000_000
_DOCUMENT: TypeAdapter[Export] = TypeAdapter(Export)


class FileIsThere(Exception):
    """The archive would be written over another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """`missing`: files that are named and not in the archive; `with_warnings`: those of which its page warns."""

    conversations: int
    messages: int
    files: int
    missing: int
    with_warnings: int
    bytes: int


@dataclass(slots=True)
class Places:
    """Where each file lies in the archive: numbered, so that names cannot collide, and with a name that every system
    takes."""

    refs: dict[str, MediaRef] = field(default_factory=dict)

    def __call__(self, message: str, ref: MediaRef) -> ExportedFile:
        name = clean_filename(ref.filename)
        path = f"files/{len(self.refs) + 1:05d}-{plain_name(name)}"
        self.refs[path] = ref
        return ExportedFile(path=path, name=name, mime=ref.mime, size=ref.size)


def plain_name(name: str) -> str:
    """Letters, digits and a few signs: what old unpackers understand, too."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    tame = "".join(char if char.isalnum() or char in "._-" else "_" for char in plain).lstrip(".")
    stem, dot, ending = tame.rpartition(".")
    return f"{(stem or tame)[:LONGEST_NAME]}{dot}{ending[:10]}" if dot and stem else tame[:LONGEST_NAME] or "file"


async def export_person(storage: Storage, settings: Settings, person: UUID, target: Path) -> Exported:
    """Raises FileIsThere and KeyDestroyed. What was begun and could not be finished leaves nothing behind."""
    if await asyncio.to_thread(target.exists):
        raise FileIsThere(f"{target} exists: name another file for the export")
    places = Places()
    export = await person_export(
        storage.engine,
        storage.keys,
        person,
        organisation=settings.server.organisation,
        now=utc_now(),
        files=places,
    )
    async with _files(storage, settings) as source:
        with _unfinished(target) as out:
            return await _write(out, export, places.refs, source, settings)


async def _write(
    out: IO[bytes], export: Export, refs: Mapping[str, MediaRef], source: FileSource | None, settings: Settings
) -> Exported:
    inspector = Inspector(max_bytes=settings.limits.attachment_max_mb * MEGABYTE)
    try:
        return await _write_all(out, export, refs, source, settings, inspector)
    finally:
        await inspector.close()


async def _write_all(
    out: IO[bytes],
    export: Export,
    refs: Mapping[str, MediaRef],
    source: FileSource | None,
    settings: Settings,
    inspector: Inspector,
) -> Exported:
    """Every file goes in as it is, for it is the person's; what is to be known before it is opened is said of it."""
    found: dict[str, ExportedFile] = {}
    left, scanner = settings.privacy.export_max_mb * MEGABYTE, scanner_of(settings) or NO_SCANNER
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, ref in refs.items():
            data, reason = await _fetched(source, ref, min(left, settings.limits.attachment_max_mb * MEGABYTE))
            name = clean_filename(ref.filename)
            if data is None:
                found[path] = ExportedFile(path="", name=name, mime=ref.mime, size=ref.size, missing=reason)
                continue
            left -= len(data)
            warnings = await warnings_of(data, ref, inspector=inspector, scanner=scanner)
            found[path] = ExportedFile(path=path, name=name, mime=ref.mime, size=len(data), warnings=warnings)
            await asyncio.to_thread(archive.writestr, path, data)
        whole = with_files(export, found)
        await asyncio.to_thread(_write_texts, archive, whole, settings)
    missing = sum(1 for each in found.values() if not each.path)
    return Exported(
        conversations=len(whole.conversations),
        messages=sum(len(each.messages) for each in whole.conversations),
        files=len(found) - missing,
        missing=missing,
        with_warnings=sum(1 for each in found.values() if each.warnings),
        bytes=out.tell(),
    )


def _write_texts(archive: zipfile.ZipFile, export: Export, settings: Settings) -> None:
    archive.writestr("data.json", _DOCUMENT.dump_json(export, indent=1))
    archive.writestr("schema.json", json.dumps(schema(), indent=1))
    words = texts(export.language, default=settings.i18n.default)
    with archive.open("index.html", "w") as out:
        for piece in page(export, words, ZoneInfo(settings.server.time_zone)):
            out.write(piece.encode())


def schema() -> dict[str, Any]:
    """The JSON schema of `data.json`."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | _DOCUMENT.json_schema(mode="serialization")


async def _fetched(source: FileSource | None, ref: MediaRef, most: int) -> tuple[bytes | None, str]:
    """A file that cannot be had is named with the reason; the export goes on."""
    if source is None:
        return None, "no_desk"
    try:
        return await source.fetch(ref, max_bytes=most), ""
    except ChannelError as error:
        log.info("a file is not in the export", extra={"code": error.code})
        return None, error.code


@asynccontextmanager
async def _files(storage: Storage, settings: Settings) -> AsyncIterator[FileSource | None]:
    """With the desk's own login; None before its first start."""
    login = await load_login(storage.engine, storage.keys, settings.desk().user_id)
    if login is None:
        yield None
        return
    http = HomeserverClient(settings.matrix.homeserver, token=login.token, outlets=outlets(settings))
    try:
        yield MatrixMedia(http)
    finally:
        await http.close()


class _unfinished:  # noqa: N801 - used as a function
    """A file that gets its name when it is whole."""

    def __init__(self, target: Path) -> None:
        self._target, self._part = target, target.with_name(f".{target.name}.part")

    def __enter__(self) -> IO[bytes]:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            self._out = os.fdopen(os.open(self._part, flags, 0o600), "w+b")
        except FileExistsError:
            raise FileIsThere(f"{self._part} is there: an export was cut off, or is still running. Delete it") from None
        return self._out

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._out.flush()
                os.fsync(self._out.fileno())
                os.link(self._part, self._target)
        except FileExistsError:
            raise FileIsThere(f"{self._target} exists: name another file for the export") from None
        finally:
            self._out.close()
            with suppress(FileNotFoundError):
                self._part.unlink()
