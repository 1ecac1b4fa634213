"""What each verb asks for, in the words of the gate. A test takes the verbs from the program itself: a new one without
a policy fails it.

Whoever can start a verb holds the settings and the root key, so the operating system is the first gate here; `cli.gate`
asks for the policy when a verb is run. The operator acts as an administrator and sees no content. A verb about a
person's data is done in the name of somebody who has the right for it (`bootstrap.acting`)."""

from collections.abc import Mapping

from messenger.domain.access import Action

VERBS: Mapping[str, Action] = {
    "version": Action.OPERATE,
    "init": Action.OPERATE,
    "serve": Action.OPERATE,
    "demo": Action.OPERATE,
    "doctor": Action.OPERATE,
    "migrate up": Action.OPERATE,
    "migrate status": Action.OPERATE,
    "migrate sql": Action.OPERATE,
    "config schema": Action.OPERATE,
    "config check": Action.OPERATE,
    "desk show": Action.OPERATE,
    "desk well-known": Action.OPERATE,
    "trust list": Action.CONFIGURE,
    "trust accept": Action.CONFIGURE,
    "trust remove": Action.CONFIGURE,
    "group add": Action.CONFIGURE,
    "group list": Action.CONFIGURE,
    "group show": Action.CONFIGURE,
    "group set": Action.CONFIGURE,
    "group member add": Action.CONFIGURE,
    "group member remove": Action.CONFIGURE,
    "group member list": Action.CONFIGURE,
    "group rule add": Action.CONFIGURE,
    "group rule list": Action.CONFIGURE,
    "agent add": Action.CONFIGURE,
    "agent list": Action.CONFIGURE,
    "agent role": Action.CONFIGURE,
    "agent disable": Action.CONFIGURE,
    "agent skill": Action.CONFIGURE,
    "agent capacity": Action.CONFIGURE,
    "agent status": Action.CONFIGURE,
    "conversation list": Action.OVERSEE,
    "conversation show": Action.OVERSEE,
    "conversation why": Action.OVERSEE,
    "contact list": Action.OVERSEE,
    "contact show": Action.OVERSEE,
    "contact consent": Action.CONFIGURE,
    "contact hold": Action.RESTRICT,
    "contact release": Action.RESTRICT,
    "contact restrict": Action.RESTRICT,
    "contact unrestrict": Action.RESTRICT,
    "contact requests": Action.RESTRICT,
    "contact approve": Action.ERASE,
    "contact erase": Action.ERASE,
    "contact erasure": Action.ERASE,
    "contact export": Action.EXPORT,
    "contact verify-certificate": Action.OPERATE,
    "contact signing-key": Action.OPERATE,
    "audit verify": Action.AUDIT,
    "audit list": Action.AUDIT,
    "audit export": Action.AUDIT,
    "audit renew-key": Action.OPERATE,
    **{f"deadletter {verb}": Action.OPERATE for verb in ("list", "show", "retry", "drop")},
    **{f"flood {verb}": Action.OPERATE for verb in ("list", "admit", "drop")},
    "keys rotate": Action.OPERATE,
    "keys status": Action.OPERATE,
    "backup make": Action.OPERATE,
    "backup verify": Action.OPERATE,
    "backup continuous": Action.OPERATE,
    "restore": Action.OPERATE,
    "retention run": Action.OPERATE,
    "drill": Action.OPERATE,
    "recover-desk": Action.OPERATE,
}

# These ask themselves, about the person whom they are about.
IN_THEIR_OWN = frozenset(
    f"contact {verb}" for verb in ("hold", "release", "restrict", "unrestrict", "approve", "erase", "export")
)
