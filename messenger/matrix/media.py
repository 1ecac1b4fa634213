"""Attachments: encrypted in the media repository, opened and checked here, encrypted anew for the other side.

Client-server API v1.16, "Sending encrypted attachments"."""

import asyncio
import json
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any

from nio.crypto.attachments import decrypt_attachment, encrypt_attachment
from nio.exceptions import EncryptionError

from messenger.app.outside_ports import FileAway
from messenger.app.records import File
from messenger.channels.errors import Rejected
from messenger.channels.messages import MediaRef
from messenger.matrix.batch import as_dict, as_text
from messenger.matrix.http import AnswerTooLarge, HomeserverClient, MatrixError, Unreachable
from messenger.matrix.sender import as_channel_error
from messenger.observability.failpoints import fp


class MatrixMedia:
    """The `FileSource` of Matrix, and the way up."""

    def __init__(self, http: HomeserverClient) -> None:
        self._http = http

    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        file = _file(ref)
        try:
            sealed = await self._http.download(as_text(file.get("url")), max_bytes=max_bytes + 64)
        except AnswerTooLarge as error:
            raise Rejected("too_large") from error
        except ValueError as error:
            raise Rejected("bad_media", raw_code="no address") from error
        except (MatrixError, Unreachable) as error:
            raise (FileAway() if _is_elsewhere(error) else as_channel_error(error)) from error
        fp("downloaded")
        return await asyncio.to_thread(_opened, sealed, file)

    async def upload(self, data: bytes) -> dict[str, Any]:
        """Encrypts and stores; returns the `file` of a message."""
        sealed, keys = await asyncio.to_thread(encrypt_attachment, data)
        try:
            url = await self._http.upload(sealed)
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error
        fp("uploaded")
        return {**keys, "url": url}

    async def message(self, file: File, caption: str, html: str) -> dict[str, Any]:
        """The content of a file message; the caption stands beside the name (MSC2530)."""
        content: dict[str, Any] = {
            "msgtype": file.type,
            "body": caption or file.name,
            "filename": file.name,
            "file": await self.upload(file.data),
            "info": {**file.info, "mimetype": file.mime, "size": len(file.data)},
        }
        if file.is_voice:
            content |= as_voice(file)
        if caption and html:
            content |= {"format": "org.matrix.custom.html", "formatted_body": html}
        return content


def as_voice(file: File) -> dict[str, Any]:
    """What makes apps show a file as a voice message (MSC3245, with the details of MSC1767). How long it is is only
    said where that is known: an app would show a 0."""
    length = {"duration": file.info["duration"]} if "duration" in file.info else {}
    return {"org.matrix.msc3245.voice": {}, "org.matrix.msc1767.audio": {**length, "waveform": list(file.waveform)}}


def _is_elsewhere(error: MatrixError | Unreachable) -> bool:
    """Our homeserver answers, in its own words, that another one does not give it the file. (A proxy in front of a
    homeserver that is down has the same status, but no Matrix error in the body.)"""
    return isinstance(error, MatrixError) and error.status in (502, 504) and bool(error.body)


def _file(ref: MediaRef) -> Mapping[str, Any]:
    try:
        return as_dict(json.loads(ref.id))
    except ValueError as error:
        raise Rejected("bad_media", raw_code="no encrypted file") from error


def _opened(sealed: bytes, file: Mapping[str, Any]) -> bytes:
    """The hash is that of the sealed bytes; it is checked before anything is opened."""
    key, expected = as_text(as_dict(file.get("key")).get("k")), as_text(as_dict(file.get("hashes")).get("sha256"))
    try:
        data: bytes = decrypt_attachment(sealed, key, expected, as_text(file.get("iv")))
    except (EncryptionError, ValueError, Base64Error) as error:
        raise Rejected("bad_media", raw_code=type(error).__name__) from error
    return data
