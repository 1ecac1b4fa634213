"""What is written down about who saw or decided what. A row is part of the transaction that does it: there is no
access without its row, and no row of one that was rolled back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Outcome = Literal["allowed", "refused"]

# No spaces, no @ and no +: neither words nor names nor addresses nor numbers to call fit in.
_CODE = re.compile(r"[A-Za-z0-9_.:/-]{0,120}")


class NotACode(ValueError):
    """A text was to go into the audit log, which holds ids and codes only. It does not say which text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`actor`: `agent:<id>`, `shell:<user id>`, `system`. `action`: what was done or asked for, such as
    `conversation.history`. `object`: what it was about, `conversation:<id>`, `contact:<id>`. `purpose`: a code of why.
    `reason`: the code of the rule that allowed or refused it. `words`: what a person gave as their reason; it is
    sealed, and the chain holds its digest. Raises NotACode."""

    actor: str
    action: str
    object: str
    purpose: str
    outcome: Outcome = "allowed"
    reason: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    words: str = ""

    def __post_init__(self) -> None:
        codes = (self.actor, self.action, self.object, self.purpose, self.outcome, self.reason)
        for code in (*codes, *self.details, *self.details.values()):
            if not _CODE.fullmatch(code):
                raise NotACode("the audit log holds ids and codes only")


class AuditPort(Protocol):
    def add(self, entry: AuditEntry) -> None:
        """It is chained as the last step of this unit's transaction, after all other entries of it."""
        ...


class HasAudit(Protocol):
    @property
    def audit(self) -> AuditPort: ...


def audit(
    unit: HasAudit,
    *,
    actor: str,
    action: str,
    object: str,
    purpose: str,
    outcome: Outcome = "allowed",
    reason: str = "",
    words: str = "",
    **details: str,
) -> None:
    """Writes one row with the unit's transaction. Raises NotACode."""
    unit.audit.add(
        AuditEntry(
            actor=actor,
            action=action,
            object=object,
            purpose=purpose,
            outcome=outcome,
            reason=reason,
            words=words,
            details=details,
        )
    )
