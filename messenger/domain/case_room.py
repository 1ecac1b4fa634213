"""A conversation in a room of its own: how it gets there, and who may read it. Need to know: the owner, whoever they
name, and every later owner."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation
from messenger.domain.errors import AlreadyInRoom, AlreadyMember, NotAMember, NotInRoom, OwnerStays
from messenger.domain.handover import must_be_in_work, must_speak_for
from messenger.domain.ids import GroupId

# Whoever closes every room would have the desk open others without end.
MOST_RENEWALS, RENEWALS_IN = 3, timedelta(days=1)


def move_to_room(conversation: Conversation, command: c.MoveToRoom) -> Sequence[e.Event]:
    if conversation.is_in_room:
        raise AlreadyInRoom()
    must_be_in_work(conversation, "room")
    owner = must_speak_for(conversation, command.agent, command.role, "room")
    named = dict.fromkeys((command.agent, *command.members))
    members = tuple(member for member in named if member != owner)
    return [e.MovedToRoom(by=command.agent, members=members)]


def renew_room(conversation: Conversation, command: c.RenewRoom) -> Sequence[e.Event]:
    """By way of a new card in the group's room, which leads to it: each room of its own has such a card before it.
    After too many it stays where it is until a person asks for another."""
    if not conversation.is_in_room:
        return []
    if command.by is not None:
        must_speak_for(conversation, command.by, command.role, "room")
    elif command.renewed >= MOST_RENEWALS:
        return []
    members = tuple(member for member in command.members if member != conversation.owner)
    return [e.CardRenewed(), e.MovedToRoom(by=command.by, members=members, again=True)]


def renewals(log: Iterable[e.Recorded], now: datetime) -> int:
    """How often the desk has made another room by itself lately."""
    return sum(
        isinstance(each.event, e.MovedToRoom)
        and each.event.again
        and each.event.by is None
        and each.at > now - RENEWALS_IN
        for each in log
    )


def invite_member(conversation: Conversation, command: c.InviteMember) -> Sequence[e.Event]:
    _must_be_in_room(conversation)
    must_speak_for(conversation, command.by, command.role, "invite")
    if command.is_member:
        raise AlreadyMember()
    return [e.MemberInvited(agent=command.agent, by=command.by)]


def remove_member(conversation: Conversation, command: c.RemoveMember) -> Sequence[e.Event]:
    """The owner stays: whoever shall not read on must first give it to somebody else."""
    _must_be_in_room(conversation)
    must_speak_for(conversation, command.by, command.role, "remove")
    if conversation.is_owned_by(command.agent):
        raise OwnerStays()
    if not command.is_member:
        raise NotAMember()
    return [e.MemberRemoved(agent=command.agent, by=command.by)]


def placed_in_rooms(events: Sequence[e.Event], groups: Collection[GroupId]) -> Sequence[e.Event]:
    """What comes into one of these groups, which have a room for each conversation, moves into one at once."""
    placed: list[e.Event] = []
    for event in events:
        placed.append(event)
        if arrives_in(event) in groups:
            placed.append(e.MovedToRoom())
    return placed


def arrives_in(event: e.Event) -> GroupId | None:
    """The group that the conversation comes into with this event."""
    match event:
        case e.ConversationQueued():
            return event.group
        case e.ConversationTransferred():
            return event.to_group
        case _:
            return None


def _must_be_in_room(conversation: Conversation) -> None:
    if not conversation.is_in_room:
        raise NotInRoom()
