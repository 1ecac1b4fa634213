"""What the use cases ask of the storage about people: the team, the router's view of it, contacts and their chats."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from messenger.app.items import ChatReady, MessagesMissing, TrustDoubted, VerificationNews
from messenger.app.records import (
    Chat,
    Contact,
    RoutingDecision,
    Seat,
    Serving,
    Status,
    Succession,
    TrustAlert,
)
from messenger.channels.messages import Handle
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId
from messenger.domain.people import Agent, SkillGroup
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.matcher import Waiting


class PeoplePort(Protocol):
    async def groups(self) -> Sequence[SkillGroup]: ...

    async def group(self, id: GroupId) -> SkillGroup: ...

    async def agent(self, id: AgentId) -> Agent: ...

    async def seat(self, group: GroupId, address: str) -> Seat | None: ...

    async def group_of_room(self, room: str) -> SkillGroup | None: ...

    async def room_of_group(self, id: GroupId) -> str | None: ...

    async def is_staff(self, addresses: Sequence[str]) -> bool: ...

    async def colleague(self, name: str) -> Agent | None:
        """By address, by its local part (with or without `@`), by full or first name; None for nobody, or several."""
        ...

    async def seats_of(self, address: str) -> Sequence[tuple[SkillGroup, Seat]]:
        """Everywhere this person has a seat, by the group's name."""
        ...

    async def person_of_direct_room(self, room: str) -> Agent | None:
        """Whose direct chat with the desk this is, the newest or an older one."""
        ...

    async def direct_room_of(self, agent: AgentId) -> str | None: ...

    async def set_direct_room(self, agent: AgentId, room: str) -> None:
        """From now on the desk speaks to this person there. Earlier direct chats are heard as before, and answered
        where they are."""
        ...

    async def leads(self, group: GroupId) -> Sequence[Agent]:
        """By name."""
        ...

    async def members(self, group: GroupId) -> Sequence[Agent]:
        """Everybody with a seat, by name."""
        ...

    async def can_somebody_answer(self, group: GroupId) -> bool:
        """Is anybody there, and available, who may answer customers?"""
        ...

    async def is_available(self, agent: AgentId) -> bool: ...

    async def status(self, agent: AgentId) -> Status: ...

    async def set_status(
        self, agent: AgentId, availability: Availability, reason: str, *, at: datetime, source: str
    ) -> None:
        """Also into the log of availabilities, without the reason. `source`: who has set it (`self`, `admin`)."""
        ...

    async def count_owned(self, agent: AgentId) -> int:
        """How many conversations somebody has, those that rest included."""
        ...


class RoutingPort(Protocol):
    async def lock_group(self, id: GroupId) -> SkillGroup:
        """Until the unit ends no other turn gives out anything of this group."""
        ...

    async def waiting(self, group: SkillGroup, *, most: int) -> Sequence[Waiting]:
        """The first of the queue, in order."""
        ...

    async def serving(self, group: GroupId, *, now: datetime) -> Sequence[Serving]:
        """Everybody with a seat in the group, with what they have in work in all groups."""
        ...

    async def lock_person(self, group: GroupId, agent: AgentId, *, now: datetime) -> Serving | None:
        """The same for one, counted again under their lock: what is given out to them at the same time in another
        group is in it. None if they have left the group."""
        ...

    async def note_hands(self, agents: Collection[AgentId], *, at: datetime) -> None:
        """Something came into these people's hands or left them."""
        ...

    async def groups_served_by(self, agents: Collection[AgentId]) -> Sequence[GroupId]:
        """The groups with automatic assignment in which these people have a seat."""
        ...

    async def keep(
        self, conversations: Collection[ConversationId], explanation: Mapping[str, Any], *, at: datetime
    ) -> None:
        """The same decision about all of these."""
        ...

    async def reasons(self, conversations: Collection[ConversationId]) -> Mapping[ConversationId, str]:
        """The reason of the newest decision since each of them was queued."""
        ...

    async def latest(self, conversation: ConversationId) -> RoutingDecision | None: ...


