"""`stellwerk conversation list` and `show` on conversations that exist: what people read, what programs read."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from messenger.bootstrap.database import open_storage
from messenger.config import Settings
from messenger.domain.conversation import State
from tests.integration.staff_desk import CUSTOMER, GROUP, StaffDesk, customer_says
from tests.integration.test_cli_verbs import Run, found, installation
from tests.support.databases import TestDatabases

BEN, KIM = "@ben:x", "@kim:y"
SECRET = "my knee hurts"
NUMBER = re.compile(r"K-[0-9A-Z]{4}")


@pytest.fixture(scope="module")
def stellwerk(test_databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One installation for all tests: what the only one that changes it for good needs stands last."""
    name, folder = asyncio.run(test_databases.fresh()), tmp_path_factory.mktemp("conversations")
    with pytest.MonkeyPatch.context() as patch, installation(test_databases, folder, patch, name) as run:
        assert run("migrate", "up").exit_code == 0
        assert run("agent", "add", BEN, "Ben Weber").exit_code == 0
        asyncio.run(at_desk(two_conversations))
        yield run


@asynccontextmanager
async def _open() -> AsyncIterator[StaffDesk]:
    async with open_storage(Settings.load()) as storage:
        yield StaffDesk(storage.engine, keys=storage.keys, namespace=storage.namespace)


async def at_desk(work: Callable[[StaffDesk], Awaitable[None]]) -> None:
    async with _open() as desk:
        await work(desk)


async def two_conversations(desk: StaffDesk) -> None:
    """Anna's is Ben's; Kim's waits in another group."""
    await desk.set_up([BEN])
    await desk.add_group("Billing", keywords=["invoice"])
    await desk.says(BEN, "!claim")
    await desk.greet(KIM, "Kim", chat="!kims")
    await desk.put(customer_says("$kims", f"The invoice is wrong, {SECRET}", sender=KIM, chat="!kims"))
    await desk.work(1)


def order(text: str) -> None:
    asyncio.run(at_desk(lambda desk: desk.says(BEN, text)))


def by_group(stellwerk: Run, *options: str) -> dict[str, Any]:
    return {row["group"]: row for row in found(stellwerk("conversation", "list", "--json", *options))}


def test_conversations_are_listed_for_people_and_for_programs(stellwerk: Run) -> None:
    rows = by_group(stellwerk)
    assert rows.keys() == {GROUP, "Billing"}
    anna, kim = rows[GROUP], rows["Billing"]
    assert (anna["state"], anna["owner"]) == ("open", "Ben Weber")
    assert (kim["state"], kim["owner"]) == ("queued", None)
    assert set(kim) == {
        "ref", "state", "group", "owner", "language", "opened_at", "waiting_since", "paused_until", "wake_on",
        "resolved_at", "resolution",
    }  # fmt: skip
    assert NUMBER.fullmatch(anna["ref"]) and anna["ref"] != kim["ref"]
    assert datetime.fromisoformat(kim["opened_at"]) == datetime.fromisoformat(kim["waiting_since"])

    heading, *lines = stellwerk("conversation", "list").stdout.splitlines()
    assert heading.split() == ["number", "state", "group", "owner", "waiting", "since", "wakes"]
    shown = {line.split()[0]: line for line in lines}
    assert shown.keys() == {anna["ref"], kim["ref"]}
    assert "open" in shown[anna["ref"]] and GROUP in shown[anna["ref"]] and "Ben Weber" in shown[anna["ref"]]
    assert "queued" in shown[kim["ref"]] and "Billing" in shown[kim["ref"]]


