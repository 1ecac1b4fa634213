"""Files both ways with the real program: the same bytes arrive, their names and captions are clean, and what is refused
is refused on both sides with a word to the sender."""

import json
import secrets
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from tests.integration.staff_house import House, Thread, open_house
from tests.support.absent import absent
from tests.support.clamd import ABSENT, SIGNATURE, RealClamd
from tests.support.databases import TestDatabases
from tests.support.file_makers import eicar
from tests.support.ledger import digest
from tests.support.people import Person
from tests.support.timeline import Seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT_MB = 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clamd() -> AsyncIterator[RealClamd | None]:
    """Without one all but its own tests run the same."""
    try:
        server = RealClamd()
    except pytest.skip.Exception:
        yield None
        return
    await server.start()
    yield server
    server.remove()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases, clamd: RealClamd | None
) -> AsyncIterator[House]:
    environment = {"STELLWERK__LIMITS__ATTACHMENT_MAX_MB": str(LIMIT_MB)}
    if clamd is not None:
        environment["STELLWERK__SCANNER__CLAMD"] = clamd.socket
    folder = tmp_path_factory.mktemp("files")
    async with open_house(folder, synapse, test_databases, staff=["ben", "lea"], environment=environment) as house:
        yield house


@pytest.fixture
def scanner(clamd: RealClamd | None) -> RealClamd:
    if clamd is None:
        absent(ABSENT)
    return clamd


