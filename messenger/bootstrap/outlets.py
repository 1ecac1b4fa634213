"""Where the program may go, as the settings say."""

from messenger.channels.outbound import Outlets, origin_of
from messenger.config import Settings


def outlets(settings: Settings) -> Outlets:
    ways = {("https", 443), *([("http", 80)] if settings.outbound.allow_http else [])}
    return Outlets(ways=frozenset(ways), internal=frozenset(map(origin_of, settings.outbound.internal)))