def test_conversations_are_chosen_by_state_and_by_group(stellwerk: Run) -> None:
    assert by_group(stellwerk, "--state", "open").keys() == {GROUP}
    assert by_group(stellwerk, "-s", "queued").keys() == {"Billing"}
    assert by_group(stellwerk, "--group", "BILLING").keys() == {"Billing"}
    assert by_group(stellwerk, "-g", "billing", "-s", "open") == {}
    assert by_group(stellwerk, "--group", "Nobody") == {}
    assert len(found(stellwerk("conversation", "list", "--json", "--limit", "1"))) == 1
    refused = stellwerk("conversation", "list", "--state", "broken")
    assert refused.exit_code == 2 and "queued" in refused.output


def test_a_conversation_that_nobody_may_work_on_is_not_listed_and_says_why(stellwerk: Run) -> None:
    ref = by_group(stellwerk)["Billing"]["ref"]
    assert stellwerk("agent", "add", "@dora:x", "Dora").exit_code == 0
    assert stellwerk("agent", "role", "@dora:x", "dpo").exit_code == 0
    done = stellwerk("--as", "dora", "contact", "restrict", KIM, "--reason", "objection")
    assert done.exit_code == 0, done.output
    assert by_group(stellwerk).keys() == {GROUP}
    refused = stellwerk("conversation", "show", ref, "--json")
    assert refused.exit_code == 1 and ref in refused.output and "stellwerk contact unrestrict" in refused.output
    assert refused.stdout == ""
    assert stellwerk("--as", "dora", "contact", "unrestrict", KIM, "--reason", "settled").exit_code == 0
    assert by_group(stellwerk).keys() == {GROUP, "Billing"}


def test_one_conversation_is_shown_with_its_history_and_without_its_texts(stellwerk: Run) -> None:
    ref = by_group(stellwerk)["Billing"]["ref"]
    one = found(stellwerk("conversation", "show", ref.lower(), "--json"))
    assert (one["ref"], one["state"], one["group"], one["messages"]) == (ref, "queued", "Billing", 1)
    assert {each["who"] for each in one["history"]} == {"customer"}
    assert all(each.keys() == {"at", "what", "who"} for each in one["history"])
    assert one["history"][0]["what"] == "ConversationOpened"

    shown = stellwerk("conversation", "show", ref)
    lines = {line.split("  ")[0]: line for line in shown.stdout.splitlines()}
    assert ref in lines["number"] and "queued" in lines["state"] and "Billing" in lines["group"]
    assert lines["owner"].endswith("-") and lines["messages"].endswith("1")
    assert "ConversationOpened" in shown.stdout
    for said in (shown.stdout, json.dumps(one)):
        assert SECRET not in said and KIM not in said and "Kim" not in said
    reads = found(stellwerk("audit", "list", "--json", "--action", "conversation"))
    assert [row["object"] for row in reads][:2] == [f"conversation:{one['id']}"] * 2, "each look is in the audit log"


def test_an_unknown_number_is_told_with_the_verb_that_helps(stellwerk: Run) -> None:
    for verb in ("show", "why"):
        refused = stellwerk("conversation", verb, "K-ZZZZ", "--json")
        assert refused.exit_code == 1 and "K-ZZZZ" in refused.output and "stellwerk conversation list" in refused.output
        assert refused.stdout == ""
    assert CUSTOMER not in stellwerk("conversation", "list").stdout


def test_what_wakes_and_what_ended_a_conversation_is_shown(stellwerk: Run) -> None:
    order("!pause reply")
    paused = by_group(stellwerk)[GROUP]
    assert paused["state"] == State.PAUSED and paused["wake_on"] == ["customer"]
    assert "customer" in stellwerk("conversation", "list", "-s", "paused").stdout
    order("!resolve")
    one = found(stellwerk("conversation", "show", paused["ref"], "--json"))
    assert (one["state"], one["wake_on"]) == ("resolved", []) and one["resolved_at"] and one["resolution"]
    text = stellwerk("conversation", "show", paused["ref"]).stdout
    assert re.search(rf"^resolved +\S+ \S+, {one['resolution']}$", text, re.MULTILINE)
    assert "Ben Weber" in text
