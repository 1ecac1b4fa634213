"""What an event makes happen outside, and in which order."""

import dataclasses
import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messenger.app.deliver import step_of
from messenger.app.effects.base import Effect
from messenger.app.effects.customer import SendToCustomer, TellCustomer
from messenger.app.effects.inside import RouteGroup, SetTimer
from messenger.app.effects.places import EditCard, PostCard
from messenger.app.effects.thread import PostContext, PostNotice, RelayToThread, ShowFate
from messenger.app.notices import worded
from messenger.app.react import fate_after, react
from messenger.app.render import Clock
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, evolve
from messenger.domain.ids import AgentId
from messenger.domain.life import reopens
from messenger.domain.people import Reopen, SkillGroup
from messenger.domain.replies import Fate
from messenger.i18n import texts
from tests.support.effects import kinds
from tests.unit.test_conversation import ANNA, ANNAS, BEN, CLAIMS, ID, NEW, OPENED, QUEUED, given, message, received

NOBODY_TOLD: frozenset[str] = frozenset()
NOON = Clock(datetime(2026, 11, 24, 12, tzinfo=UTC), UTC)


def effects_of(
    event: e.Event,
    before: Conversation | None,
    *,
    tell: frozenset[str] = NOBODY_TOLD,
    hold: int = 0,
    **settings: Any,
) -> list[Effect]:
    """Without the looks at the queue, which go nowhere outside."""
    version = before.version + 1 if before else 1
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    recorded = e.Recorded(conversation=ID, version=version, event=event, at=at, actor="test")
    group = SkillGroup(id=CLAIMS, name="Claims", hold_seconds=hold, tell_customer=tell, **settings)
    effects = react(event, before, evolve(before, recorded), group)
    return [effect for effect in effects if not isinstance(effect, RouteGroup)]


def said_in(effects: list[Effect]) -> list[PostNotice]:
    return [effect for effect in effects if isinstance(effect, PostNotice)]


def test_the_card_comes_before_the_message_below_it() -> None:
    assert effects_of(OPENED, None) == []
    assert effects_of(QUEUED, given(OPENED)) == [PostCard(conversation=ID)]
    shown = effects_of(received(1), given(OPENED, QUEUED))
    assert shown[0] == RelayToThread(conversation=ID, message=message(1))
    assert shown[0].lane == PostCard(conversation=ID).lane


def test_a_second_message_does_not_edit_the_card_again() -> None:
    assert effects_of(received(2), given(*NEW)) == [RelayToThread(conversation=ID, message=message(2))]


def test_a_message_after_our_answer_edits_the_card() -> None:
    before = given(*ANNAS, e.ReplyAccepted(message=message(9), author=ANNA))
    assert EditCard(conversation=ID) in effects_of(received(2), before)


def test_the_customer_hears_of_a_claim_only_where_the_group_says_so() -> None:
    claimed = e.ConversationClaimed(agent=ANNA)
    quiet, told = effects_of(claimed, given(*NEW)), effects_of(claimed, given(*NEW), tell=frozenset({"claim"}))
    assert quiet == [EditCard(conversation=ID), PostContext(conversation=ID, agent=ANNA)]
    assert told[-1] == TellCustomer(chat=OPENED.chat, conversation=ID, text="C4", agent=ANNA)


@pytest.mark.parametrize(
    ("policy", "days", "promised"),
    [
        (Reopen.ALWAYS, 7, "It comes back whenever the customer writes."),
        (Reopen.WINDOW, 3, "It comes back if the customer writes within 3 days; later a new conversation begins."),
        (Reopen.WINDOW, 0, "If the customer writes again, a new conversation begins."),
        (Reopen.NEVER, 7, "If the customer writes again, a new conversation begins."),
    ],
)
@pytest.mark.parametrize("by", [ANNA, None])
def test_the_end_of_a_conversation_promises_what_the_next_message_does(
    by: AgentId | None, policy: Reopen, days: int, promised: str
) -> None:
    before, ended = given(*ANNAS), e.ConversationResolved(reason="solved" if by else "silence", by=by)
    (notice,) = said_in(effects_of(ended, before, reopen=policy, reopen_days=days))
    assert worded(texts("en"), notice.text, Clock(), {**notice.fields, "by": "Anna"}).plain.splitlines()[1] == (
        f"{promised} Open {'this one' if 'again' in promised else 'it yourself'}: !reopen"
    )
    now, window = given(*ANNAS, ended), timedelta(days=days)
    assert now.resolved_at is not None
    soon, late = (now.resolved_at + after for after in (timedelta(seconds=1), timedelta(days=4)))
    assert reopens(now, policy, window, soon) == promised.startswith("It comes back")
    assert reopens(now, policy, window, late) == ("whenever" in promised)


