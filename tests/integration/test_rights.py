"""The rights of a person on a real database: erasure and its ledger, restriction, hold, four eyes."""

import asyncio
import json
import stat
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from messenger import bootstrap
from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.staff import AnswerInRoom
from messenger.app.effects.thread import RelayToThread
from messenger.app.erasure_ports import Found
from messenger.app.render import Clock, notice
from messenger.bootstrap.erasures import LedgerIsShort, erasure_hands, reapply_erasures, signing_key
from messenger.bootstrap.export import FileIsThere, Places, _write
from messenger.bootstrap.rights import NeedsApproval, certificate_fault
from messenger.channels.messages import Content, Handle, MediaRef
from messenger.domain.conversation import fold
from messenger.i18n import LANGUAGES, texts
from messenger.matrix.http import Unreachable
from messenger.observability.time import utc_now
from messenger.queries.contacts import contacts
from messenger.queries.person_export import person_export
from messenger.storage import erasures
from messenger.storage.administration import NotPossible
from messenger.storage.erasure_ledger import LedgerDamaged
from messenger.storage.messages import ERASED_SPEAKER
from messenger.storage.models import whole_schema
from messenger.storage.models.audit import audit
from messenger.storage.models.conversations import conversation, message, place, remote_message
from messenger.storage.models.queues import inbox, outbox
from messenger.storage.models.rooms import mx_member
from messenger.storage.personal_data import PERSONAL_DATA
from messenger.workers.erasure import ErasureWorker
from tests.integration.rights_house import BEN, RightsHouse, open_rights_house, settings_for
from tests.integration.staff_desk import CARD, CHAT, CUSTOMER, DESK, GROUP, ROOM, customer_says, ready, staff_reacts
from tests.support.databases import TestDatabases
from tests.support.fake_clamd import fake_clamd
from tests.support.file_makers import eicar, picture, word

OTHER = "@bert:x"


@pytest.fixture
async def house(tmp_path: Path, database_url: str) -> AsyncIterator[RightsHouse]:
    async with open_rights_house(settings_for(tmp_path, database_url)) as opened:
        yield opened


async def a_life(house: RightsHouse) -> None:
    """A claimed conversation with words of both sides, a note, tags and another customer beside it."""
    await house.desk.set_up([BEN])
    await house.desk.greet(OTHER, "Bert")
    await house.desk.put(staff_reacts(BEN, "👀"))
    await house.desk.work(1)
    await house.desk.says(BEN, "We look into it", event="$answer")
    await house.desk.says(BEN, "// a note", event="$note")
    await house.desk.says(BEN, "!tag secret-tag")
    await card_is_posted(house)


async def card_is_posted(house: RightsHouse) -> None:
    """What its delivery leaves behind."""
    [id] = await house.desk.conversations()
    async with house.engine.begin() as connection:
        group = await connection.scalar(sa.select(conversation.c.group_id).where(conversation.c.id == id))
        card = {"conversation_id": id, "number": 1, "group_id": group, "room_id": ROOM, "card": CARD}
        await connection.execute(place.insert().values(card))
        posted = conversation.update().where(conversation.c.id == id)
        await connection.execute(posted.values(card_room=ROOM, card_event=CARD))


async def test_nothing_in_the_database_names_an_erased_person(house: RightsHouse) -> None:
    await a_life(house)
    assert {"channel_identity"} <= set(await house.rows_with(CUSTOMER))
    [id] = await house.desk.conversations()
    done = await house.erase(CUSTOMER)
    assert done.step == "certify"
    assert await house.rows_with(CUSTOMER, CHAT, "$first", "$answer", "$note") == []
    assert "channel_identity" in await house.rows_with(OTHER)
    assert set(house.rooms.redacted) >= {"$first", "$answer", "$note", CARD}
    assert house.rooms.left == [CHAT] and set(house.rooms.forgotten) == {CHAT, CUSTOMER}
    async with house.engine.begin() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(message)) == 0
        row = (await connection.execute(sa.select(conversation).where(conversation.c.id == id))).one()
    assert (row.state, row.resolution, row.blocked, row.enc_tags) == ("resolved", "erased", "erased", None)
    async with house.desk.units() as unit:
        log = await unit.conversations.history(id)
    folded = fold(log)
    assert folded is not None and folded.resolution == "erased"


