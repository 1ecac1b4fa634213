"""Metrics: closed lists of labels, one page that names them all, and nothing foreign in any of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from messenger.app.counting import count
from messenger.channels import errors
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, evolve
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.replies import Fate
from messenger.domain.routing.availability import Availability
from messenger.observability import metrics
from messenger.observability.endpoints import ENDPOINTS, endpoint_of
from messenger.observability.families import OTHER, Alias, Closed
from messenger.reference.metrics import NOT_YET, page

T0 = datetime(2026, 11, 26, 9, tzinfo=UTC)
GROUP, AGENT, MESSAGE = GroupId(UUID(int=1)), AgentId(UUID(int=2)), MessageId(UUID(int=3))
OPENED = e.ConversationOpened(number="K-4F7Q", contact=ContactId(UUID(int=4)), chat=ChatId(UUID(int=5)), language="en")


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture(autouse=True)
def _a_group() -> None:
    metrics.GROUPS.learn({str(GROUP): "Claims"})


def told(*story: tuple[e.Event, float]) -> list[tuple[e.Event, Conversation | None, Conversation]]:
    """The steps of a conversation, each so many seconds after its beginning."""
    steps, now = [], None
    for version, (event, seconds) in enumerate(story, start=1):
        at = T0 + timedelta(seconds=seconds)
        entry = e.Recorded(conversation=ConversationId(UUID(int=9)), version=version, event=event, at=at, actor="t")
        was, now = now, evolve(now, entry)
        steps.append((event, was, now))
    return steps


def grown(name: str, steps: list[tuple[e.Event, Conversation | None, Conversation]], at: float, **labels: str) -> float:
    before = value(name, **labels)
    count(steps, T0 + timedelta(seconds=at))
    return value(name, **labels) - before


def test_a_label_that_is_not_on_the_list_is_other() -> None:
    assert Closed(["in"]).word("@anna:example.org") == OTHER
    aliases = Alias()
    aliases.learn({"1": "Claims"})
    assert (aliases.word(1), aliases.word("!room:example.org")) == ("Claims", OTHER)
    metrics.REQUESTS.of(endpoint="!room:example.org", code="Anna").inc()
    assert value("stellwerk_matrix_requests_total", endpoint=OTHER, code=OTHER) >= 1
    assert "Anna" not in metrics.page().decode()


def test_a_label_that_is_missing_is_a_defect_and_not_a_metric() -> None:
    with pytest.raises(KeyError):
        metrics.REQUESTS.of(endpoint="sync")


def test_the_lists_are_those_of_the_product() -> None:
    assert set(metrics.FATES) == set(Fate)
    assert set(metrics.AVAILABILITIES) == set(Availability)
    assert set(metrics.FAILURES) == errors.CODES


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("/_matrix/client/v3/sync", "sync"),
        ("/_matrix/client/v3/rooms/%21a%3Ab/send/m.room.encrypted/txn", "send"),
        ("/_matrix/client/v3/rooms/%21a%3Ab/@anna", "other"),
        ("/_matrix/client/v3/rooms/%21a%3Ab", "other"),
        ("/_matrix/client/v1/media/download/example.org/abc", "media"),
        ("/_matrix/media/v3/upload", "media"),
        ("/_matrix/client/versions", "versions"),
        ("/_synapse/admin/v1/users/%40anna/override_ratelimit", "admin"),
        ("/_matrix/client/v3/@anna", "other"),
        ("", "other"),
    ],
)
def test_a_path_becomes_the_word_of_its_endpoint(url: str, endpoint: str) -> None:
    assert endpoint_of(url) == endpoint
    assert endpoint in ENDPOINTS


def test_a_conversation_is_counted_as_it_goes() -> None:
    queued = e.ConversationQueued(group=GROUP, reason="default")
    claimed = e.ConversationClaimed(agent=AGENT)
    answered = e.ReplyAccepted(message=MESSAGE, author=AGENT)
    resolved = e.ConversationResolved(reason="solved", by=AGENT)
    steps = told((OPENED, 0), (queued, 10), (claimed, 70), (answered, 100), (resolved, 400))
    assert grown("stellwerk_conversations_opened_total", steps[:2], 10, group="Claims", channel="matrix") == 1
    assert grown("stellwerk_conversation_wait_seconds_sum", steps[2:3], 70, group="Claims") == 60
    assert grown("stellwerk_first_response_seconds_sum", steps[3:4], 100, group="Claims", channel="matrix") == 100
    assert grown("stellwerk_fates_total", steps[3:4], 100, group="Claims", fate="queued") == 1
    assert grown("stellwerk_resolution_seconds_sum", steps[4:], 400, group="Claims") == 400
    assert grown("stellwerk_conversations_resolved_total", steps[4:], 400, group="Claims", reason="solved") == 1


def test_messages_have_a_direction() -> None:
    queued = e.ConversationQueued(group=GROUP, reason="default")
    note = e.NoteKept(message=MESSAGE, author=AGENT, reason="note")
    for event, direction in (
        (e.MessageReceived(message=MESSAGE), "in"),
        (e.MessageDelivered(message=MESSAGE), "out"),
        (note, "internal"),
    ):
        steps = told((OPENED, 0), (queued, 1), (event, 2))[2:]
        assert grown("stellwerk_messages_total", steps, 2, channel="matrix", direction=direction) == 1


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    steps = told((OPENED, 0), (e.ConversationQueued(group=GROUP, reason="default"), 10))
    steps += told(
        (OPENED, 0), (e.ConversationQueued(group=GROUP, reason="default"), 10), (e.ConversationClaimed(agent=AGENT), 5)
    )[2:]
    assert grown("stellwerk_conversation_wait_seconds_sum", steps[2:], 5, group="Claims") == 0


def test_every_metric_is_declared_once_and_has_its_line_on_the_page() -> None:
    declared = {family.name for family in metrics.REGISTRY.collect() if not family.name.endswith("_created")}
    assert declared == {name.removesuffix("_total") for name in metrics.FAMILIES}
    assert all(f"| `{name}` |" in page() for name in metrics.FAMILIES)


def test_what_is_not_there_yet_is_said_so_and_is_not_there() -> None:
    assert not set(NOT_YET) & set(metrics.FAMILIES)
    assert all(f"| `{name}` | {why} |" in page() for name, why in NOT_YET.items())


def test_the_page_for_prometheus_can_be_read_by_its_own_parser() -> None:
    metrics.MESSAGES.of(channel="matrix", direction="in").inc()
    families = list(text_string_to_metric_families(metrics.page().decode()))
    assert {family.name for family in families} >= {"stellwerk_messages", "stellwerk_agents"}


def test_what_is_forgotten_is_not_shown_any_more() -> None:
    metrics.OUTBOX_DEPTH.of(kind="x").set(3)
    metrics.OUTBOX_DEPTH.forget()
    assert value("stellwerk_outbox_depth", kind=OTHER) == 0
    assert "stellwerk_outbox_depth{" not in metrics.page().decode()


def test_the_reference_page_is_current() -> None:
    assert page() == (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text("utf-8")
