"""What the desk asks or tells people about keys: which doubts keep a room waiting, and which are only told."""

# Nothing leaves in the room until a lead or an operator has decided, or the cause has gone.
PAUSING = frozenset({"unsigned_device", "identity_changed", "unexpected_member", "encryption_off"})
# Keeps nothing waiting, but what a lead answers is carried out: the new identity is theirs, or they are taken out.
APPROVED = frozenset({"customer_identity", "returned_member"})


def is_told_only(cause: str) -> bool:
    """What was tried has been refused already. The people are to know; what they answer is that they do."""
    return cause not in PAUSING | APPROVED
