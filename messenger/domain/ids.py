"""Identities. All are UUIDs made outside the domain; `number_for` makes the one that people read aloud."""

from typing import NewType
from uuid import UUID

ConversationId = NewType("ConversationId", UUID)
ContactId = NewType("ContactId", UUID)
ChatId = NewType("ChatId", UUID)
MessageId = NewType("MessageId", UUID)
GroupId = NewType("GroupId", UUID)
AgentId = NewType("AgentId", UUID)

# Without 0 O 1 I L: read over the phone, written on paper.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_SHORTEST = 4


def number_for(conversation: ConversationId, attempt: int = 0) -> str:
    """`K-4F7Q`: derived from the id, so a repeated command finds the same number, and not sequential, so it tells
    nobody how many conversations there are. `attempt` counts collisions; every third one makes the number a character
    longer."""
    length = _SHORTEST + attempt // 3
    rest, number = conversation.int >> (attempt * 7), ""
    for _ in range(length):
        rest, digit = divmod(rest, len(ALPHABET))
        number += ALPHABET[digit]
    return "K-" + number
