"""What the relay adds to the way of a message, at half of what it can do.

What it can do at most is 0.50 x C messages a second (C: the bare sends a second of the same Synapse in the same run; a
relayed message is two events). So half is **0.25 x C messages, 0.50 x C events a second**. The real saturation is lower
(see the ratio), which makes this a little more than half of it: the harder question.

Two kinds of turns take turns, with the same customers, the same agent's client and the same number of events a second:

- bare: customers write 0.25 x C messages a second into an encrypted room where the agent is; as many events a second go
  into other rooms meanwhile, in place of the relay's;
- relay: customers write 0.25 x C messages a second to the desk, which makes the other half of the events itself.

Both times count from the moment when a message was to be sent until the agent's client, which is always asking, can
read it. What is added is p50 less p50, p95 less p95."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.parts import report, town
from benchmarks.parts.load import send_load
from benchmarks.parts.meter import percentile
from benchmarks.parts.reader import Reader
from benchmarks.parts.town import Chat
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually

# Short turns: a machine that others use, too, is another one after a minute.
SHARE_OF_C, TURNS, TURN_S, PATIENCE_S = 0.25, 6, 10.0, 60.0
Lane = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Way:
    """From these chats into a room where the agent reads what `writer` (nobody in particular: the customers) says."""

    room: str
    chats: Sequence[Chat]
    shared_with: str
    writer: str = ""
    background: Sequence[Lane] = ()
    waits: list[float] = field(default_factory=list)

    def token(self, seen: Seen) -> str | None:
        is_theirs = seen.sender == self.writer or not self.writer
        return town.token_of(seen) if is_theirs and not seen.replaces and not seen.body.startswith("New ") else None


async def added_latency(
    url: str, agent: Person, relay: Way, plain_lanes: Sequence[Lane], *, plain_per_s: float
) -> report.Figures:
    per_s = SHARE_OF_C * plain_per_s
    bare = await _bare_way(agent, [chat.customer for chat in relay.chats], plain_lanes)
    agent.open_eyes()
    for _ in range(TURNS):
        for way in (bare, relay):
            await _turn(url, agent, way, per_s)
    await agent.close_eyes()
    return {"half_messages_per_s": round(per_s, 2), "half_messages": len(relay.waits)} | _figures(bare, relay)


async def _bare_way(agent: Person, customers: Sequence[Person], plain_lanes: Sequence[Lane]) -> Way:
    everybody = [agent, *customers]
    for person in everybody:
        person.open_eyes()
    room = await agent.create_room(invite=[customer.user_id for customer in customers], wait_until_joined=True)
    for customer in customers:
        await customer.wait_for_members(room, [person.user_id for person in everybody])
        await customer.close_eyes()
    chats = [Chat(f"b10{n}", customer, room) for n, customer in enumerate(customers)]
    return Way(room=room, chats=chats, shared_with=agent.user_id, background=plain_lanes)


async def _turn(url: str, agent: Person, way: Way, per_s: float) -> None:
    each = int(per_s * TURN_S / len(way.chats)) + 1
    ready = [await chat.prepare(each, way.shared_with) for chat in way.chats]
    lanes = [
        {"token": chat.token, "room": chat.room, "contents": [content for _, content in contents]}
        for chat, contents in zip(way.chats, ready, strict=True)
    ]
    reader = Reader(person=agent, room=way.room, token=way.token)
    async with reader.reading():
        account = await send_load(url, [*_paced(lanes, per_s), *_paced(way.background, per_s)], TURN_S)
        due_at = {}
        for chat, contents, moments in zip(way.chats, ready, account["due_at"], strict=False):
            tokens = [token for token, _ in contents[: len(moments)]]
            chat.said += tokens
            due_at |= dict(zip(tokens, moments, strict=True))
        await eventually(lambda: due_at.keys() <= reader.there_at.keys(), PATIENCE_S,
                         progress=lambda: len(reader.there_at), what="the agent has read all")  # fmt: skip
    way.waits += [reader.there_at[token] - due for token, due in due_at.items()]


def _paced(lanes: Sequence[Lane], per_s: float) -> Sequence[Lane]:
    """So many a second of all of them together, one after the other."""
    return [{**lane, "every_s": len(lanes) / per_s, "first_s": n / per_s} for n, lane in enumerate(lanes)]


def _figures(bare: Way, relay: Way) -> report.Figures:
    figures: report.Figures = {}
    for label, share in (("p50", 0.5), ("p95", 0.95)):
        there, back = percentile(bare.waits, share), percentile(relay.waits, share)
        figures |= {
            f"half_bare_{label}_ms": round(1000 * there),
            f"half_relay_{label}_ms": round(1000 * back),
            f"half_added_{label}_ms": round(1000 * (back - there)),
        }
    return figures
