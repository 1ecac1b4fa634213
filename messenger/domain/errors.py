"""Refusals. Each class names the text (`text`, an id of the message catalogue) that tells the person what to do.

DomainError
├── NotAllowed             somebody else's right
├── NotYourConversation    only the owner (or a lead)
├── ClaimLost              another agent was first
├── AlreadyYours           nothing to do
├── NotThisConversation    the reference is that of another one
├── NotOffered             this version does not carry the command out
└── NotHeld                the message is not waiting for approval
"""

from datetime import datetime

from messenger.domain.ids import AgentId


class DomainError(Exception):
    text = ""


class NotAllowed(DomainError):
    """Not done: only {who} may {action} here. The text is that of `who`."""

    def __init__(self, *, action: str, who: str) -> None:
        super().__init__(action)
        self.action, self.who = action, who


class NotYourConversation(DomainError):
    """Not done: only the owner may {action} here."""

    text = "S10c.owner"

    def __init__(self, *, action: str, owner: AgentId | None) -> None:
        super().__init__(action)
        self.action, self.owner = action, owner


class ClaimLost(DomainError):
    """{owner} was first. Your claim was removed."""

    text = "S3b"

    def __init__(self, *, owner: AgentId, at: datetime | None) -> None:
        super().__init__()
        self.owner, self.at = owner, at


class AlreadyYours(DomainError):
    """You own this conversation already."""

    text = "S10c.yours"


class NotThisConversation(DomainError):
    """Not done: you named another conversation, and this is {ref}."""

    text = "S10c.other"


class NotOffered(DomainError):
    """Not done: !{action} is not available in this version."""

    text = "S10d"

    def __init__(self, *, action: str) -> None:
        super().__init__(action)
        self.action = action


class NotHeld(DomainError):
    """There is no message that waits for approval."""

    text = "S10c.not_held"
