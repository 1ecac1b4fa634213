"""How fast customers are let in. Whatever is too fast keeps its place in its lane and comes later, marked as late;
whatever is a flood is held back, all of it, until somebody decides (`floods`). Other lanes go on meanwhile.

    contact          all that one person says                 waits; a long queue of one person is a flood
    homeserver       all that people of another server say    waits; newcomers who would wait long are a flood
    channel account  conversations that begin there           wait; newcomers who would wait long are a flood
    group            conversations that begin there           wait; newcomers who would wait long are a flood

Newcomers have never had a conversation here. Whoever has one is never held back for what strangers do."""

from dataclasses import dataclass, replace
from datetime import datetime

from messenger.app.flood_ports import NewFlood, Standing
from messenger.app.items import CustomerReacted, FloodBegan, Item, Unreadable
from messenger.app.pace import Pace
from messenger.app.ports import UnitOfWork
from messenger.app.records import Chat, InboxRow, NewItem
from messenger.channels.messages import (
    ChannelAccountId,
    InboundMessage,
    MessageDeleted,
    MessageEdited,
    ReactionsChanged,
    Unsupported,
)
from messenger.domain.ids import GroupId
from messenger.domain.limits import PATIENCE, Scope

# What takes a token. To take something back is never too much, and stays behind what it takes back.
SAID = InboundMessage | MessageEdited | Unsupported | Unreadable | CustomerReacted | ReactionsChanged
ADMITTED, PERSON, BEGINNING = "admitted", "person", "beginning"


class TooFast(Exception):
    """The row comes again at `until`; `paced` says what it has a token of by then."""

    def __init__(self, until: datetime, paced: str) -> None:
        super().__init__(paced)
        self.until, self.paced = until, paced


class HeldBack(Exception):
    """The row, and what waits behind it, belongs to this flood."""

    def __init__(self, flood: int) -> None:
        super().__init__(str(flood))
        self.flood = flood


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate of one turn."""

    pace: Pace
    unit: UnitOfWork
    row: InboxRow

    async def let_in(self) -> None:
        """Raises TooFast and HeldBack."""
        item = self.row.item
        if self.row.paced == ADMITTED or not isinstance(item, SAID | MessageDeleted):
            return
        standing = await self.unit.floods.standing(item.account, _room_of(self.row))
        if standing is None:
            return
        if standing.flood is not None:
            raise HeldBack(standing.flood)
        if not self.row.paced and not isinstance(item, MessageDeleted):
            await self._pace(standing, item)

    async def begin(self, chat: Chat, group: GroupId | None) -> None:
        """A conversation begins. Raises TooFast and HeldBack."""
        if self.row.paced in (ADMITTED, BEGINNING):
            return
        now, is_new = self.unit.now, chat.conversation is None
        account = self.unit.new_id("bucket", "account", chat.account)
        if is_new and (flood := await self.unit.floods.open_among([account, *([group] if group else [])])) is not None:
            raise HeldBack(flood)
        due = {Scope.ACCOUNT: self.pace.take(Scope.ACCOUNT, account, now)}
        if group is not None:
            due[Scope.GROUP] = self.pace.take(Scope.GROUP, group, now)
        slowest = max(due, key=lambda scope: due[scope])
        if is_new and due[slowest] > now + PATIENCE:
            key = group if slowest is Scope.GROUP and group is not None else account
            in_group = group if slowest is Scope.GROUP and group is not None else await self._default_group()
            await self._hold(NewFlood(scope=slowest, key=key, group=in_group))
        if due[slowest] > now:
            raise TooFast(due[slowest], BEGINNING)

    async def _pace(self, standing: Standing, item: Item) -> None:
        now, server = self.unit.now, _other_server(item)
        key = self.unit.new_id("bucket", "server", server)
        if server and standing.is_new and (flood := await self.unit.floods.open_among([key])) is not None:
            raise HeldBack(flood)
        due = self.pace.take(Scope.CONTACT, standing.contact, now)
        if due > now and await self._is_flood():
            await self._hold(await self._of_person(standing))
        if server:
            of_server = self.pace.take(Scope.SERVER, key, now)
            if standing.is_new and of_server > now + PATIENCE:
                in_group = await self._default_group()
                await self._hold(NewFlood(scope=Scope.SERVER, key=key, group=in_group, about=server))
            due = max(due, of_server)
        if due > now:
            raise TooFast(due, PERSON)

    async def _is_flood(self) -> bool:
        return await self.unit.floods.backlog(self.row.lane, self.pace.backlog + 1) > self.pace.backlog

    async def _of_person(self, standing: Standing) -> NewFlood:
        group = None
        if standing.conversation is not None:
            group = (await self.unit.conversations.lock(standing.conversation)).group
        new = NewFlood(
            scope=Scope.CONTACT,
            key=standing.contact,
            group=group or await self._default_group(),
            chat=standing.chat,
        )
        return replace(new, conversation=standing.conversation) if group is not None else new

    async def _hold(self, new: NewFlood) -> None:
        """Raises HeldBack. What people hear of it is said in a turn of its own."""
        id, is_new = await self.unit.floods.begin(new)
        if is_new:
            began = FloodBegan(flood=id)
            await self.unit.inbox.add(
                [NewItem(source="flood", source_id=str(id), lane=f"flood:{new.group}", item=began)]
            )
        raise HeldBack(id)

    async def _default_group(self) -> GroupId:
        groups = await self.unit.people.groups()
        return next((group.id for group in groups if group.is_default), groups[0].id)


def _room_of(row: InboxRow) -> str:
    """The chat in which it was said: lanes of chats bear its name."""
    hints = getattr(row.item, "hints", ())
    return hints[0] if hints else row.lane


def _other_server(item: Item) -> str:
    """The homeserver of who speaks; empty for our own, and for channels that have none."""
    sender = getattr(item, "sender", None)
    address: str = sender if isinstance(sender, str) else getattr(sender, "value", "")
    account: ChannelAccountId | str = getattr(item, "account", "")
    server = address.partition(":")[2] if address.startswith("@") else ""
    return server if server != account.partition(":")[2] else ""