def png(width: int = 3, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + secrets.token_bytes(3 * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pdf() -> bytes:
    return b"%PDF-1.7\n" + secrets.token_bytes(200_000) + b"\n%%EOF\n"


def voice() -> bytes:
    return b"OggS\0\x02" + bytes(8) + secrets.token_bytes(14) + b"OpusHead" + secrets.token_bytes(5000)


FILES: list[tuple[str, str, str, bytes]] = [
    ("photo.png", "image/png", "m.image", png()),
    ("letter.pdf", "application/pdf", "m.file", pdf()),
    ("voice.ogg", "audio/ogg", "m.audio", voice()),
]
NAMES = [file[0] for file in FILES]
SPOKEN: dict[str, Any] = {
    "org.matrix.msc3245.voice": {},
    "org.matrix.msc1767.audio": {"duration": 2_500, "waveform": [0, 512, 1024]},
}


async def file_in(reader: Person, room: str, name: str, *, thread: str | None = None) -> Seen:
    return await reader.wait_for(
        room,
        lambda seen: seen.thread == thread and seen.content.get("filename") == name and seen.sender != reader.user_id,
    )


@pytest.mark.parametrize(("name", "mime", "kind", "data"), FILES, ids=NAMES)
async def test_a_customers_file_arrives_byte_for_byte_in_the_thread(
    house: House, name: str, mime: str, kind: str, data: bytes
) -> None:
    thread = await house.conversation()
    info = {"mimetype": mime, "size": len(data)}
    more = SPOKEN if kind == "m.audio" else {}
    await send_raw_file(thread.customer, thread.chat, data, msgtype=kind, body=name, filename=name, info=info, **more)
    shown = await file_in(house.ben, house.room, name, thread=thread.card)
    assert digest(await house.ben.download(shown)) == digest(data)
    assert shown.was_encrypted and shown.content["msgtype"] == kind
    assert shown.content["info"]["mimetype"] == mime and shown.content["info"]["size"] == len(data)
    assert shown.body.startswith("anna") and name in shown.body
    assert {key: shown.content[key] for key in SPOKEN if key in shown.content} == more
    if kind == "m.image":
        assert (shown.content["info"]["w"], shown.content["info"]["h"]) == (3, 2)


@pytest.mark.parametrize(("name", "mime", "kind", "data"), FILES, ids=NAMES)
async def test_an_agents_file_arrives_byte_for_byte_at_the_customers(
    house: House, name: str, mime: str, kind: str, data: bytes
) -> None:
    thread = await house.conversation(owner=house.ben)
    more = SPOKEN if kind == "m.audio" else {}
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": thread.card}}
    said = {"msgtype": kind, "body": name, "filename": name, "info": {"mimetype": mime, "size": len(data)}}
    sent = await send_raw_file(house.ben, house.room, data, **said, **relation, **more)
    received = await file_in(thread.customer, thread.chat, name)
    assert {key: received.content[key] for key in SPOKEN if key in received.content} == more
    assert digest(await thread.customer.download(received)) == digest(data)
    assert received.sender == house.product.desk and received.was_encrypted
    await thread.fate(sent, Fate.DELIVERED)


async def send_raw_file(person: Person, room: str, data: bytes, **content: Any) -> str:
    """As a client might, but with anything in the content."""
    from nio.crypto.attachments import encrypt_attachment

    sealed, keys = encrypt_attachment(data)
    file = {**keys, "url": await person.server.upload(sealed)} | content.pop("file", {})
    return await person.send(room, "m.room.message", {"msgtype": "m.file", "file": file, **content})


HOSTILE_NAME, CLEAN_NAME = "../../etc/\u202egnp.bill\x00\n\u200b.pdf", "gnp.bill .pdf"
HOSTILE = "\u202e\u2066\x00\x07"  # turns what follows round, or is no character at all
CAPTION = "my letter @room <b>now</b> &amp;\n第二行, naïve 👩\u200d⚕️"
AS_HTML = "my letter @room &lt;b&gt;now&lt;/b&gt; &amp;amp;<br>第二行, naïve 👩\u200d⚕️"


async def test_a_customers_caption_and_hostile_name_arrive_whole_and_clean(house: House) -> None:
    thread = await house.conversation()
    caption = CAPTION.replace("@room", f"{HOSTILE}@room")
    info = {"mimetype": "application/pdf"}
    await send_raw_file(thread.customer, thread.chat, pdf(), body=caption, filename=HOSTILE_NAME, info=info)
    shown = await house.ben.wait_for(house.room, lambda seen: seen.thread == thread.card and "my letter" in seen.body)
    assert shown.content["filename"] == CLEAN_NAME
    body, _, of_scanner = shown.body.removesuffix("]").partition(", scanned")
    assert body == f"anna (unverified): {CAPTION} [document {CLEAN_NAME}, 200 kB"
    assert of_scanner in ("", ": clean")
    assert f"</strong>{AS_HTML} <i>[document {CLEAN_NAME}," in shown.content["formatted_body"]
    assert shown.content["m.mentions"] == {}
    assert_clean(shown)


async def test_an_agents_hostile_name_and_caption_arrive_whole_and_clean(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": thread.card}}
    caption = CAPTION.replace("@room", f"{HOSTILE}@room")
    info = {"mimetype": "application/pdf"}
    data = pdf()
    sent = await send_raw_file(house.ben, house.room, data, body=caption, filename=HOSTILE_NAME, info=info, **relation)
    received = await thread.received("my letter")
    assert received.content["filename"] == CLEAN_NAME
    assert received.body == f"Ben: {CAPTION}"
    assert_clean(received)
    assert digest(await thread.customer.download(received)) == digest(data)
    await thread.fate(sent, Fate.DELIVERED)
    uncaptioned = await send_raw_file(
        house.ben, house.room, data, body=HOSTILE_NAME, filename=HOSTILE_NAME, info=info, **relation
    )
    await thread.fate(uncaptioned, Fate.DELIVERED)
    [alone] = [each for each in thread.customer.messages(thread.chat) if each.msgtype == "m.file"][1:]
    assert alone.content["filename"] == CLEAN_NAME
    assert alone.body == CLEAN_NAME
    assert_clean(alone)


def assert_clean(seen: Seen) -> None:
    """Nothing in it turns writing round or is invisible but the joiner inside an emoji; no path is left."""
    everything = json.dumps(
        {key: seen.content[key] for key in ("body", "filename", "formatted_body") if key in seen.content}
    )
    assert not [char for char in f"{HOSTILE}\u200b" if json.dumps(char)[1:-1] in everything]
    assert "etc" not in everything


async def test_an_agents_caption_goes_with_the_file_and_a_note_keeps_it_inside(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": thread.card}}
    info = {"mimetype": "application/pdf"}
    kept = await send_raw_file(
        house.ben, house.room, pdf(), body="// do not show her", filename="inside.pdf", info=info, **relation
    )
    await thread.fate(kept, Fate.KEPT)
    sent = await send_raw_file(
        house.ben, house.room, pdf(), body="Please sign this", filename="contract.pdf", info=info, **relation
    )
    received = await file_in(thread.customer, thread.chat, "contract.pdf")
    assert received.body == "Ben: Please sign this"
    await thread.fate(sent, Fate.DELIVERED)
    assert "inside.pdf" not in await thread.everything_the_customer_has()


SCRIPT = b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF\n"


async def test_what_acts_when_it_is_opened_is_said_on_both_sides(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    await thread.customer.send_file(thread.chat, SCRIPT, name="form.pdf", mimetype="application/pdf")
    shown = await file_in(house.ben, house.room, "form.pdf", thread=thread.card)
    assert "Caution: this file runs a script when opened." in shown.body
    assert "<b>Caution:</b>" in shown.content["formatted_body"]
    await house.ben.send_file(house.room, SCRIPT, name="ours.pdf", mimetype="application/pdf", thread=thread.card)
    received = await file_in(thread.customer, thread.chat, "ours.pdf")
    assert "Caution: this file runs a script when opened." in received.body


REFUSED: list[tuple[str, bytes, dict[str, Any], str, str]] = [
    ("big.pdf", b"%PDF-1.7\n" + bytes(LIMIT_MB * 1_000_000), {}, "too big (limit 1 MB)", "too big (limit 1 MB)"),
    ("said.pdf", pdf(), {"info": {"size": 10**12}}, "limit 1 MB", "limit 1 MB"),
    ("page.html", b"<html><script>alert(1)</script></html>", {}, "type is not allowed", "type is not allowed"),
    ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", {}, "type is not allowed", "type is"),
    ("photo.jpg", b"MZ\x90\0" + bytes(500), {"info": {"mimetype": "image/jpeg"}}, "type is not allowed", "type is"),
    ("photo.png", pdf(), {"info": {"mimetype": "image/png"}}, "does not match", "does not match"),
    ("wrong.pdf", pdf(), {"file": {"hashes": {"sha256": "A" * 43}}}, "could not be opened", "could not be opened"),
    ("gone.pdf", pdf(), {"file": {"url": "mxc://test.localhost/nosuchmedia"}}, "could not be opened", "could not be"),
    ("keyless.pdf", pdf(), {"file": {"key": {"k": "!"}}}, "could not be opened", "could not be opened"),
    ("nofile.pdf", pdf(), {"file": {"url": "http://127.0.0.1:1/x"}}, "could not be opened", "could not be opened"),
    ("empty.pdf", b"", {}, "empty", "empty"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "content", "to_staff", "to_customer"), REFUSED, ids=[r[0] for r in REFUSED])
async def test_a_customers_refused_file_is_told_on_both_sides(
    house: House, name: str, data: bytes, content: dict[str, Any], to_staff: str, to_customer: str
) -> None:
    thread = await shared_thread(house)
    given = {key: dict(value) for key, value in content.items()}
    await send_raw_file(thread.customer, thread.chat, data, body=name, **given)
    held = await thread.told(house.ben, f"File {name} from")
    assert "held back" in held.body and to_staff in held.body
    told = await thread.received(f"We could not accept {name}")
    assert to_customer in told.body
    assert not [each for each in house.ben.messages(house.room, thread=thread.card) if each.content.get("file")]


async def test_what_a_customer_says_with_a_refused_file_is_relayed(house: House) -> None:
    thread = await house.conversation()
    words = "please call me, it is urgent"
    await send_raw_file(thread.customer, thread.chat, b"MZ" + bytes(500), body=words, filename="tool.exe")
    await thread.told(house.ben, words)
    await thread.told(house.ben, "File tool.exe from")
    await thread.received("We could not accept tool.exe")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("big.pdf", b"%PDF-1.7\n" + bytes(LIMIT_MB * 1_000_000), "too large (limit 1 MB)"),
        ("page.html", b"<html><script>alert(1)</script></html>", "does not take this kind of file"),
        ("tool.exe", b"MZ\x90\0" + bytes(500), "does not take this kind of file"),
    ],
)
async def test_an_agents_refused_file_is_not_sent_and_says_why(
    house: House, name: str, data: bytes, reason: str
) -> None:
    thread = await house.conversation(owner=house.ben)
    sent = await house.ben.send_file(house.room, data, name=name, thread=thread.card)
    failed = await thread.told(house.ben, "Not sent to anna")
    assert reason in failed.body
    await thread.fate(sent, Fate.FAILED)
    assert name not in await thread.everything_the_customer_has()


@pytest.mark.usefixtures("scanner")
async def test_a_virus_reaches_nobody_and_its_sender_the_team_and_the_group_hear_of_it(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    await thread.customer.send_file(thread.chat, eicar(), name="hers.txt", mimetype="text/plain")
    await thread.told(house.ben, f"File hers.txt from anna is held back: a virus was found ({SIGNATURE}")
    await thread.received("We could not accept hers.txt: a virus was found")
    sent = await house.ben.send_file(house.room, eicar(), name="his.txt", mimetype="text/plain", thread=thread.card)
    await thread.told(house.ben, "a virus was found in your file")
    await thread.fate(sent, Fate.FAILED)
    for words in ("a file of the customer of K-", "a file of a colleague in K-"):
        await house.lea.wait_for(house.room, lambda seen, words=words: seen.thread is None and words in seen.body)
    assert "his.txt" not in await thread.everything_the_customer_has()
    shown = house.ben.messages(house.room, thread=thread.card)
    assert not [each for each in shown if each.content.get("filename") == "hers.txt"]


async def test_while_the_scanner_is_away_files_wait_and_texts_do_not(house: House, scanner: RealClamd) -> None:
    thread, other = await house.conversation(owner=house.ben), await house.conversation()
    scanner.kill()
    try:
        await thread.customer.send_file(thread.chat, png(), name="waits.png", mimetype="image/png", msgtype="m.image")
        await thread.told(house.ben, "waits.png from anna is being checked")
        sent = await house.ben.send_file(house.room, png(), name="ours.png", mimetype="image/png", thread=thread.card)
        await thread.told(house.ben, "Your file ours.png is being checked")
        for conversation in (thread, other):
            await conversation.customer.say(conversation.chat, "words go on")
            await conversation.told(house.ben, "words go on")
        await thread.say(house.ben, "ours too")
        await thread.received("ours too")
    finally:
        await scanner.start()
    await file_in(house.ben, house.room, "waits.png", thread=thread.card)
    await file_in(thread.customer, thread.chat, "ours.png")
    await thread.fate(sent, Fate.DELIVERED)


async def test_a_conversation_goes_on_behind_a_refused_file(house: House) -> None:
    thread = await shared_thread(house)
    await thread.customer.say(thread.chat, "and now in words")
    await thread.told(house.ben, "and now in words")


_shared: dict[int, Thread] = {}


async def shared_thread(house: House) -> Thread:
    if id(house) not in _shared:
        _shared[id(house)] = await house.conversation()
    return _shared[id(house)]