class TrustPort(Protocol):
    """Whose keys the desk has, as far as people decide about it."""

    async def note_verification(self, news: VerificationNews) -> None: ...

    async def raise_alert(self, doubt: TrustDoubted) -> bool:
        """Kept in any case. False if it is known and still open; of what is told only, if the like was told about
        this room lately and nobody has answered."""
        ...

    async def alerts_of(self, person: str) -> Sequence[TrustAlert]:
        """What is open about this person, and where they were removed."""
        ...

    async def leads(self, groups: Sequence[GroupId]) -> Sequence[Agent]: ...

    async def alerts_in(self, account: str, room: str, *, cause: str = "") -> Sequence[TrustAlert]:
        """What is open there and keeps the room waiting, or of this cause."""
        ...

    async def count_seen(self, missing: MessagesMissing) -> int:
        """How many of these messages have been read by now."""
        ...

    async def decide(self, alerts: Sequence[int], *, state: str, by: str) -> None:
        """`state`: `trusted`, `removed`, `noted` (told only), or `cleared` (its cause has gone by itself)."""
        ...

    async def announce(self, account: str, master: str) -> bool:
        """From now on this is the desk's identity that people know. True if they knew another one."""
        ...

    async def open_chats(self) -> Sequence[tuple[ConversationId, ChatId]]:
        """Of all conversations that are not over and have a place among the staff."""
        ...

    async def doubted_rooms(self, account: str) -> Sequence[str]: ...

    async def chat_with(self, account: str, address: str, *, room: str | None) -> tuple[str, str] | None:
        """Room and language of this customer's chat: the one in `room`, or the newest."""
        ...


class GlassPort(Protocol):
    """Who may read a foreign conversation for a while."""

    async def open(self, conversation: ConversationId, agent: AgentId, *, until: datetime) -> None: ...

    async def seat(self, conversation: ConversationId, address: str, *, now: datetime) -> Seat | None:
        """One behind the glass, as long as it stays open."""
        ...


class SuccessionPort(Protocol):
    """Rooms that were replaced by others."""

    async def get(self, account: str, room: str) -> Succession | None: ...

    async def object(self, account: str, room: str, successor: str, *, state: str, code: str) -> bool:
        """What keeps us from following. True if it is news."""
        ...

    async def follow_chat(self, account: str, room: str, successor: str, id: ChatId) -> None: ...

    async def follow_group(self, account: str, room: str, successor: str, id: GroupId) -> None: ...

    async def leave_behind(self, account: str, room: str) -> None:
        """What took the place of this one we have made ourselves."""
        ...

    async def former_rooms(self, account: str, room: str) -> Sequence[str]:
        """Which the chat in this room has had before, the last one first."""
        ...

    async def conversations_in(self, group: GroupId, room: str) -> Sequence[ConversationId]:
        """Those of the group that are not over and whose card stands in this room."""
        ...

    async def is_heard_out(self, room: str) -> bool:
        """Is everything handled that has come from this desk room?"""
        ...


class ChatPort(Protocol):
    async def find(self, account: str, remote: str) -> Chat | None:
        """By its room, or by one that it has had before."""
        ...

    async def get(self, id: ChatId) -> Chat: ...

    async def open(self, chat: ChatReady) -> tuple[Chat, bool]:
        """Finds or makes contact, identity and chat; True if the chat is new."""
        ...

    async def person(self, handle: Handle) -> ContactId:
        """Finds or makes the contact of somebody who speaks in a chat that is not theirs."""
        ...

    async def set_language(self, chat: ChatId, language: str) -> None: ...

    async def set_conversation(self, chat: ChatId, conversation: ConversationId) -> None:
        """This one spoke last."""
        ...

    async def is_safe(self, chat: ChatId) -> bool:
        """False if something has happened to the chat's encryption since it began: nothing may leave there."""
        ...


class ContactPort(Protocol):
    async def of_handle(self, person: Handle) -> Contact | None: ...

    async def get(self, id: ContactId) -> Contact: ...

    async def named_first_in(self, text: str) -> Contact | None:
        """Whose name begins the text; None for nobody, for several, and where there are too many to look."""
        ...

    async def chat_with(self, person: Contact, account: str, language: str) -> tuple[Chat, bool]:
        """Their newest chat, or one that is expected; True if it is new."""
        ...

    async def last_conversation(self, id: ContactId) -> ConversationId | None: ...