async def test_the_certificate_says_what_is_done_and_what_is_impossible_and_every_change_of_it_shows(
    house: RightsHouse, tmp_path: Path
) -> None:
    await a_life(house)
    house.rooms.powerless = frozenset({CHAT})
    house.rooms.stands[CHAT] = Found(
        events=["$theirs"], media=["mxc://y/file"], foreign_servers=["one.example", "two.example"]
    )
    done = await house.erase(CUSTOMER)
    state = await house.rights.state(done.id)
    assert state.certificate is not None
    places = {place["place"]: place for place in state.certificate["places"]}
    assert places["group_room_messages"]["outcome"] == "done"
    assert (
        places["customer_room_messages"]["outcome"] == "impossible" and places["customer_room_messages"]["count"] >= 2
    )
    assert (places["foreign_servers"]["outcome"], places["foreign_servers"]["count"]) == ("requested", 2)
    assert places["foreign_servers"]["servers"] == ["one.example", "two.example"]
    assert places["customer_room_files"]["count"] == 1
    assert "until" in places["main_database_backups"]
    public, file = signing_key(house.settings).public, tmp_path / "certificate.json"
    file.write_text(json.dumps(state.certificate))
    assert certificate_fault(file, public) == ""
    assert "another key" in certificate_fault(file, "00" * 32)
    for name in state.certificate:
        if name != "public_key":
            file.write_text(json.dumps({**state.certificate, name: "0" * 128}))
            assert "changed" in certificate_fault(file, public), name


async def test_what_is_on_its_way_ends_before_anything_is_removed(house: RightsHouse) -> None:
    await a_life(house)
    await house.desk.claim_everything()
    async with house.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE outbox SET claimed_until = now() + interval '1 hour'"))
    id = await house.rights.erase(CUSTOMER, "dora")
    hands = erasure_hands(house.storage, house.settings, house.settings.desk(), rooms=house.rooms)
    await ErasureWorker(erasures.SqlErasureQueue(house.engine), hands).take(await erasures.get(house.engine, id))
    assert (await erasures.get(house.engine, id)).step == "block"
    async with house.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE outbox SET claimed_until = now()"))
    await house.work_off()
    assert (await house.rights.state(id)).done_at is not None


async def test_a_card_that_was_tried_and_never_noted_is_looked_for(house: RightsHouse) -> None:
    """Its process died behind the homeserver's answer: it stands in the group's room, and nothing else names it."""
    await a_life(house)
    async with house.engine.begin() as connection:
        card = outbox.update().where(outbox.c.kind == "PostCard")
        txn = await connection.scalar(card.values(state="new", attempts=1).returning(outbox.c.txn))
        await connection.execute(sa.text("UPDATE skill_group SET room_id = '!team' WHERE room_id IS NULL"))
    await house.erase(CUSTOMER)
    assert txn in house.rooms.looked


async def test_a_homeserver_that_is_away_delays_and_loses_nothing(house: RightsHouse) -> None:
    await a_life(house)
    house.rooms.away = 3
    await house.erase(CUSTOMER)
    assert len(house.rooms.redacted) == len(set(house.rooms.redacted)) >= 4


async def test_who_writes_in_an_erased_thread_hears_so_in_every_language(house: RightsHouse) -> None:
    await a_life(house)
    await house.erase(CUSTOMER)
    assert [each.text for each in await house.desk.notices()] == ["rights.erased"]
    await house.desk.says(BEN, "Are you there?")
    answers = [each for each in await house.desk.effects() if isinstance(each, AnswerInRoom)]
    assert [each.text for each in answers] == ["rights.erased"]
    words = {
        language: notice(texts(language), "rights.erased", clock=Clock(), ref="K-1").plain for language in LANGUAGES
    }
    assert len(set(words.values())) == len(LANGUAGES)
    assert ("Erased" in words["en"], "Gelöscht" in words["de"], "已删除" in words["zh"]) == (True, True, True)


