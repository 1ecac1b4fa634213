"""The demonstration's folder, cast and step list: what a second start keeps, and what it never touches."""

import io
import stat
import struct
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from messenger.config import Settings
from messenger.demo.actor import Seen
from messenger.demo.cast import BACK_OFFICE, CLERK, GROUPS, cast
from messenger.demo.first_day import picture
from messenger.demo.folder import NotADemo, open_folder, people_of
from messenger.demo.steps import Steps, age_of_process
from messenger.demo.transcript import Screen, print_screens


def test_the_same_seed_gives_the_same_people_and_they_speak_three_languages() -> None:
    assert cast(7) == cast(7)
    assert any(cast(7) != cast(seed) for seed in range(8, 20))
    for seed in range(20):
        assert {BACK_OFFICE, CLERK} < set(cast(seed))
        agents = [person for person in cast(seed) if person.kind == "agent" and person != BACK_OFFICE]
        assert sorted(agent.language for agent in agents) == ["de", "en", "zh"]
        assert {group for agent in agents for group in agent.groups} == {group.name for group in GROUPS}


def test_a_second_start_has_the_same_people_and_passwords(tmp_path: Path) -> None:
    first = open_folder(tmp_path / "demo")
    before = first.people(7)
    first.unlock()
    second = open_folder(tmp_path / "demo")
    assert second.people(8) == before
    assert people_of(before) == cast(7)
    assert len(set(before["passwords"].values())) == len(before["passwords"]) == 9
    assert stat.S_IMODE((tmp_path / "demo/people.json").stat().st_mode) == 0o600


def test_another_folder_gets_other_passwords(tmp_path: Path) -> None:
    one, two = (open_folder(tmp_path / name).people(7)["passwords"] for name in ("one", "two"))
    assert one.keys() == two.keys() and not set(one.values()) & set(two.values())


def test_a_folder_with_other_things_in_it_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(NotADemo, match="was not made by `stellwerk demo`"):
        open_folder(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_demonstrations_do_not_share_a_folder(tmp_path: Path) -> None:
    first = open_folder(tmp_path / "demo")
    with pytest.raises(NotADemo, match="running"):
        open_folder(tmp_path / "demo")
    first.unlock()
    open_folder(tmp_path / "demo").unlock()


def test_emptying_keeps_only_the_marker_and_the_lock_and_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/thesis.txt").write_text("three years of work")
    folder = open_folder(tmp_path / "demo")
    folder.people(7)
    (folder.path / "link").symlink_to(tmp_path / "elsewhere")
    folder.mark_started()
    folder.empty()
    assert sorted(file.name for file in folder.path.iterdir()) == [".stellwerk-demo", "demo.lock"]
    assert folder.is_new
    assert (tmp_path / "elsewhere/thesis.txt").exists()


def test_the_settings_load_and_a_second_start_writes_the_same(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "demo")
    desk = "@desk:demo.localhost"
    folder.write_settings(homeserver="http://127.0.0.1:8008", desk=desk, password="pw")
    before = folder.settings_file.read_bytes()
    settings = Settings.load(folder.settings_file)
    assert settings.desk(desk).read_password() == "pw"
    assert settings.warnings == ()
    folder.write_settings(homeserver="http://127.0.0.1:8008", desk=desk, password="pw")
    assert folder.settings_file.read_bytes() == before


def test_steps_are_told_one_a_line_where_nobody_watches() -> None:
    out = io.StringIO()
    steps = Steps(Console(file=out, width=80), ("Database", "Homeserver"))
    with steps.showing(), steps.step("Database"):
        pass
    with pytest.raises(RuntimeError), steps.step("Homeserver"):
        raise RuntimeError
    lines = out.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["✓ Database", "✗ Homeserver"]


def test_what_was_waited_for_before_the_list_is_told_and_counted() -> None:
    out = io.StringIO()
    steps = Steps(Console(file=out, width=80), ("Program", "Database"), since_s=1000)
    steps.was("Program", 1000)
    with steps.showing(), steps.step("Database"):
        pass
    assert out.getvalue().splitlines()[0] == "✓ Program  1000.0 s"
    assert steps.seconds >= 1000
    assert age_of_process() == pytest.approx(time.time() - psutil.Process().create_time(), abs=60)


def test_steps_are_live_on_a_terminal() -> None:
    out = io.StringIO()
    steps = Steps(Console(file=out, width=80, force_terminal=True), ("Database", "Homeserver"))
    with steps.showing(), steps.step("Database"):
        pass
    lines = [line for line in out.getvalue().splitlines() if "Database" in line or "Homeserver" in line]
    database, homeserver = lines[-2:]
    assert "✓" in database and "·" in homeserver


def test_the_photo_is_a_picture() -> None:
    photo = picture(8)
    assert photo.startswith(b"\x89PNG\r\n\x1a\n") and photo.endswith(b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))
    length = struct.unpack(">I", photo[33:37])[0]
    assert len(zlib.decompress(photo[41 : 41 + length])) == 8 * (1 + 3 * 8)


def test_both_screens_are_printed_in_order_of_time() -> None:
    def seen(second: int, sender: str, text: str, **more: str) -> Seen:
        at = datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC)
        return Seen(at=at, room_id="!r", event_id=str(second), sender=sender, kind="message", text=text, **more)

    out = io.StringIO()
    left = Screen(title="Customer", seen=[seen(3, "@a", "Hallo"), seen(1, "@d", "Guten Tag")])
    right = Screen(title="Team", seen=[seen(4, "@d", "Karte https://matrix.to/#/!r/$e", replaces="2")])
    leaps = [(datetime(2026, 1, 1, 12, 0, 2, tzinfo=UTC), "a week passes")]
    print_screens(Console(file=out, width=100), left, right, names={"@a": "Anna", "@d": "Desk"}, leaps=leaps)
    text = out.getvalue()
    lines = ("Desk: Guten Tag", "a week passes", "Anna: Hallo", "Desk (edited): Karte (link)")
    assert sorted(lines, key=text.index) == list(lines)
