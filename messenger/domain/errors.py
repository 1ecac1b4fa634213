"""Refusals. Each class names the text (`text`, an id of the message catalogue) that tells the person what to do.

DomainError
├── NotAllowed             somebody else's right
├── NotYourConversation    only the owner (or a lead)
├── ClaimLost              another agent was first
├── AlreadyYours           nothing to do
├── AlreadyTheirs          the colleague has it already
├── AlreadyInRoom          it has a room of its own already
├── NotNow                 the conversation is in another state
├── NotThisConversation    the reference is that of another one
├── NotOffered             this version does not carry the command out
├── NobodyNamed            no colleague of this name
├── NotHeld                the message is not waiting for approval
├── CannotUndo             there is nothing to take back, or not any more
├── OwnDraft               four eyes: the author cannot approve
├── RoomUnsafe             the customer's room is not safe any more
├── CannotAnswer           the colleague may only read and note
├── TransferForbidden      this group does not hand over to that one
├── NoConsent              the contact has not agreed to be written to
└── Blocked                nobody works on it
    ├── ProcessingRestricted   the person's data are kept and not used
    └── PersonErased           there is nothing left of it
"""

from datetime import datetime

from messenger.domain.ids import AgentId, ConversationId


class DomainError(Exception):
    text = ""


class NotAllowed(DomainError):
    """Not done: only {who} may {action} here. The text is that of `who`."""

    def __init__(self, *, action: str, who: str) -> None:
        super().__init__(action)
        self.action, self.who = action, who


class NotYourConversation(DomainError):
    """Not done: only the owner may {action} here, or a lead in the owner's stead, except to speak to the customer
    (`is_owners_alone`)."""

    def __init__(self, *, action: str, owner: AgentId | None, is_owners_alone: bool = False) -> None:
        super().__init__(action)
        self.action, self.owner = action, owner
        self.text = "S10c.owner_only" if is_owners_alone else "S10c.owner"


class ClaimLost(DomainError):
    """{owner} was first. Your claim was removed."""

    text = "S3b"

    def __init__(self, *, owner: AgentId, at: datetime | None) -> None:
        super().__init__()
        self.owner, self.at = owner, at


class AlreadyYours(DomainError):
    """You own this conversation already."""

    text = "S10c.yours"


class AlreadyTheirs(DomainError):
    """They own this conversation already."""

    text = "S10c.theirs"


class AlreadyInRoom(DomainError):
    """This conversation has a room of its own already."""

    text = "S10c.in_room"


class NotInRoom(DomainError):
    """This conversation has no room of its own whose members could be chosen."""

    text = "S10c.no_room"


class AlreadyMember(DomainError):
    """Not done: they are in this room already."""

    text = "S10c.member"


class NotAMember(DomainError):
    """Not done: they are not in this room."""

    text = "S10c.no_member"


class OwnerStays(DomainError):
    """Not done: whoever owns the conversation stays in its room."""

    text = "S10c.owner_stays"


class NotThisConversation(DomainError):
    """Not done: you named another conversation, and this is {ref}."""

    text = "S10c.other"


class NotOffered(DomainError):
    """Not done: !{action} is not available in this version."""

    text = "S10d"

    def __init__(self, *, action: str) -> None:
        super().__init__(action)
        self.action = action


class NobodyNamed(DomainError):
    """Not done: there is no colleague of this name, or several."""

    text = "S10c.nobody_named"


class NotNow(DomainError):
    """The conversation is {state}; then this cannot be done. The text is that of the state."""

    def __init__(self, *, action: str, state: str) -> None:
        super().__init__(f"{action} while {state}")
        self.action, self.state = action, state


class NotHeld(DomainError):
    """There is no message that waits for approval."""

    text = "S10c.not_held"


class CannotUndo(DomainError):
    """Not done: this cannot be taken back. `reason`: `nothing` (no step of yours), `late`, `changed` (somebody went on
    since), `not_simple` (one command does not lead back)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.text = f"undo.{reason}"


class OwnDraft(DomainError):
    """You wrote this and cannot approve it: somebody else must."""

    text = "S9.own"


class RoomUnsafe(DomainError):
    """Not sent: the encryption of the customer's room is not what it was."""

    text = "S8.unsafe"


class CannotAnswer(DomainError):
    """This colleague may read and note, but not answer customers here."""

    text = "S10c.cannot_answer"


class TransferForbidden(DomainError):
    """Not done: this group may not transfer to that one."""

    text = "S17.forbidden"


class NoConsent(DomainError):
    """Not done: this person has not agreed to be written to."""

    text = "start.no_consent"


class Blocked(DomainError):
    """Nobody works on this conversation, whatever was asked."""

    def __init__(self, conversation: ConversationId | None = None) -> None:
        super().__init__()
        self.conversation = conversation


class ProcessingRestricted(Blocked):
    """Not done: the processing of this person's data is restricted. What they write is kept and waits."""

    text = "rights.restricted"


class PersonErased(Blocked):
    """Not done: this person's data were erased."""

    text = "rights.erased"