async def test_whoever_comes_back_after_an_erasure_is_somebody_new(house: RightsHouse) -> None:
    await a_life(house)
    await house.erase(CUSTOMER)
    await house.desk.put(ready(), customer_says("$again", "Hello again"))
    await house.desk.work(1)
    async with house.desk.units() as unit:
        chat = await unit.chats.find("@desk:x", CHAT)
    assert chat is not None and chat.name == "Anna"
    assert len(await house.desk.conversations()) == 2
    await house.erase(CUSTOMER)
    assert await house.rows_with(CUSTOMER) == []


async def test_a_restored_database_is_cleaned_before_it_serves(tmp_path: Path, test_databases: TestDatabases) -> None:
    name = await test_databases.fresh()
    settings = settings_for(tmp_path, test_databases.server.uri(name))
    async with open_rights_house(settings) as house:
        await a_life(house)
    backup = f"{name}_backup"
    await test_databases.server.create_database(backup, template=name)
    async with open_rights_house(settings) as house:
        await house.erase(CUSTOMER)
        assert await reapply_erasures(house.storage, settings) == 0
    restored = settings_for(tmp_path, test_databases.server.uri(backup), keys_url=settings.key_database.address())
    async with open_rights_house(restored) as house:
        assert "channel_identity" in await house.rows_with(CUSTOMER)
        assert await reapply_erasures(house.storage, restored) == 1
        left = set(await house.rows_with(CUSTOMER, CHAT))
        assert left <= {"erasure_target"}  # what the desk still has to do at the homeserver
        await house.work_off()
        assert await house.rows_with(CUSTOMER, CHAT) == []
        assert "channel_identity" in await house.rows_with(OTHER)
        assert await reapply_erasures(house.storage, restored) == 0
    for each in (name, backup):
        await test_databases.server.drop_database(each)


async def test_nothing_is_served_on_a_ledger_that_was_cut_or_changed(house: RightsHouse) -> None:
    await a_life(house)
    await house.erase(CUSTOMER)
    file = house.settings.erasure_ledger_file()
    whole = file.read_text()
    file.write_text(whole.replace('"person"', '"nobody"'))
    with pytest.raises(LedgerDamaged):
        await reapply_erasures(house.storage, house.settings)
    file.write_text("")
    with pytest.raises(LedgerIsShort):
        await reapply_erasures(house.storage, house.settings)
    file.write_text(whole)
    assert await reapply_erasures(house.storage, house.settings) == 0


async def test_the_program_does_not_start_on_a_ledger_that_was_cut(house: RightsHouse, tmp_path: Path) -> None:
    await a_life(house)
    await house.erase(CUSTOMER)
    house.settings.erasure_ledger_file().write_text("")
    with pytest.raises(LedgerIsShort):
        await bootstrap.serve(house.settings, stop=asyncio.Event(), ready=lambda: pytest.fail("it serves"))
    with pytest.raises(LedgerIsShort):
        await house.rights.export(OTHER, "dora", tmp_path / "bert.zip")


async def test_the_program_erases_again_before_it_asks_its_homeserver_for_anything(
    tmp_path: Path, test_databases: TestDatabases
) -> None:
    name = await test_databases.fresh()
    settings = settings_for(tmp_path, test_databases.server.uri(name))
    async with open_rights_house(settings) as house:
        await a_life(house)
    await test_databases.server.create_database(f"{name}_old", template=name)
    async with open_rights_house(settings) as house:
        await house.erase(CUSTOMER)
    old = settings_for(tmp_path, test_databases.server.uri(f"{name}_old"), keys_url=settings.key_database.address())
    with pytest.raises(Unreachable):  # the homeserver of this house
        await bootstrap.serve(old, stop=asyncio.Event(), ready=lambda: pytest.fail("it serves"))
    async with open_rights_house(old) as house:
        assert set(await house.rows_with(CUSTOMER, CHAT)) <= {"erasure_target"}
    for each in (name, f"{name}_old"):
        await test_databases.server.drop_database(each)


