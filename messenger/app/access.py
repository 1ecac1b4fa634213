"""The one gate for everything that is fetched or done on somebody's behalf. It asks the rule in `domain.access`, and
writes down what it allowed and what it refused.

What a person's command shows or changes is one row of the audit log. What the desk shows to somebody without their
asking (a pack for who takes over, a seat in a room with the keys of all that was said) is one more, for the person who
can read it from then on. Messages that are relayed into a place are read by those who have come into it: their coming
is the row."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from messenger.app.audit import audit
from messenger.app.effects import customer, groups, inside, places, staff, thread, trust
from messenger.app.effects.base import Effect
from messenger.app.ports import UnitOfWork
from messenger.app.records import Seat
from messenger.domain.access import Action, Actor, Decision, Target, authorize
from messenger.domain.conversation import Conversation
from messenger.domain.errors import DomainError, NotAllowed
from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.people import SkillGroup

SERVE, GLASS = "serve", "glass"

_T = TypeVar("_T")
_CAPITALS = re.compile(r"(?<!^)(?=[A-Z])")

# What an effect lets people see. `none`: no word of a customer or of staff. `stream`: a place's standing relay, read by
# those who are in it. `command`: shown by a command that has its row. `reader`: shown to somebody, with a row here.
EFFECTS: dict[type[Effect], str] = {
    places.PostCard: "stream",
    places.EditCard: "stream",
    places.SeatInCase: "reader",
    places.SeatCase: "reader",
    places.ProvideCaseRoom: "none",
    places.UnseatFromCase: "none",
    places.EditFormerCard: "stream",
    thread.RelayToThread: "stream",
    thread.RelayFile: "stream",
    thread.EditInThread: "stream",
    thread.ShowHistory: "command",
    thread.ShowFiles: "command",
    thread.ShowFilesLater: "command",
    thread.ShowTranscript: "command",  # never without a pack, whose row it shares
    thread.PostPack: "reader",
    thread.PostContext: "reader",
    thread.PostNotice: "stream",
    thread.PostRemarks: "stream",
    thread.ShowFate: "none",
    thread.ShowFateNow: "none",
    customer.SendToCustomer: "none",  # what staff has said, to the customer
    customer.SendFile: "none",
    customer.EditAtCustomer: "none",
    customer.DeleteAtCustomer: "none",
    customer.MirrorReactions: "none",
    customer.TellCustomer: "none",
    customer.GreetCustomer: "none",
    customer.WarnCustomer: "none",
    customer.OfferMenu: "none",
    customer.EndMenu: "none",
    customer.OpenChat: "none",
    customer.JoinChat: "none",
    customer.FollowRoom: "none",
    customer.FollowRoomLater: "none",
    customer.LeaveRoom: "none",
    staff.ShowQueue: "command",
    staff.ShowMine: "command",
    staff.React: "none",
    staff.RemoveReaction: "none",
    staff.AnswerInRoom: "command",
    staff.SayAnswer: "command",
    staff.TellPerson: "none",
    staff.ProvideDirectRoom: "none",
    groups.SeatMember: "reader",
    groups.OpenNewRoom: "none",
    groups.ProvideGroupRoom: "none",
    groups.TellGroup: "none",
    groups.EditBoard: "none",
    groups.ShowFlood: "none",
    groups.UnseatMember: "none",
    trust.SayOfTrust: "none",
    trust.AskVerification: "none",
    trust.TrustPerson: "none",
    trust.CarryOutTrust: "none",
    inside.SetTimer: "none",
    inside.RouteGroup: "none",
}


async def conversation_and_seat(unit: UnitOfWork, id: ConversationId, address: str) -> tuple[Conversation, Seat | None]:
    """Locks the conversation. The seat in its group; in a room of its own also that of a member from elsewhere. Without
    one nothing of the conversation may be told, not even that it exists."""
    conversation = await unit.conversations.lock(id)
    return conversation, await seat_at(unit, conversation, address)


async def seat_at(unit: UnitOfWork, conversation: Conversation, address: str) -> Seat | None:
    assert conversation.group is not None, "a conversation with a card has a group"
    seat = await unit.people.seat(conversation.group, address)
    if seat is None and conversation.is_in_room:
        return await unit.case_members.seat(conversation.id, address)
    return seat


async def decide(unit: UnitOfWork, conversation: Conversation, seat: Seat, action: Action) -> Decision:
    """`seat`: the one that `conversation_and_seat` has found, or one behind the glass."""
    target = await _target(unit, conversation, seat)
    if not seat.is_behind_glass:
        assert target.group is not None
        return authorize(Actor(agent=seat.agent.id, seats={target.group: seat.role}), action, target)
    seats = {group.id: each.role for group, each in await unit.people.seats_of(seat.agent.address)}
    return authorize(Actor(agent=seat.agent.id, seats=seats, glass=frozenset({conversation.id})), action, target)


async def may_speak_here(unit: UnitOfWork, conversation: Conversation, seat: Seat) -> bool:
    """In a room of its own only its members: a seat in the group alone opens no case."""
    return (await decide(unit, conversation, seat, Action.NOTE)).is_allowed


async def asked(
    unit: UnitOfWork,
    conversation: Conversation,
    seat: Seat,
    action: Action,
    *,
    command: str,
    do: Callable[[], Awaitable[_T]],
) -> _T:
    """Does what somebody has asked for with a conversation, if they may, and writes one row of it. Raises NotAllowed,
    and what `do` raises; then the row says that it was refused, and why."""
    decision = await decide(unit, conversation, seat, action)
    row = _Row(unit, seat.agent.id, action, f"conversation:{conversation.id}", command)
    row.purpose = GLASS if seat.is_behind_glass else SERVE
    return await row.around(decision, do)


async def asked_beside(
    unit: UnitOfWork,
    seats: Sequence[tuple[SkillGroup, Seat]],
    action: Action,
    *,
    command: str,
    do: Callable[[], Awaitable[_T]],
) -> _T:
    """The same for what is about no conversation. `seats`: everywhere the person has one, and never empty."""
    person = seats[0][1].agent.id
    decision = authorize(Actor(agent=person, seats={group.id: seat.role for group, seat in seats}), action)
    return await _Row(unit, person, action, f"agent:{person}", command).around(decision, do)


async def broken(
    unit: UnitOfWork,
    seats: Sequence[tuple[SkillGroup, Seat]],
    id: ConversationId,
    *,
    words: str,
    do: Callable[[], Awaitable[_T]],
) -> _T:
    """Breaks the glass of a conversation, if the person may do that at all. The row keeps their words, sealed."""
    person = seats[0][1].agent.id
    decision = authorize(Actor(agent=person, seats={group.id: seat.role for group, seat in seats}), Action.GLASS)
    row = _Row(unit, person, Action.GLASS, f"conversation:{id}", "glass")
    row.purpose, row.words = GLASS, words
    return await row.around(decision, do)


def refused(
    unit: UnitOfWork, person: AgentId, action: Action, id: ConversationId, *, command: str, reason: str
) -> None:
    """Somebody has asked for a conversation that is not theirs to know of: that is written down, too."""
    _Row(unit, person, action, f"conversation:{id}", command).write(reason, is_allowed=False)


async def note_reads(unit: UnitOfWork, effects: Sequence[Effect], conversation: Conversation) -> None:
    """Writes down who will read what these effects show to them unasked."""
    for effect in effects:
        match effect:
            case thread.PostPack(by=by, cause=cause):
                who = by or conversation.owner
                _shown(unit, conversation, f"agent:{who}" if who else f"group:{conversation.group}", f"pack.{cause}")
            case thread.PostContext(agent=agent):
                _shown(unit, conversation, f"agent:{agent}", "context")
            case places.SeatInCase(agent=agent):
                _joins(unit, conversation, f"agent:{agent}")
            case places.SeatCase():
                for member in await unit.case_members.of(conversation.id):
                    _joins(unit, conversation, f"agent:{member.id}")
            case _:
                pass


def _shown(unit: UnitOfWork, conversation: Conversation, who: str, purpose: str) -> None:
    audit(unit, actor=who, action=Action.READ.value, object=f"conversation:{conversation.id}", purpose=purpose)


def _joins(unit: UnitOfWork, conversation: Conversation, who: str) -> None:
    """From now on they read all that is said there, and with the keys they get, all that was."""
    audit(unit, actor=who, action="conversation.join", object=f"conversation:{conversation.id}", purpose="member")


async def _target(unit: UnitOfWork, conversation: Conversation, seat: Seat) -> Target:
    members = None
    if conversation.is_in_room:
        is_member = await unit.case_members.seat(conversation.id, seat.agent.address) is not None
        members = frozenset({seat.agent.id} if is_member else ())
    return Target(conversation=conversation.id, group=conversation.group, members=members)


class _Row:
    """The row of one thing that somebody has asked for."""

    def __init__(self, unit: UnitOfWork, person: AgentId, action: Action, object: str, command: str) -> None:
        self._unit, self._person, self._action, self._object = unit, person, action, object
        self._command, self.purpose, self.words = command, SERVE, ""

    async def around(self, decision: Decision, do: Callable[[], Awaitable[_T]]) -> _T:
        if not decision.is_allowed:
            self.write(decision.reason, is_allowed=False)
            raise NotAllowed(
                action=self._command.removeprefix("reaction."),
                who="lead" if self._action in (Action.LEAD, Action.TRUST) else "agent",
            )
        try:
            result = await do()
        except DomainError as error:
            self.write(_code_of(error), is_allowed=False)
            raise
        self.write(decision.reason, is_allowed=True)
        return result

    def write(self, reason: str, *, is_allowed: bool) -> None:
        audit(
            self._unit,
            actor=f"agent:{self._person}",
            action=self._action.value,
            object=self._object,
            purpose=self.purpose,
            outcome="allowed" if is_allowed else "refused",
            reason=reason,
            words=self.words,
            command=self._command,
        )


def _code_of(error: DomainError) -> str:
    return error.text or _CAPITALS.sub("_", type(error).__name__).lower()
