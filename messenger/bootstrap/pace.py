"""How fast customers are let in, as the settings say."""

from messenger.app.pace import Pace
from messenger.config import Settings
from messenger.domain.limits import Limit, Scope


def pace(settings: Settings) -> Pace:
    limits = settings.limits
    wanted = {
        Scope.CONTACT: (limits.contact_per_minute, limits.contact_burst),
        Scope.SERVER: (limits.server_per_minute, limits.server_per_minute),
        Scope.ACCOUNT: (limits.account_per_minute, limits.account_per_minute),
        Scope.GROUP: (limits.group_per_minute, limits.group_per_minute),
    }
    made = {scope: Limit(per_minute=rate, burst=burst) for scope, (rate, burst) in wanted.items() if rate}
    return Pace(limits=made, backlog=limits.flood_messages)