async def test_under_restriction_nobody_works_with_it_and_nothing_is_lost(house: RightsHouse) -> None:
    await house.desk.set_up([BEN])
    [id] = await house.desk.conversations()
    await house.rights.restrict(CUSTOMER, "objection", "dora")
    async with house.desk.units() as unit:
        groups = [group.id for group in await unit.people.groups()]
        assert await unit.lists.waiting(groups, 10) == ([], 0)
        assert await unit.lists.longest_waiting(groups) is None
        assert await unit.contacts.named_first_in("Anna") is None
    await house.desk.says(BEN, "!claim")
    answers = [each for each in await house.desk.effects() if isinstance(each, AnswerInRoom)]
    assert [(each.text, each.room, each.thread) for each in answers] == [("rights.restricted", ROOM, CARD)]
    before = len([each for each in await house.desk.effects() if isinstance(each, RelayToThread)])
    await house.desk.put(customer_says("$more", "And another thing"))
    await house.desk.work(1)
    assert len([each for each in await house.desk.effects() if isinstance(each, RelayToThread)]) == before
    async with house.engine.begin() as connection:
        states = await connection.scalars(sa.select(inbox.c.state).where(inbox.c.kind == "InboundMessage"))
        assert sorted(states) == ["done", "new"]
    await house.rights.unrestrict(CUSTOMER, "settled", "dora")
    await house.desk.work(1)
    assert len([each for each in await house.desk.effects() if isinstance(each, RelayToThread)]) == before + 1
    async with house.desk.units() as unit:
        assert [each.id for each in (await unit.lists.waiting(groups, 10))[0]] == [id]


async def test_what_was_about_to_leave_waits_under_restriction(house: RightsHouse) -> None:
    await a_life(house)
    await house.rights.restrict(CUSTOMER, "objection", "dora")
    due = "SELECT count(*) FROM outbox WHERE state = 'new' AND next_at <= now() AND kind = 'SendToCustomer'"
    async with house.engine.begin() as connection:
        assert await connection.scalar(sa.text(due)) == 0
    await house.rights.unrestrict(CUSTOMER, "settled", "dora")
    async with house.engine.begin() as connection:
        assert await connection.scalar(sa.text(due)) == 1
    assert any(isinstance(each, SendToCustomer) for each in await house.desk.effects())


async def test_a_legal_hold_makes_an_erasure_a_restriction(house: RightsHouse) -> None:
    await a_life(house)
    await house.rights.hold(CUSTOMER, "court-2026", "dora")
    with pytest.raises(NotPossible, match="legal hold"):
        await house.rights.erase(CUSTOMER, "dora")
    assert "channel_identity" in await house.rows_with(CUSTOMER)
    [id] = await house.desk.conversations()
    async with house.engine.begin() as connection:
        blocked = await connection.scalar(sa.select(conversation.c.blocked).where(conversation.c.id == id))
    assert blocked == "restricted"
    await house.rights.release(CUSTOMER, "judgement", "dora")
    await house.erase(CUSTOMER)
    assert await house.rows_with(CUSTOMER) == []


async def test_with_four_eyes_two_people_erase(tmp_path: Path, database_url: str) -> None:
    async with open_rights_house(settings_for(tmp_path, database_url, four_eyes=True)) as house:
        await a_life(house)
        with pytest.raises(NeedsApproval):
            await house.rights.erase(CUSTOMER, "dora")
        [request] = await house.rights.requests()
        with pytest.raises(NotPossible, match="somebody else"):
            await house.rights.approve(request.id, "dora")
        with pytest.raises(NeedsApproval, match=request.id):
            await house.rights.erase(CUSTOMER, "dora")
        await house.rights.approve(request.id, "emil")
        with pytest.raises(NotPossible, match="already"):
            await house.rights.approve(request.id, "fritz")
        with pytest.raises(NeedsApproval):
            await house.rights.erase(CUSTOMER, "emil")
        done = await house.erase(CUSTOMER)
        assert (done.ordered_by, done.approved_by) == ("dora", "emil")


