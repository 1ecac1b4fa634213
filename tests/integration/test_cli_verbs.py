"""The verbs against a real database: from `init` to a group with rules and people."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from typer.testing import Result

from messenger.cli.doctor.database import floods as doctors_floods
from messenger.cli.doctor.database import groups as doctors_groups
from messenger.config import Settings
from messenger.storage.database import connect
from messenger.storage.models.floods import flood
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import dead_letter, inbox
from tests.support.databases import TestDatabases, key_database_of, make_database
from tests.support.verbs import run_verb

Run = Callable[..., Result]


@contextmanager
def installation(databases: TestDatabases, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[Run]:
    """On a database of its own; no homeserver is needed for administration."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")
    address = databases.server.uri(name)
    (folder / "pw").write_text("hunter2")
    (folder / "pw").chmod(0o400)
    options = ["--homeserver", "http://127.0.0.1:1", "--user-id", "@desk:example.org", "--password-file", "pw"]
    alone = run_verb("init", *options, "--database-url", address)
    assert alone.exit_code == 1 and "--key-database-url" in alone.output
    asyncio.run(make_database(key_database_of(address)))
    options += ["--key-database-url", key_database_of(address)]
    assert run_verb("init", *options, "--database-url", address).exit_code == 0
    yield run_verb
    asyncio.run(databases.drop(name))


