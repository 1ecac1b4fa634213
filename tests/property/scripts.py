"""Random lives of one conversation: the rules, what is asked of them and what follows from them are the product's own,
with a small stand-in for everything around (stored messages, the outbox of the customer's chat, the rooms of its own,
timers, a clock). Each step is one thing that somebody does."""

import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from messenger.app import asking
from messenger.app.case_members import keep_members
from messenger.app.effects.base import Effect
from messenger.app.effects.customer import DeleteAtCustomer, EditAtCustomer, SendToCustomer
from messenger.app.effects.inside import SetTimer
from messenger.app.effects.places import PostCard, ProvideCaseRoom, SeatCase, SeatInCase, UnseatFromCase
from messenger.app.effects.thread import EditInThread, PostPack, RelayToThread
from messenger.app.react import fate_after, react
from messenger.app.records import StoredMessage
from messenger.app.timers import look_again
from messenger.channels.messages import Content
from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, evolve
from messenger.domain.decide import decide
from messenger.domain.errors import DomainError
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.pauses import Cause
from messenger.domain.people import ReplyMode, Role, SkillGroup
from messenger.domain.replies import NOTE_PREFIXES, Fate, Said

ID, CHAT = ConversationId(UUID(int=1)), ChatId(UUID(int=2))
START = datetime(2026, 11, 24, tzinfo=UTC)
AGENTS = [AgentId(UUID(int=10 + n)) for n in range(4)]
GROUPS = [GroupId(UUID(int=4)), GroupId(UUID(int=5))]
NOTE, DOUBT = "SECRET", "DOUBTFUL"  # never leaves; leaves only if a person has let exactly these words go
WORDS = ["hello", "see you", "a\nb", "hello // there", "5/6"]
TEXTS = [
    *(WORDS * 9),
    *(f"{prefix} {NOTE}" for prefix in (*NOTE_PREFIXES, "//", "\u200b//", "／／", "备注：")),
    *(f"{prefix} {DOUBT}" for prefix in ("!note", "！", "!", "hello\n//", "> note:")),
]
KINDS = ["m.text"] * 12 + ["m.image", "m.notice", "m.sticker"]
WHAT = (
    ["say"] * 8 + ["deliver"] * 9 + ["receive"] * 4 + ["claim", "edit", "ended"] * 5
    + ["delete", "approve", "later", "pause", "resume", "wake", "reopen", "time", "transfer", "assign"] * 2
    + ["release", "resolve", "withdraw", "unsafe"]
    + ["receive_edit", "receive_deletion", "choose", "settings", "role"] + ["room", "invite", "remove"] * 2
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """`what` chooses what is done; the rest is used where it fits. `own`: by the owner, if there is one."""

    what: str
    agent: AgentId
    other: AgentId
    text: str
    kind: str
    target: int
    yes: bool
    also: bool
    number: int
    own: bool = False


def script(seed: int) -> list[Step]:
    dice = random.Random(seed)
    pick, flip = dice.choice, dice.random
    return [
        Step(pick(WHAT), pick(AGENTS), pick(AGENTS), pick(TEXTS), pick(KINDS), dice.randrange(30), flip() < 0.5,
             flip() < 0.25, dice.randrange(2, 60), flip() < 0.7)
        for _ in range(dice.randrange(5, 45))
    ]  # fmt: skip


@dataclass(slots=True)
class Written:
    """A stored staff message."""

    author: AgentId
    text: str
    kind: str
    at: datetime
    is_deleted: bool = False
    approved: str | None = None  # the words that a person has let go
    sealed: str | None = None  # as above, where only other words of somebody else's approval may leave


@dataclass(slots=True)
class Row:
    """One row of the customer's lane."""

    what: str
    message: MessageId
    state: str = "new"


class Members:
    """Who may read the conversation's own room, as `case_members` of a unit of work."""

    def __init__(self) -> None:
        self.there: set[AgentId] = set()
        self.case_members = self

    async def add(self, conversation: ConversationId, agents: Sequence[AgentId]) -> None:
        self.there |= set(agents)

    async def remove(self, conversation: ConversationId, agent: AgentId) -> None:
        self.there.discard(agent)

    async def clear(self, conversation: ConversationId) -> None:
        self.there.clear()


def finished(coroutine: Coroutine[Any, Any, None]) -> None:
    """Of something that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


@dataclass(slots=True)
class World:
    conversation: Conversation | None = None
    now: datetime = START
    log: list[e.Recorded] = field(default_factory=list)
    fates: dict[MessageId, Fate] = field(default_factory=dict)
    written: dict[MessageId, Written] = field(default_factory=dict)
    roles: dict[AgentId, Role] = field(default_factory=lambda: dict.fromkeys(AGENTS, Role.AGENT))
    group: SkillGroup = field(default_factory=lambda: SkillGroup(id=GROUPS[0], name="Claims", auto_resolve_days=9))
    is_safe: bool = True
    lane: list[Row] = field(default_factory=list)
    ended: list[MessageId] = field(default_factory=list)
    customer_has: dict[MessageId, str] = field(default_factory=dict)
    sends: Counter[MessageId] = field(default_factory=Counter)
    received: list[MessageId] = field(default_factory=list)
    relayed: Counter[UUID] = field(default_factory=Counter)
    cards: int = 0
    timers: list[SetTimer] = field(default_factory=list)
    kept_back: set[MessageId] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)
    members: "Members" = field(default_factory=lambda: Members())
    seated: set[AgentId] = field(default_factory=set)  # who reads the newest room of its own
    _next: int = 100

    # What happens

    def ask(self, command: c.Command) -> Sequence[e.Event]:
        """A refusal changes nothing."""
        try:
            events = decide(self.conversation, command)
        except DomainError:
            return []
        steps = []
        for event in events:
            before = self.conversation
            entry = e.Recorded(conversation=ID, version=len(self.log) + 1, event=event, at=self.now, actor="test")
            self.conversation = evolve(before, entry)
            self.log.append(entry)
            steps.append((event, before, self.conversation))
        finished(keep_members(self.members, steps))  # type: ignore[arg-type]
        for event, before, after in steps:
            self._note_fate(event)
            for effect in react(event, before, after, replace(self.group, id=after.group or GROUPS[0])):
                self._take(effect)
        return events

    def ask_if(self, command: c.Command | None) -> Sequence[e.Event]:
        return self.ask(command) if command is not None else []

    def _note_fate(self, event: e.Event) -> None:
        fate, message = fate_after(event), getattr(event, "message", None)
        if fate is not None and message is not None:
            self.fates[message] = fate
        if isinstance(event, e.ReplyCancelled):
            for row in self.lane:
                if row.message == message and row.state == "new" and row.what == "send":
                    row.state = "cancelled"
        if isinstance(event, e.ChangeKeptBack):
            self.kept_back.add(event.message)
        if isinstance(event, e.MessageReceived):
            self.received.append(event.message)

    def _take(self, effect: Effect) -> None:
        match effect:
            case SendToCustomer() | EditAtCustomer() | DeleteAtCustomer():
                self.lane.append(Row(_ROWS[type(effect)], MessageId(effect.message)))
            case RelayToThread():
                self.relayed[effect.message] += 1
                if not self.cards:
                    self.leaks.append("a customer's message is shown before there is a card")
                self._is_said_in_room()
            case PostPack() | EditInThread():
                self._is_said_in_room()
            case ProvideCaseRoom() | SeatCase() | SeatInCase() | UnseatFromCase():
                self._seat(effect)
            case PostCard():
                self.cards += 1
            case SetTimer():
                self.timers.append(effect)
            case _:
                pass

    def _seat(self, effect: Effect) -> None:
        """As `to_case_rooms`."""
        assert self.conversation is not None
        match effect:
            case ProvideCaseRoom():
                self.seated = set()
            case SeatCase():
                self.seated |= self.members.there
            case SeatInCase() if effect.agent in self.members.there and self.conversation.is_in_room:
                self.seated.add(AgentId(effect.agent))
            case UnseatFromCase() if effect.agent not in self.members.there:
                self.seated.discard(AgentId(effect.agent))
            case _:
                pass

    def _is_said_in_room(self) -> None:
        if self.conversation is not None and self.conversation.is_in_room and self.seated - self.need_to_know():
            self.leaks.append("somebody reads a room who need not know")

    def need_to_know(self) -> set[AgentId]:
        """Its owner when it moved, whoever was named or invited and not removed since, and every later owner."""
        known, owner = set[AgentId](), None
        for event in (entry.event for entry in self.log):
            match event:
                case e.ConversationClaimed() | e.ConversationAssigned():
                    owner = event.agent
                    known.add(owner)
                case e.ConversationReopened():
                    owner = event.owner
                case e.ConversationReleased() | e.ConversationTransferred() | e.ConversationQueued():
                    owner = None
                case e.MovedToRoom():
                    known = {*event.members} | ({owner} if owner else set())
                case e.MemberInvited():
                    known.add(event.agent)
                case e.MemberRemoved():
                    known.discard(event.agent)
                case _:
                    pass
        return known

    def deliver(self) -> None:
        """The head of the customer's lane leaves, as the message is now."""
        row = next((row for row in self.lane if row.state == "new"), None)
        if row is None:
            return
        row.state, message = "sent", self.written[row.message]
        match row.what:
            case "send":
                self.sends[row.message] += 1
                self._show(row.message, message)
                self.ended.append(row.message)
            case "edit" if row.message in self.customer_has:
                self._show(row.message, message)
            case "delete":
                self.customer_has.pop(row.message, None)
            case _:
                pass

    def _show(self, id: MessageId, message: Written) -> None:
        self.customer_has[id] = message.text
        if NOTE in message.text:
            self.leaks.append(f"a note left: {message.text!r}")
        if DOUBT in message.text and message.approved != message.text:
            self.leaks.append(f"nobody let these words go: {message.text!r}")
        if message.sealed is not None and message.sealed != message.text:
            self.leaks.append(f"approved {message.sealed!r}, sent {message.text!r}")
        if message.kind not in ("m.text", "m.image"):
            self.leaks.append(f"{message.kind} left")

    # What is done

    def take(self, step: Step) -> None:
        self.now += timedelta(seconds=step.number)
        if self.conversation is None:
            return self._begin(step)
        if step.own:
            step = replace(step, agent=self.conversation.owner or step.agent)
        if step.what in _HERE:
            getattr(self, f"_{step.what}")(step)
        elif (command := self._command(step)) is not None:
            self.ask(command)

    def new_id(self) -> MessageId:
        self._next += 1
        return MessageId(UUID(int=self._next))

    def _begin(self, step: Step) -> None:
        known: dict[str, Any] = {"number": "K-2222", "contact": ContactId(UUID(int=3)), "chat": CHAT, "language": "en"}
        group = GROUPS[0]
        if step.target == 0:
            role = self.roles[step.agent]
            self.ask(c.StartConversation(**known, group=group, agent=step.agent, role=role, has_consent=True))
        else:
            chosen = None if step.target < 6 else group
            self.ask(c.OpenConversation(**known, group=chosen, routed_because="default", message=self.new_id()))

    def _command(self, step: Step) -> c.Command | None:
        return self._of_customer(step) or self._of_owner(step) or self._of_life(step)

    def _of_customer(self, step: Step) -> c.Command | None:
        far: dict[str, Any] = {"is_out_of_sight": step.also}
        match step.what:
            case "receive":
                return c.ReceiveMessage(message=self.new_id(), owner_is_available=step.yes, **far)
            case "receive_edit" | "receive_deletion" if self.received:
                message = self.received[step.target % len(self.received)]
                return (c.ReceiveEdit if step.what == "receive_edit" else c.ReceiveDeletion)(message=message)
            case "choose":
                return c.ChooseGroup(group=GROUPS[0], because="choice")
            case _:
                return None

    def _of_owner(self, step: Step) -> c.Command | None:
        who, role = step.agent, self.roles[step.agent]
        assert self.conversation is not None
        match step.what:
            case "claim":
                return c.ClaimConversation(agent=who, role=role, owner_is_away=step.also)
            case "release":
                return c.ReleaseConversation(agent=who, role=role)
            case "assign":
                by = None if step.also else who
                return c.AssignConversation(
                    agent=step.other, agent_role=self.roles[step.other], reason="handed", by=by, role=role
                )
            case "transfer":
                to, agent = GROUPS[step.number % 2], step.other if step.also else None
                if self.conversation.group in (None, to):
                    return None
                return c.TransferConversation(to_group=to, by=who, role=role, is_allowed=step.yes, agent=agent)
            case "room":
                return c.MoveToRoom(agent=who, role=role)
            case "invite":
                return c.InviteMember(agent=step.other, by=who, role=role, is_member=step.also)
            case "remove":
                return c.RemoveMember(agent=step.other, by=who, role=role, is_member=not step.also)
            case _:
                return None

    def _of_life(self, step: Step) -> c.Command | None:
        who, role = step.agent, self.roles[step.agent]
        far: dict[str, Any] = {"is_out_of_sight": step.also}
        match step.what:
            case "pause":
                causes = {Cause.CUSTOMER if step.yes else Cause.PARTNER} | ({Cause.TIME} if step.also else set())
                until = self.now + timedelta(minutes=step.number) if step.also else None
                return c.PauseConversation(agent=who, role=role, wake_on=frozenset(causes), until=until)
            case "resume":
                return c.ResumeConversation(agent=who, role=role, **far)
            case "wake":
                return c.WakeConversation(cause=Cause.PARTNER if step.yes else Cause.DOCUMENT, **far)
            case "resolve":
                return c.ResolveConversation(agent=who, role=role)
            case "reopen":
                return c.ReopenConversation(agent=who, role=role, **far)
            case _:
                return None

    def _deliver(self, step: Step) -> None:
        self.deliver()

    def _ended(self, step: Step) -> None:
        """The results of sends come back, not in their order."""
        if self.ended:
            message = self.ended.pop(step.target % len(self.ended))
            if step.also:
                self.customer_has.pop(message, None)
                self.ask(c.RecordFailure(message=message, code="left"))
            else:
                self.ask(c.RecordDelivery(message=message))

    def _settings(self, step: Step) -> None:
        mode = list(ReplyMode)[step.target % 3]
        self.group = replace(self.group, reply_mode=mode, four_eyes=step.yes, hold_seconds=5 * step.also)

    def _role(self, step: Step) -> None:
        self.roles[step.agent] = (Role.AGENT, Role.LEAD, Role.AGENT, Role.CLERK)[step.target % 4]

    def _unsafe(self, step: Step) -> None:
        self.is_safe = not step.also

    def _time(self, step: Step) -> None:
        """Weeks or minutes pass, and the timers fire in their order, some late. In days everything arrives."""
        if step.yes:
            self._all_arrives()
        self.now += timedelta(days=step.number) if step.yes else timedelta(minutes=step.number)
        while due := sorted((each for each in self.timers if each.at <= self.now), key=lambda each: each.at):
            self.timers.remove(due[0])
            self._fire(due[0])

    def _all_arrives(self) -> None:
        while any(row.state == "new" for row in self.lane):
            self.deliver()
        while self.ended:
            self.ask(c.RecordDelivery(message=self.ended.pop(0)))

    def _fire(self, timer: SetTimer) -> None:
        assert self.conversation is not None
        match timer.kind:
            case "wake":
                self.ask(c.WakeConversation(cause=Cause.TIME, due=timer.at))
            case "menu":
                self.ask(c.ChooseGroup(group=GROUPS[0], because="no_choice"))
            case "later":
                assert timer.subject is not None
                self.ask_if(asking.due_answer(self.stored(MessageId(timer.subject)), timer.at))
            case _:
                held = Fate.HELD in self.fates.values()
                if not self.ask(asking.silence(self.group, self.now, is_answer_held=held)):
                    self.timers += look_again(self.conversation, self.group, self.now)

    # What is said

    def _say(self, step: Step) -> None:
        said, id = self._said(step, is_explicit=step.also), self.new_id()
        self._store(id, step)
        self.ask(c.AddStaffMessage(message=id, said=said, **self._standing(step.agent)))

    def _later(self, step: Step) -> None:
        said, id = self._said(step, is_explicit=True), self.new_id()
        self._store(id, step)
        at = self.now + timedelta(minutes=step.number)
        if not self.ask(c.ScheduleReply(message=id, said=said, at=at, **self._standing(step.agent))):
            del self.written[id]

    def _store(self, id: MessageId, step: Step) -> None:
        self.written[id] = Written(author=step.agent, text=step.text, kind=step.kind, at=self.now)

    def _said(self, step: Step, *, is_explicit: bool) -> Said:
        mentions = step.yes and step.target < 8
        return Said(type=step.kind, text=step.text, mentions_staff=mentions, is_explicit=is_explicit)

    def _standing(self, author: AgentId) -> dict[str, Any]:
        return {
            "author": author,
            "role": self.roles[author],
            "mode": self.group.reply_mode,
            "four_eyes": self.group.four_eyes,
            "is_customer_room_safe": self.is_safe,
        }

    def _one(self, step: Step) -> MessageId | None:
        there = [id for id, message in self.written.items() if not message.is_deleted]
        return there[-1 - step.target % min(len(there), 3)] if there else None

    def is_waiting(self, id: MessageId) -> bool:
        """Is the answer in its hold window?"""
        return any(row.message == id and row.what == "send" and row.state == "new" for row in self.lane)

    def stored(self, id: MessageId) -> asking.Standing:
        written = self.written[id]
        fate = self.fates.get(id)
        message = StoredMessage(
            id=id,
            conversation=ID,
            author=written.author,
            fate=fate,
            content=Content(text=written.text),
            at=written.at,
            type=written.kind,
            is_deleted=written.is_deleted,
        )
        return asking.Standing(
            message=message,
            author=written.author,
            log=self.log,
            group=self.group,
            now=self.now,
            is_waiting=fate is Fate.QUEUED and self.is_waiting(id),
            is_customer_room_safe=self.is_safe,
        )

    def _edit(self, step: Step) -> None:
        id = self._one(step)
        if id is None:
            return
        message, stored = self.written[id], self.stored(id)
        said = self._said(replace(step, kind=message.kind), is_explicit=step.also)
        at = self.now + timedelta(minutes=step.number) if stored.time and step.yes else None
        role = self.roles[message.author]
        events = self.ask(asking.edit(stored, said, role=role, at=at, stood_at=stored.time))
        if not any(isinstance(event, e.ChangeKeptBack) for event in events):
            message.text = step.text
            if not self._takes_two():
                message.sealed = None

    def _takes_two(self) -> bool:
        return self.group.four_eyes and self.group.reply_mode is ReplyMode.EXPLICIT

    def _delete(self, step: Step) -> None:
        id = self._one(step)
        if id is not None:
            events = self.ask(asking.deletion(self.stored(id)))
            self.written[id].is_deleted = not any(isinstance(event, e.ChangeKeptBack) for event in events)

    def _approve(self, step: Step) -> None:
        id = self._one(step)
        if id is None:
            return
        message = self.written[id]
        if self.ask_if(asking.approval(self.stored(id), step.agent, self.roles[step.agent])):
            if self.group.four_eyes and step.agent == message.author:
                self.leaks.append("the author approved with two of four eyes")
            message.approved = message.text
            if self._takes_two():
                message.sealed = message.text

    def _withdraw(self, step: Step) -> None:
        id = self._one(step)
        if id is not None:
            is_held = self.fates.get(id) is Fate.HELD
            self.ask(c.WithdrawMessage(message=id, author=self.written[id].author, is_held=is_held))


_ROWS = {SendToCustomer: "send", EditAtCustomer: "edit", DeleteAtCustomer: "delete"}
_HERE = frozenset(
    ["deliver", "ended", "settings", "role", "unsafe", "time", "say", "later", "edit", "delete", "approve", "withdraw"]
)