async def test_a_request_that_nobody_approved_in_time_is_none(tmp_path: Path, database_url: str) -> None:
    async with open_rights_house(settings_for(tmp_path, database_url, four_eyes=True)) as house:
        await a_life(house)
        with pytest.raises(NeedsApproval):
            await house.rights.erase(CUSTOMER, "dora")
        [request] = await house.rights.requests()
        async with house.engine.begin() as connection:
            await connection.execute(sa.text("UPDATE rights_request SET expires_at = now() - interval '1 s'"))
        with pytest.raises(NotPossible, match="expired"):
            await house.rights.approve(request.id, "emil")
        assert await house.rights.requests() == []


async def test_an_export_shows_everything_and_its_page_speaks_the_persons_language(
    house: RightsHouse, tmp_path: Path
) -> None:
    await a_life(house)
    await house.desk.put(customer_says("$de", "Guten Tag, ich brauche noch ein <b>Rezept</b> von Ihnen"))
    await house.desk.work(1)
    async with house.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE chat SET language = 'de'"))
    made = await house.rights.export(CUSTOMER, "dora", tmp_path / "anna.zip")
    assert (made.conversations, made.messages) == (1, 4)
    with zipfile.ZipFile(tmp_path / "anna.zip") as archive:
        assert archive.testzip() is None
        document = json.loads(archive.read("data.json"))
        text = archive.read("index.html").decode()
        assert "$defs" in json.loads(archive.read("schema.json"))
    assert document["name"] == "Anna" and [each["value"] for each in document["addresses"]] == [CUSTOMER]
    [only] = document["conversations"]
    assert [each["text"] for each in only["messages"]][:3] == ["Hello", "We look into it", "// a note"]
    assert [each["author"] for each in only["messages"]] == ["person", "staff-1", "staff-1", "person"]
    assert only["tags"] == ["secret-tag"] and "ConversationClaimed" in [each["what"] for each in only["history"]]
    assert BEN not in json.dumps(document), "who the staff are is their own data"
    assert "Ihre Daten: Anna" in text and "&lt;b&gt;Rezept" in text and "interne Notiz" in text
    assert stat.S_IMODE((tmp_path / "anna.zip").stat().st_mode) == 0o600