@pytest.fixture
def new_stellwerk(test_databases: TestDatabases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """No migration has been run."""
    name = asyncio.run(test_databases.fresh(empty=True))
    with installation(test_databases, tmp_path, monkeypatch, name) as run:
        yield run


@pytest.fixture
def stellwerk(test_databases: TestDatabases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """With all its tables, most of them cloned: so many migrations for each test take half of its time."""
    name = asyncio.run(test_databases.fresh())
    with installation(test_databases, tmp_path, monkeypatch, name) as run:
        assert run("migrate", "up").exit_code == 0
        yield run


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_verbs_ask_for_the_migrations_first(new_stellwerk: Run) -> None:
    stellwerk = new_stellwerk
    refused = stellwerk("group", "list")
    assert refused.exit_code == 1 and "stellwerk migrate up" in refused.output
    assert stellwerk("migrate", "status").exit_code == 1
    assert stellwerk("migrate", "up").exit_code == 0
    assert stellwerk("migrate", "status").exit_code == 0
    assert "CREATE TABLE" in stellwerk("migrate", "sql").stdout
    assert "CREATE TABLE subject_key" in stellwerk("migrate", "sql", "--keys").stdout


def test_groups_rules_and_people_are_added_listed_and_removed(stellwerk: Run) -> None:
    assert stellwerk("group", "add", "General", "--default").exit_code == 0
    assert stellwerk("group", "add", "Claims", "-k", "Schaden").exit_code == 0
    assert stellwerk("group", "rule", "add", "Claims", "-k", "refund", "-l", "zh").exit_code == 0
    assert stellwerk("agent", "add", "@anna:example.org", "Anna Krüger", "--language", "de").exit_code == 0
    assert stellwerk("group", "member", "add", "Claims", "@anna:example.org", "--role", "lead").exit_code == 0

    groups = {group["name"]: group for group in found(stellwerk("group", "list", "--json"))}
    assert groups["General"]["is_default"] and not groups["Claims"]["is_default"]
    rules = found(stellwerk("group", "rule", "list", "claims", "--json"))
    assert (set(rules["keywords"]), rules["languages"]) == ({"Schaden", "refund"}, ["zh"])
    (agent,) = found(stellwerk("agent", "list", "--json"))
    assert (agent["name"], agent["language"], agent["groups"]) == ("Anna Krüger", "de", ["Claims"])
    (member,) = found(stellwerk("group", "member", "list", "Claims", "--json"))
    assert (member["address"], member["role"]) == ("@anna:example.org", "lead")
    assert "Anna Krüger" in stellwerk("agent", "list").stdout

    assert stellwerk("group", "member", "remove", "Claims", "@anna:example.org").exit_code == 0
    assert found(stellwerk("group", "member", "list", "Claims", "--json")) == []


def test_what_is_probably_a_slip_of_the_pen_is_told(stellwerk: Run) -> None:
    stellwerk("group", "add", "General")
    twice = stellwerk("group", "add", "general")
    assert twice.exit_code == 1 and "there is a group General already" in twice.output
    refused = stellwerk("group", "rule", "add", "General", "--language", "German")
    assert refused.exit_code == 2 and "no code of a language" in refused.output
    assert stellwerk("group", "rule", "add", "General", "--language", "DE").exit_code == 0
    assert found(stellwerk("group", "rule", "list", "General", "--json"))["languages"] == ["de"]
    [alone] = asyncio.run(doctors_groups(Settings.load()))
    assert alone.level == "warn" and "nobody is in General" in alone.words
    stranger = stellwerk("group", "member", "add", "General", "@jonsa:example.org")
    assert stranger.exit_code == 0 and "was not known before" in stranger.output
    again = stellwerk("group", "member", "add", "General", "@jonsa:example.org", "--role", "lead")
    assert again.exit_code == 0 and "was not known before" not in again.output
    [peopled] = asyncio.run(doctors_groups(Settings.load()))
    assert peopled.level == "ok"


def test_settings_of_a_group_are_set_and_shown(stellwerk: Run) -> None:
    added = stellwerk("group", "add", "Claims", "--reply-mode", "explicit", "--set", "tell_customer=none")
    assert added.exit_code == 0, added.output
    done = stellwerk("group", "set", "claims", "hold_seconds=0", "required_skills=claims=3, german=2")
    assert done.exit_code == 0 and "required_skills = claims=3, german=2" in done.stdout

    group = found(stellwerk("group", "show", "CLAIMS", "--json"))
    settings = {key: group["settings"][key] for key in group["changed"]}
    assert settings == {
        "reply_mode": "explicit", "tell_customer": [], "hold_seconds": 0, "required_skills": {"claims": 3, "german": 2},
        "language": "en", "time_zone": settings["time_zone"],
    }  # fmt: skip
    shown = stellwerk("group", "show", "Claims").stdout
    assert re.search(r"^\* hold_seconds +0$", shown, re.MULTILINE)
    assert re.search(r"^  reopen_days +7$", shown, re.MULTILINE)


def test_a_wrong_setting_is_told_and_changes_nothing(stellwerk: Run) -> None:
    stellwerk("group", "add", "Claims")
    for wrong, words in (
        ("hold_second=1", "did you mean hold_seconds"),
        ("hold_seconds=61", "a whole number from 0 to 60"),
        ("hold_seconds", "KEY=VALUE"),
    ):
        refused = stellwerk("group", "set", "Claims", "reopen_days=3", wrong)
        assert refused.exit_code == 2 and words in refused.output, refused.output
    assert found(stellwerk("group", "show", "Claims", "--json"))["settings"]["reopen_days"] == 7
    assert stellwerk("group", "add", "Other", "--set", "reply_mode=all").exit_code == 2


def test_a_group_named_in_a_setting_that_is_not_there_is_told(stellwerk: Run) -> None:
    stellwerk("group", "add", "Claims")
    done = stellwerk("group", "set", "Claims", "transfer_to=claims, Billing")
    assert (
        done.exit_code == 0 and "there is no group Billing yet" in done.output and "no group claims" not in done.output
    )


def test_what_is_not_there_is_told_with_the_verb_that_helps(stellwerk: Run) -> None:
    for verb, hint in (
        (["group", "member", "add", "Claims", "@a:example.org"], "stellwerk group list"),
        (["group", "rule", "list", "Claims"], "stellwerk group list"),
        (["group", "show", "Claims"], "stellwerk group list"),
        (["group", "set", "Claims", "reopen_days=3"], "stellwerk group list"),
        (["conversation", "show", "K-XXXX"], "stellwerk conversation list"),
        (["desk", "show"], "stellwerk serve"),
    ):
        refused = stellwerk(*verb)
        assert refused.exit_code == 1 and hint in refused.output, refused.output
    assert found(stellwerk("conversation", "list", "--json")) == []
    assert "No conversation matches." in stellwerk("conversation", "list").stdout


def test_doctor_tells_what_is_missing_before_the_first_start(new_stellwerk: Run) -> None:
    stellwerk = new_stellwerk
    done = stellwerk("doctor", "--json")
    levels = {finding["check"]: finding["level"] for finding in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert (levels["database"], levels["schema"], levels["homeserver"]) == ("ok", "fail", "fail")
    stellwerk("migrate", "up")
    levels = {finding["check"]: finding["level"] for finding in json.loads(stellwerk("doctor", "--json").stdout)}
    assert (levels["schema"], levels["@desk:example.org"]) == ("ok", "warn")


def test_serve_without_a_homeserver_ends_with_a_sentence(stellwerk: Run) -> None:
    done = stellwerk("serve")
    assert done.exit_code == 1
    assert "the homeserver does not answer" in done.output and "stellwerk doctor" in done.output


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://127.0.0.1:1/stellwerk", "the database does not answer (ConnectionRefusedError)"),
        ("postgresql://no-such-host.invalid/stellwerk", "the database does not answer (gaierror)"),
    ],
)
def test_a_database_that_does_not_answer_is_told_with_the_setting(new_stellwerk: Run, address: str, words: str) -> None:
    done = new_stellwerk("--set", f"database.url={address}", "group", "list")
    assert done.exit_code == 1
    assert words in done.output and "database.url" in done.output


def test_a_database_that_refuses_is_told_without_its_text(stellwerk: Run, test_databases: TestDatabases) -> None:
    done = stellwerk("--set", f"database.url={test_databases.server.uri('nowhere')}", "group", "list")
    assert done.exit_code == 1
    assert "the database refuses (InvalidCatalogNameError)" in done.output


def test_skills_capacity_and_status_of_people_are_set_and_listed(stellwerk: Run) -> None:
    stellwerk("agent", "add", "@anna:example.org", "Anna Krüger")
    assert stellwerk("agent", "skill", "@anna:example.org", "refund", "3").exit_code == 0
    assert stellwerk("agent", "skill", "@anna:example.org", "law", "2", "--until", "2020-01-01").exit_code == 0
    assert stellwerk("agent", "capacity", "@anna:example.org", "2.5").exit_code == 0
    assert stellwerk("agent", "status", "@anna:example.org", "meeting").exit_code == 0
    [anna] = found(stellwerk("agent", "list", "--json"))
    assert (anna["availability"], anna["capacity"], anna["load"]) == ("meeting", 2.5, 0.0)
    assert anna["skills"] == ["refund:3"], "law has run out"
    assert found(stellwerk("agent", "status", "@anna:example.org", "--json"))["availability"] == "meeting"
    assert stellwerk("agent", "skill", "@anna:example.org", "refund", "0").exit_code == 0
    assert found(stellwerk("agent", "list", "--json"))[0]["skills"] == []

    assert stellwerk("agent", "skill", "@anna:example.org", "refund", "6").exit_code == 2
    assert stellwerk("agent", "status", "@anna:example.org", "wrap_up").exit_code == 2
    unknown = stellwerk("agent", "capacity", "@kim:example.org", "2")
    assert unknown.exit_code == 1 and "stellwerk agent add @kim:example.org" in unknown.output
    nothing = stellwerk("conversation", "why", "K-2222")
    assert nothing.exit_code == 1 and "stellwerk conversation list" in nothing.output


def test_rules_by_account_are_listed_with_hours_and_menu_label(stellwerk: Run) -> None:
    assert (
        stellwerk("group", "add", "Claims", "--set", "menu_label=A claim", "--set", "hours=Mon-Fri 8-12").exit_code == 0
    )
    for account in ("@claims:example.org", "@other:example.org"):
        assert stellwerk("group", "rule", "add", "Claims", "--account", account).exit_code == 0
    rules = found(stellwerk("group", "rule", "list", "Claims", "--json"))
    assert rules["accounts"] == ["@claims:example.org", "@other:example.org"]
    assert (rules["menu_label"], rules["hours"]) == ("A claim", "Mon-Fri 08:00-12:00")
    assert stellwerk("group", "rule", "add", "Claims").exit_code == 2


def test_a_consent_is_given_shown_and_withdrawn(stellwerk: Run) -> None:
    kim = "@kim:example.org"
    assert stellwerk("contact", "show", kim).exit_code == 1
    assert stellwerk("contact", "consent", kim, "--source", "form").exit_code == 0
    shown = found(stellwerk("contact", "show", kim, "--json"))
    assert shown["consent_at"] and (shown["consent_source"], shown["conversations"]) == ("form", 0)
    assert stellwerk("contact", "consent", kim, "--source", "phone", "--withdraw").exit_code == 0
    assert found(stellwerk("contact", "show", kim, "--json"))["consent_at"] is None
    assert stellwerk("contact", "consent", kim, "--source", "a long sentence").exit_code == 2


def test_roles_are_given_shown_and_taken_and_never_mix_content_with_configuration(stellwerk: Run) -> None:
    stellwerk("group", "add", "Claims")
    stellwerk("agent", "add", "@ada:example.org", "Ada")
    assert stellwerk("agent", "role", "@ada:example.org", "admin").exit_code == 0
    refused = stellwerk("group", "member", "add", "Claims", "@ada:example.org")
    assert refused.exit_code == 1 and "both read conversations and change the configuration" in refused.output
    assert found(stellwerk("agent", "role", "@ada:example.org", "--json"))["roles"] == ["admin"]
    assert stellwerk("agent", "role", "@ada:example.org", "admin", "--take").exit_code == 0
    assert stellwerk("agent", "role", "@ada:example.org", "admin", "--take").exit_code == 1
    assert stellwerk("agent", "role", "@ada:example.org", "emperor").exit_code == 2
    assert stellwerk("group", "member", "add", "Claims", "@ada:example.org").exit_code == 0
    assert stellwerk("agent", "disable", "@ada:example.org").exit_code == 0
    assert found(stellwerk("agent", "role", "@ada:example.org", "--json"))["groups"] == []
    changes = [
        row["details"].get("change") for row in found(stellwerk("audit", "list", "--json", "--action", "config"))
    ]
    assert changes[0] == "disabled" and {"granted", "taken"} <= set(changes)


def test_a_verb_is_done_in_the_name_of_somebody_whose_role_allows_it(stellwerk: Run) -> None:
    for person, name, role in (("@ada:x", "Ada", "admin"), ("@tom:x", "Tom", "auditor"), ("@ben:x", "Ben", None)):
        stellwerk("agent", "add", person, name)
        assert role is None or stellwerk("agent", "role", person, role).exit_code == 0
    done = stellwerk("--as", "ada", "group", "add", "Claims")
    assert done.exit_code == 0, done.output
    assert stellwerk("contact", "consent", "@kim:x", "--source", "form").exit_code == 0
    for who, *verb in (
        ("tom", "group", "list"),
        ("ben", "keys", "status"),
        ("@ada:x", "audit", "list"),
        ("ben", "contact", "requests"),
        ("ben", "contact", "hold", "@kim:x", "--reason", "court"),
        ("nobody", "agent", "list"),
    ):
        refused = stellwerk("--as", who, *verb)
        assert refused.exit_code == 1, (who, verb, refused.output)
    assert "tom may not do that: it is for an administrator" in stellwerk("--as", "tom", "group", "list").output
    assert "nobody of the staff is called so" in stellwerk("--as", "nobody", "agent", "list").output
    assert "it is for an auditor" in stellwerk("audit", "list").output, "the operator stands in until there is one"
    configured = ("--set", "security.operator=tom")
    assert stellwerk(*configured, "agent", "list").exit_code == 1
    rows = found(stellwerk(*configured, "audit", "list", "--json"))
    assert len({row["actor"] for row in rows if row["object"] == "verb:group.list"}) == 1
    assert stellwerk("--as", "ada", "backup", "make", "set-of-ada").exit_code == 0
    assert stellwerk("--as", "ada", "keys", "rotate").exit_code == 0
    done = {row["action"]: row for row in found(stellwerk(*configured, "audit", "list", "--json"))}
    for action in ("backup.main", "keys.rotate"):
        assert done[action]["actor"] == added_by(done), "the row of what was done, too"
        assert done[action]["details"]["at"].startswith("shell:")
    refused_rows = [row for row in rows if row["outcome"] == "refused"]
    assert {row["object"] for row in refused_rows} >= {"verb:group.list", "verb:keys.status", "verb:agent.list"}
    assert {row["reason"] for row in refused_rows} == {"role", "unknown"}
    [added] = [row for row in rows if row["action"] == "config.group"]
    assert added["actor"].startswith("agent:"), "in Ada's name"


def added_by(rows: dict[str, Any]) -> str:
    return str(rows["config.group"]["actor"])


def test_the_audit_log_is_listed_exported_and_verified(stellwerk: Run) -> None:
    assert stellwerk("audit", "renew-key").exit_code == 0
    assert stellwerk("audit", "renew-key").exit_code == 0
    whole = found(stellwerk("audit", "verify", "--json"))
    assert whole["ok"] and whole["rows"] == 2 and whole["first_bad"] is None
    newest = found(stellwerk("audit", "list", "--json", "--action", "audit", "--limit", "1"))
    assert [row["seq"] for row in newest] == [2] and newest[0]["actor"].startswith("shell:")
    exported = [json.loads(line) for line in stellwerk("audit", "export").stdout.splitlines()]
    assert [row["object"] for row in exported] == ["audit-key:2", "audit-key:3"]

    asyncio.run(_cut_the_audit_log())
    bad = stellwerk("audit", "verify")
    assert bad.exit_code == 1 and "row 2 is the first bad one" in bad.output
    assert json.loads(stellwerk("audit", "verify", "--json").stdout)["first_bad"] == 2


async def _cut_the_audit_log() -> None:
    """Its last row goes, by somebody who may do everything with the database."""
    engine = connect(Settings.load().database.address())
    async with engine.begin() as connection:
        await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        await connection.exec_driver_sql("DELETE FROM audit WHERE seq = 2")
    await engine.dispose()


def test_the_root_key_is_rotated_and_its_state_is_told(stellwerk: Run) -> None:
    stellwerk("contact", "consent", "@kim:example.org", "--source", "form")
    first = found(stellwerk("keys", "status", "--json"))
    assert not first["is_rotating"] and first["older"] == 0
    old_file = Path("root.key").read_text()
    done = stellwerk("keys", "rotate")
    assert done.exit_code == 0, done.output
    after = found(stellwerk("keys", "status", "--json"))
    assert after["root_key"] != first["root_key"] and not after["is_rotating"]
    assert {row["id"]: row["state"] for row in after["roots"]} == {
        first["root_key"]: "retired",
        after["root_key"]: "current",
    }
    kept = Path(f"root.key.{first['root_key']}.old")
    assert kept.read_text() == old_file and kept.stat().st_mode & 0o077 == 0
    assert "persons' keys" in stellwerk("keys", "status").output
    kept.replace("root.key")
    refused = stellwerk("group", "list")
    assert refused.exit_code == 1 and after["root_key"] in refused.output


def test_floods_are_listed_let_in_and_thrown_away(stellwerk: Run) -> None:
    stellwerk("group", "add", "Claims", "--default")
    assert "Nothing is held back." in stellwerk("flood", "list").stdout
    asyncio.run(_hold_back_two_floods())
    first, second = found(stellwerk("flood", "list", "--json"))
    assert (first["scope"], first["server"], first["group"]) == ("server", "evil.example", "Claims")
    assert [(each["messages"], each["people"]) for each in (first, second)] == [(2, 2), (1, 1)]
    assert "evil.example" in stellwerk("flood", "list").stdout
    [finding] = asyncio.run(doctors_floods(Settings.load()))
    assert finding.level == "warn" and "2 wait for a decision, 3 messages" in finding.words

    assert found(stellwerk("flood", "admit", str(first["id"]), "--json"))["messages"] == 2
    assert stellwerk("flood", "drop", str(second["id"]), "--reason", " ").exit_code == 2
    done = stellwerk("flood", "drop", str(second["id"]), "--reason", "only advertising")
    assert done.exit_code == 0 and "1 message." in done.stdout
    again = stellwerk("flood", "admit", str(second["id"]))
    assert again.exit_code == 1 and "decided already" in again.output
    assert found(stellwerk("flood", "list", "--json")) == []
    assert [each["verdict"] for each in found(stellwerk("flood", "list", "--all", "--json"))] == ["admitted", "dropped"]
    rows = found(stellwerk("audit", "list", "--json", "--action", "flood"))
    assert {row["action"] for row in rows} == {"flood.admitted", "flood.dropped"}
    assert asyncio.run(_inbox_states()) == ["new", "new", "done"]


async def _hold_back_two_floods() -> None:
    engine = connect(Settings.load().database.address())
    async with engine.begin() as connection:
        group = sa.select(skill_group.c.id).scalar_subquery()
        for scope, about, lanes in (("server", "evil.example", ("!a", "!b")), ("contact", "", ("!c",))):
            new = flood.insert().values(scope=scope, key=uuid4(), about=about, group_id=group)
            id = await connection.scalar(new.returning(flood.c.id))
            for lane in lanes:
                row = {"source": "@desk:example.org", "source_id": f"$of{lane}", "lane": lane, "enc_body": b""}
                held = inbox.insert().values(kind="InboundMessage", state="held", flood_id=id, **row)
                await connection.execute(held)
    await engine.dispose()


async def _inbox_states() -> list[str]:
    engine = connect(Settings.load().database.address())
    async with engine.begin() as connection:
        states = list(await connection.scalars(sa.select(inbox.c.state).order_by(inbox.c.id)))
    await engine.dispose()
    return states


def test_dead_letters_are_listed_shown_retried_and_dropped(stellwerk: Run) -> None:
    assert "No dead letter waits" in stellwerk("deadletter", "list").stdout
    asyncio.run(_give_up_two_rows())
    first, second = found(stellwerk("deadletter", "list", "--json"))
    assert (first["queue"], first["kind"], first["reason"]) == ("inbox", "StaffSaid", "OurMistake")
    assert "OurMistake" in stellwerk("deadletter", "show", str(first["id"])).stdout
    done = found(stellwerk("deadletter", "retry", str(first["id"]), "--json"))
    assert done["overtaken"] == 1, "what came later in its lane has gone ahead"
    assert stellwerk("deadletter", "drop", str(second["id"])).exit_code == 2, "a reason is needed"
    assert stellwerk("deadletter", "drop", str(second["id"]), "--reason", "seen").exit_code == 0
    assert stellwerk("deadletter", "drop", "99", "--reason", "seen").exit_code == 1
    assert [row["verdict"] for row in found(stellwerk("deadletter", "list", "--all", "--json"))] == ["retry", "drop"]
    audited = found(stellwerk("audit", "list", "--json", "--action", "deadletter"))
    assert [row["action"] for row in audited] == ["deadletter.drop", "deadletter.retry"]


async def _give_up_two_rows() -> None:
    engine = connect(Settings.load(None).database.address())
    row = {"source": "x", "lane": "one", "kind": "StaffSaid", "enc_body": b""}
    states = [("a", "dead"), ("b", "dead"), ("c", "done")]
    async with engine.begin() as connection:
        for source_id, state in states:
            added = inbox.insert().values(**row, source_id=source_id, state=state).returning(inbox.c.id)
            id = await connection.scalar(added)
            if state == "dead":
                letter = dead_letter.insert().values(queue="inbox", row_id=id, reason="OurMistake")
                await connection.execute(letter)
    await engine.dispose()
