"""Whatever is asked of a conversation in whatever order: one owner at most, states that agree with it, a log that folds
to the state, and nothing sent by somebody who may not send."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from messenger.app import effects as fx
from messenger.app.react import fate_after, react
from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State, evolve, fold
from messenger.domain.decide import decide
from messenger.domain.errors import DomainError
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.people import ReplyMode, Role, SkillGroup
from messenger.domain.replies import NOTE_PREFIXES, Fate, Said

ID = ConversationId(UUID(int=1))
CHAT = ChatId(UUID(int=2))
START = datetime(2026, 11, 24, tzinfo=UTC)
AGENTS = [AgentId(UUID(int=10 + n)) for n in range(4)]
SECRET = "SECRET"
HOUSE = SkillGroup(id=GroupId(UUID(int=4)), name="Claims")

# Texts that must stay inside carry the mark; the others may leave.
TEXTS = st.one_of(
    st.sampled_from(["hello", "see you", "a\nb", "hello // there"]),
    st.sampled_from([f"{prefix} {SECRET}" for prefix in (*NOTE_PREFIXES, "//", "!note", "！", "!", "\u200b//")]),
)
KINDS = st.sampled_from(["m.text", "m.text", "m.image", "m.notice", "m.sticker"])
AGENT, ROLE, MODE = st.sampled_from(AGENTS), st.sampled_from(Role), st.sampled_from(ReplyMode)


@dataclass(frozen=True)
class Step:
    """One thing that somebody does; `what` chooses the command, the rest is used where it fits."""

    what: str
    agent: AgentId
    role: Role
    mode: ReplyMode
    text: str
    kind: str
    mentions: bool
    explicit: bool
    target: int


STEPS = st.lists(
    st.builds(
        Step,
        what=st.sampled_from(
            ["receive", "claim", "claim", "release", "say", "say", "say", "approve", "undo", "end", "fail"]
        ),
        agent=AGENT,
        role=ROLE,
        mode=MODE,
        text=TEXTS,
        kind=KINDS,
        mentions=st.booleans(),
        explicit=st.booleans(),
        target=st.integers(0, 30),
    ),
    max_size=30,
)


@dataclass
class World:
    """A conversation with its log, the fates of its messages and what has left."""

    conversation: Conversation | None = None
    log: list[e.Recorded] = field(default_factory=list)
    fates: dict[MessageId, Fate] = field(default_factory=dict)
    written: dict[MessageId, tuple[AgentId, Step]] = field(default_factory=dict)
    left: list[tuple[MessageId, AgentId | None, Step]] = field(default_factory=list)

    def ask(self, command: c.Command, step: Step, by: AgentId | None = None) -> Sequence[e.Event]:
        try:
            events = decide(self.conversation, command)
        except DomainError:
            return []
        for event in events:
            self._record(event, step, by)
        return events

    def _record(self, event: e.Event, step: Step, by: AgentId | None) -> None:
        before, version = self.conversation, len(self.log) + 1
        at = START + timedelta(seconds=version)
        entry = e.Recorded(conversation=ID, version=version, event=event, at=at, actor="test")
        self.conversation = evolve(before, entry)
        self.log.append(entry)
        message = getattr(event, "message", None)
        fate = fate_after(event)
        if fate is not None:
            self.fates[message] = fate
        for effect in react(event, before, self.conversation, HOUSE):
            if isinstance(effect, fx.SendToCustomer):
                assert before is not None
                self.left.append((MessageId(effect.message), before.owner, Step(**{**vars(step), "agent": by})))


def play(steps: Sequence[Step]) -> World:
    world = World()
    opening = c.OpenConversation(
        number="K-2222",
        contact=ContactId(UUID(int=3)),
        chat=CHAT,
        language="en",
        group=GroupId(UUID(int=4)),
        routed_because="default",
        message=MessageId(UUID(int=5)),
    )
    world.ask(opening, Step("receive", AGENTS[0], Role.AGENT, ReplyMode.OWNER, "", "", False, False, 0))
    for number, step in enumerate(steps):
        world.ask(command_of(world, step, MessageId(UUID(int=100 + number))), step, step.agent)
    return world


def command_of(world: World, step: Step, new: MessageId) -> c.Command:
    known = list(world.written)
    target = known[step.target % len(known)] if known else new
    author = world.written[target][0] if known else step.agent
    is_held = world.fates.get(target) is Fate.HELD
    match step.what:
        case "receive":
            return c.ReceiveMessage(message=new)
        case "claim":
            return c.ClaimConversation(agent=step.agent, role=step.role)
        case "release":
            return c.ReleaseConversation(agent=step.agent, role=step.role)
        case "approve":
            return c.ApproveMessage(
                message=target, author=author, by=step.agent, role=step.role, mode=step.mode, is_held=is_held
            )
        case "undo":
            return c.WithdrawMessage(message=target, author=author, is_held=is_held)
        case "end":
            return c.RecordDelivery(message=target)
        case "fail":
            return c.RecordFailure(message=target, code="blocked")
        case _:
            world.written[new] = (step.agent, step)
            said = Said(type=step.kind, text=step.text, mentions_staff=step.mentions, is_explicit=step.explicit)
            return c.AddStaffMessage(message=new, author=step.agent, role=step.role, said=said, mode=step.mode)


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_a_conversation_is_open_exactly_while_somebody_owns_it(steps: Sequence[Step]) -> None:
    conversation = play(steps).conversation
    assert conversation is not None
    assert (conversation.state is State.OPEN) == (conversation.owner is not None)
    assert conversation.owner is None or conversation.claimed_at is not None


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_claims_and_releases_alternate_so_there_are_never_two_owners(steps: Sequence[Step]) -> None:
    owner: AgentId | None = None
    for entry in play(steps).log:
        match entry.event:
            case e.ConversationClaimed(agent=agent):
                assert owner is None, "claimed while owned"
                owner = agent
            case e.ConversationReleased(agent=agent):
                assert owner == agent, "released by whom it did not belong to"
                owner = None
            case _:
                pass


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_the_log_folds_to_the_state(steps: Sequence[Step]) -> None:
    world = play(steps)
    assert fold(world.log) == world.conversation
    assert [entry.version for entry in world.log] == list(range(1, len(world.log) + 1))


@settings(max_examples=1500, deadline=None)
@given(STEPS)
def test_nothing_leaves_that_was_a_note_or_written_by_somebody_without_the_right(steps: Sequence[Step]) -> None:
    world = play(steps)
    for message, owner, step in world.left:
        author, written = world.written[message]
        is_confirmed = step.what == "approve" and written.explicit
        assert SECRET not in written.text or is_confirmed, "a note or a command left"
        assert written.kind in ("m.text", "m.image")
        assert step.role in (Role.AGENT, Role.LEAD)
        assert step.mode is ReplyMode.OPEN or owner == step.agent, "sent by somebody who did not own it"
        if step.what == "say":
            assert author == step.agent and not written.mentions


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_every_staff_message_that_is_no_command_has_exactly_one_fate(steps: Sequence[Step]) -> None:
    world = play(steps)
    for message, (_, written) in world.written.items():
        is_command = not written.explicit and written.text.lstrip("\u200b").startswith(("!", "！"))
        assert is_command or message in world.fates