class Media:
    """The homeserver's files, by id."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        return self._files[ref.id]


async def test_an_export_holds_every_file_as_it_is_and_warns_of_what_was_not_passed_on(
    house: RightsHouse, socket_folder: Path, tmp_path: Path
) -> None:
    await a_life(house)
    files = {"photo.png": picture("PNG"), "letter.txt": eicar(), "form.docx": word(word__vbaProject_d_bin=b"x")}
    for name in files:
        said = Content(text="", media=(MediaRef(id=name, mime="", filename=name),))
        await house.desk.put(replace(customer_says(f"${name}", ""), content=said))
    await house.desk.work(1)
    places, target = Places(), tmp_path / "anna.zip"
    async with house.engine.begin() as connection:
        person = await connection.scalar(sa.select(conversation.c.contact_id))
    export = await person_export(
        house.engine, house.storage.keys, person, organisation="Linden", now=utc_now(), files=places
    )
    socket = str(socket_folder / "clamd.sock")
    settings = house.settings.model_copy(
        update={"scanner": house.settings.scanner.model_copy(update={"clamd": socket})}
    )
    async with fake_clamd(socket):
        with target.open("wb") as out:
            made = await _write(out, export, places.refs, Media(files), settings)
    assert (made.files, made.missing, made.with_warnings) == (3, 0, 2)
    with zipfile.ZipFile(target) as archive:
        document, text = json.loads(archive.read("data.json")), archive.read("index.html").decode()
        [only] = document["conversations"]
        listed = {file["name"]: file for message in only["messages"] for file in message["files"]}
        assert {name: archive.read(file["path"]) for name, file in listed.items()} == files
    assert {name: file["warnings"] for name, file in listed.items()} == {
        "photo.png": [], "letter.txt": ["virus"], "form.docx": ["active"],
    }  # fmt: skip
    assert "Careful: a virus was found in it" in text and "Careful: it holds macros or a program" in text


async def test_who_read_and_decided_what_is_in_the_export(house: RightsHouse, tmp_path: Path) -> None:
    await a_life(house)
    await house.rights.restrict(CUSTOMER, "objection", "dora")
    await house.rights.export(CUSTOMER, "dora", tmp_path / "one.zip")
    await house.rights.export(CUSTOMER, "dora", tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "two.zip") as archive:
        accesses = json.loads(archive.read("data.json"))["accesses"]
    found = [(each["action"], each["reason"]) for each in accesses if each["action"].startswith("contact.")]
    assert found == [("contact.restrict", "objection"), ("contact.export", "")]
    assert "dora" not in json.dumps(accesses)


async def test_an_export_never_goes_over_a_file_and_leaves_nothing_half_done(
    house: RightsHouse, tmp_path: Path
) -> None:
    await a_life(house)
    target = tmp_path / "there.zip"
    target.write_text("mine")
    with pytest.raises(FileIsThere):
        await house.rights.export(CUSTOMER, "dora", target)
    assert target.read_text() == "mine"
    link = tmp_path / "link.zip"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileIsThere):
        await house.rights.export(CUSTOMER, "dora", link)
    assert sorted(file.name for file in tmp_path.glob("*zip*")) == ["link.zip", "there.zip"]
    assert not (tmp_path / "elsewhere").exists()


async def test_with_four_eyes_an_approval_gives_one_export(tmp_path: Path, database_url: str) -> None:
    async with open_rights_house(settings_for(tmp_path, database_url, four_eyes=True)) as house:
        await a_life(house)
        with pytest.raises(NeedsApproval):
            await house.rights.export(CUSTOMER, "dora", tmp_path / "one.zip")
        [request] = await house.rights.requests()
        await house.rights.approve(request.id, "emil")
        with pytest.raises(NeedsApproval):  # what was approved is an export, not an erasure
            await house.rights.erase(CUSTOMER, "dora")
        await house.rights.export(CUSTOMER, "dora", tmp_path / "one.zip")
        with pytest.raises(NeedsApproval):
            await house.rights.export(CUSTOMER, "dora", tmp_path / "two.zip")
        assert not (tmp_path / "two.zip").exists()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "passwd"),
        ("Röntgen Bild.JPG", "Rontgen_Bild.JPG"),
        ("处方.pdf", "pdf"),
        ("CON", "_CON"),
        ("a" * 300 + ".pdf", "a" * 80 + ".pdf"),
        ("\u202efdp.exe", "fdp.exe"),
    ],
)
def test_names_in_the_archive_are_tame(name: str, plain: str) -> None:
    file = Places()("m", MediaRef(id="{}", filename=name))
    assert file.path == f"files/00001-{plain}"


async def test_tables_that_an_erasure_is_said_to_empty_are_empty(house: RightsHouse) -> None:
    """With one person in the whole house."""
    await house.desk.set_up([BEN])
    await house.desk.put(staff_reacts(BEN, "👀"))
    await house.desk.work(1)
    await house.desk.says(BEN, "We look into it", event="$answer")
    await house.erase(CUSTOMER)
    emptied = [
        name for name, columns in PERSONAL_DATA.items() if {rule.erase for rule in columns.values()} == {"removed"}
    ]
    tables = whole_schema().tables
    async with house.engine.begin() as connection:
        left = {
            name: await connection.scalar(sa.select(sa.func.count()).select_from(tables[name]))
            for name in emptied
            if name not in ("inbox", "outbox", "remote_message")  # of others, and of the erasure's own last words
        }
        assert {name: count for name, count in left.items() if count} == {}
        for table, columns in PERSONAL_DATA.items():
            if table in ("contact", "conversation"):
                values = (await connection.execute(sa.select(tables[table]))).one()._mapping
                assert not [
                    name for name, rule in columns.items() if rule.erase == "emptied" and values[name] is not None
                ]


async def resolved_days_ago(house: RightsHouse, days: int) -> None:
    async with house.engine.begin() as connection:
        ended = "UPDATE conversation SET state = 'resolved', resolution = 'solved', "
        old = sa.text(ended + "resolved_at = now() - CAST(:age AS interval)")
        await connection.execute(old, {"age": timedelta(days=days)})


async def message_count(house: RightsHouse) -> int:
    async with house.engine.begin() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(message)) or 0)


async def conversations_like_it(house: RightsHouse, count: int) -> None:
    """So many more like the one that is there."""
    many = """
    WITH new AS (
      INSERT INTO conversation SELECT (jsonb_populate_record(old, jsonb_build_object(
        'id', gen_random_uuid(), 'number', 'K-' || n))).* FROM conversation AS old, generate_series(1, :count) AS n
      RETURNING id
    )
    INSERT INTO message (id, conversation_id, type, at, enc_body)
    SELECT gen_random_uuid(), id, 'm.text', now(), '' FROM new
    """
    async with house.engine.begin() as connection:
        await connection.execute(sa.text(many), {"count": count})


async def test_words_go_when_their_time_is_over_and_not_before(house: RightsHouse) -> None:
    await a_life(house)
    await resolved_days_ago(house, 179)
    assert (await house.rights.retention(dry_run=False)).ordered == 0
    await resolved_days_ago(house, 181)
    report = await house.rights.retention(dry_run=True)
    assert [(each.purpose, each.due, each.kept) for each in report.due if each.group] == [("messages", 1, 0)]
    assert await message_count(house) == 3
    assert (await house.rights.retention(dry_run=False)).ordered == 1
    assert (await house.rights.retention(dry_run=False)).ordered == 0
    await house.work_off()
    assert await message_count(house) == 0
    assert "$answer" in house.rooms.looked and CARD in house.rooms.looked and house.rooms.left == []
    assert "channel_identity" in await house.rows_with(CUSTOMER), "the person stays"
    await house.desk.put(customer_says("$later", "Me again"))
    await house.desk.work(1)
    assert len(await house.desk.conversations()) == 2


async def test_a_group_keeps_as_long_as_its_setting_says(house: RightsHouse) -> None:
    await a_life(house)
    await resolved_days_ago(house, 1000)
    await house.desk.change_group(GROUP, keep_messages_days=0, keep_files_days=0)
    assert (await house.rights.retention(dry_run=False)).ordered == 0
    await house.desk.change_group(GROUP, keep_messages_days=3650, keep_files_days=30)
    report = await house.rights.retention(dry_run=False)
    assert [(each.purpose, each.days, each.due) for each in report.due if each.group] == [
        ("messages", 3650, 0),
        ("files", 30, 1),
    ]
    await house.work_off()
    assert await message_count(house) == 3, "the words stay"


async def test_files_go_before_the_words(house: RightsHouse) -> None:
    await a_life(house)
    said = customer_says("$file", "See the letter")
    letter = MediaRef(id=json.dumps({"url": "mxc://x/letter"}), filename="letter.pdf")
    await house.desk.put(replace(said, content=replace(said.content, media=(letter,))))
    await house.desk.work(1)
    await house.desk.change_group(GROUP, keep_files_days=30)
    await resolved_days_ago(house, 40)
    await house.rights.retention(dry_run=False)
    await house.work_off()
    assert house.rooms.removed == ["mxc://x/letter"] and "$file" in house.rooms.looked
    [id] = await house.desk.conversations()
    async with house.desk.units() as unit:
        assert await unit.messages.with_files(id) == []
    assert await message_count(house) == 4


@pytest.mark.parametrize("kind", ["hold", "restrict"])
async def test_a_hold_or_a_restriction_wins_over_retention(house: RightsHouse, kind: str) -> None:
    await a_life(house)
    await resolved_days_ago(house, 400)
    await getattr(house.rights, kind)(CUSTOMER, "court-2026", "dora")
    report = await house.rights.retention(dry_run=False)
    assert [(each.due, each.kept) for each in report.due if each.purpose == "messages"] == [(0, 1)]
    assert report.ordered == 0


async def test_retention_goes_in_batches_and_each_has_its_row_in_the_audit_log(house: RightsHouse) -> None:
    await a_life(house)
    await resolved_days_ago(house, 400)
    await conversations_like_it(house, 1200)
    assert (await house.rights.retention(dry_run=False)).ordered == 1201
    async with house.engine.begin() as connection:
        query = sa.select(audit.c.details).where(audit.c.action == "retention.batch").order_by(audit.c.seq)
        counts = [json.loads(details)["count"] for details in await connection.scalars(query)]
    assert counts == ["500", "500", "201"]


async def _a_friend_speaks(house: RightsHouse) -> UUID:
    """In the customer's room. Returns the message."""
    await house.desk.set_up([BEN])
    await house.desk.put(customer_says("$friend", "I am her friend", sender="@friend:x"))
    await house.desk.work(1)
    async with house.engine.begin() as connection:
        return UUID(str(await connection.scalar(sa.select(message.c.id).order_by(message.c.seq.desc()).limit(1))))