@pytest.mark.parametrize(
    ("wake_on", "text", "said"),
    [
        (("customer",), "C5.customer", "as soon as you write"),
        (("customer", "time"), "C5.time", "at the latest at Wed 25 Nov 10:00"),
        (("customer", "document", "time"), "C5.document", "waiting for a document"),
        (("document", "partner"), "C5.partner", "an answer that we have asked for elsewhere"),
        (("api", "customer"), "C5", "waiting for something"),
    ],
)
def test_the_customer_hears_of_a_pause_what_it_waits_for(wake_on: tuple[str, ...], text: str, said: str) -> None:
    until = datetime(2026, 11, 25, 10, tzinfo=UTC) if "time" in wake_on else None
    paused = e.ConversationPaused(by=ANNA, wake_on=wake_on, until=until, note=message(7))
    (told,) = (
        effect
        for effect in effects_of(paused, given(*ANNAS), tell=frozenset({"pause"}))
        if isinstance(effect, TellCustomer)
    )
    assert told.text == text and "note" not in told.fields
    assert said in worded(texts("en"), told.text, NOON, told.fields).plain


@pytest.mark.parametrize(("tell", "said"), [(frozenset({"transfer"}), True), (NOBODY_TOLD, False)])
@pytest.mark.parametrize("reason", ["asked", "fallback"])
def test_the_former_thread_says_whether_the_customer_was_told(tell: frozenset[str], said: bool, reason: str) -> None:
    moved = e.ConversationTransferred(from_group=CLAIMS, to_group=CLAIMS, by=ANNA, reason=reason)
    effects = effects_of(moved, given(*ANNAS), tell=tell)
    (notice,) = said_in(effects)
    fields = {**notice.fields, "by": "Anna", "ref": "K-4F7Q", "to_group": "Prescriptions", "link": "https://x"}
    plain = worded(texts("en"), notice.text, NOON, fields).plain
    assert ("The customer was told. It goes on here" in plain) is said
    assert any(isinstance(effect, TellCustomer) and effect.text == "C4b" for effect in effects) is said


def test_who_reads_a_message_into_a_pause_that_stays_learns_until_when() -> None:
    paused = e.ConversationPaused(by=ANNA, wake_on=("partner", "time"), until=datetime(2026, 11, 25, 10, tzinfo=UTC))
    (notice,) = said_in(effects_of(e.WakeSuppressed(message=message(8)), given(*ANNAS, paused)))
    plain = worded(texts("en"), notice.text, NOON, notice.fields).plain
    assert "stays paused until Wed 25 Nov 10:00, or until the partner answers (keep)" in plain


def test_an_approval_says_when_it_was_given() -> None:
    accepted = e.ReplyAccepted(message=message(9), author=ANNA, approved_by=BEN)
    (notice,) = said_in(effects_of(accepted, given(*ANNAS)))
    plain = worded(texts("en"), notice.text, NOON, {**notice.fields, "by": "Ben", "owner": "Anna"}).plain
    assert plain == "Approved by Ben at 12:00, written by Anna."


def test_only_an_accepted_reply_is_sent_to_the_customer() -> None:
    """The narrow place: no other event of a staff message has an effect on the customer's side."""
    of_messages: list[e.Event] = [
        e.ReplyAccepted(message=message(9), author=ANNA),
        e.NoteKept(message=message(9), author=ANNA, reason="note"),
        e.ReplyHeld(message=message(9), author=ANNA, reason="mentions_staff"),
        e.MessageDelivered(message=message(9)),
        e.MessageFailed(message=message(9), code="left"),
    ]
    leaving = [
        type(event)
        for event in of_messages
        for effect in effects_of(event, given(*ANNAS))
        if isinstance(effect, SendToCustomer | TellCustomer)
    ]
    assert leaving == [e.ReplyAccepted]


def test_a_held_message_rings_its_author() -> None:
    effects = effects_of(e.ReplyHeld(message=message(9), author=ANNA, reason="note_inside"), given(*ANNAS))
    assert effects[-1] == PostNotice(conversation=ID, text="S8.note_inside", mention=ANNA)


@pytest.mark.parametrize(
    ("event", "fate"),
    [
        (e.ReplyAccepted(message=message(9), author=ANNA), Fate.QUEUED),
        (e.NoteKept(message=message(9), author=ANNA, reason="note"), Fate.KEPT),
        (e.ReplyHeld(message=message(9), author=ANNA, reason="note_inside"), Fate.HELD),
        (e.MessageDelivered(message=message(9)), Fate.DELIVERED),
        (e.MessageFailed(message=message(9), code="left"), Fate.FAILED),
    ],
)
def test_every_event_of_a_staff_message_gives_it_a_fate_and_shows_it(event: e.Event, fate: Fate) -> None:
    assert fate_after(event) is fate
    shown = [effect for effect in effects_of(event, given(*ANNAS)) if isinstance(effect, ShowFate)]
    assert [effect.message for effect in shown] == [message(9)]


def test_every_event_is_known_to_the_log_and_every_effect_has_a_lane() -> None:
    assert set(e.NAMES.values()) == set(typing.get_args(e.Event))
    inward_or_abstract = ("Effect", "OfConversation", "OfGroup", "SetTimer", "RouteGroup")
    concrete = [kind for kind in kinds() if kind.__name__ not in inward_or_abstract]
    for kind in concrete:
        values = {field.name: ID if "UUID" in str(field.type) else "x" for field in dataclasses.fields(kind)}
        assert kind(**values).lane, kind.__name__


def test_every_effect_is_carried_out_by_somebody() -> None:
    unsent = {kind for kind in kinds() if issubclass(kind, SetTimer | RouteGroup)}
    for kind in kinds():
        if not kind.__subclasses__() and kind not in unsent:
            step_of(kind)