async def test_who_else_spoke_goes_with_their_own_key_and_the_customers_words_stay(house: RightsHouse) -> None:
    id = await _a_friend_speaks(house)
    await house.erase("@friend:x")
    async with house.desk.units() as unit:
        stored = await unit.messages.get(id)  # type: ignore[arg-type]
    assert stored.content.text == "I am her friend" and not stored.is_erased
    assert stored.speaker == ERASED_SPEAKER, "nobody's name, and not taken for the customer's word"
    assert await house.rows_with("@friend:x") == []


async def test_copies_of_what_an_erased_person_said_in_anothers_chat_are_taken_out_of_the_teams_thread(
    house: RightsHouse,
) -> None:
    id = await _a_friend_speaks(house)
    async with house.engine.begin() as connection:
        first = await connection.scalar(sa.select(message.c.id).order_by(message.c.seq).limit(1))
        here = await connection.scalar(sa.select(conversation.c.id))
        for of, event in ((id, "$copy-of-friend"), (first, "$copy-of-anna")):
            copy = {"account": DESK, "room": ROOM, "remote_id": event, "kind": "copy", "message_id": of}
            await connection.execute(remote_message.insert().values(part=1, conversation_id=here, **copy))
        member = {"account": DESK, "room_id": CHAT, "user_id": "@friend:x", "membership": "leave"}
        await connection.execute(mx_member.insert().values(member))
    house.rooms.stands[ROOM] = Found(events=("$copy-of-friend", "$its-edit"))
    await house.erase("@friend:x")
    assert house.rooms.looked == ["$copy-of-friend"], "and nothing of the customer's, here or in their own chat"
    assert house.rooms.redacted == ["$copy-of-friend", "$its-edit"]


async def test_erasing_the_customer_leaves_the_other_person_as_they_are(house: RightsHouse) -> None:
    await _a_friend_speaks(house)
    await house.erase(CUSTOMER)
    async with house.engine.begin() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(message)) == 0
    await house.desk.greet("@friend:x", "Frieda")
    async with house.desk.units() as unit:
        friend = await unit.contacts.of_handle(Handle(kind="mxid", value="@friend:x"))
    assert friend is not None and friend.name == "Frieda"


async def test_contacts_are_listed_without_names_and_restricted_ones_apart(house: RightsHouse) -> None:
    await a_life(house)
    await house.rights.restrict(OTHER, "objection", "dora")
    listed = await contacts(house.engine)
    assert [(row.address, row.conversations, row.open, row.held) for row in listed] == [(CUSTOMER, 1, 1, False)]
    assert listed[0].last_at is not None
    assert [row.address for row in await contacts(house.engine, restricted=True)] == [OTHER]
    await house.erase(CUSTOMER)
    assert await contacts(house.engine) == []
