"""Items and effects as JSON bytes, by the name of their class. The only place that knows how queue bodies look."""

from typing import Any, get_args

from pydantic import TypeAdapter

from messenger.app.access import EFFECTS
from messenger.app.effects.base import Effect
from messenger.app.items import Item
from messenger.app.records import StoredBody
from messenger.domain.events import NAMES, Event
from messenger.storage.encryption import CannotOpen

_ITEMS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Item)}
_EFFECTS: dict[str, type[Any]] = {kind.__name__: kind for kind in EFFECTS}
EFFECT_NAMES = frozenset(_EFFECTS)

# What a body raises that was changed, or that another version of the program wrote: it never opens, whoever tries.
UNREADABLE = (CannotOpen, LookupError, ValueError)


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once for each class: building one costs more than using it a thousand times."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def dump(value: object) -> bytes:
    return _adapter(type(value)).dump_json(value)


def load_item(kind: str, raw: bytes) -> Item:
    item: Item = _adapter(_ITEMS[kind]).validate_json(raw)
    return item


def load_effect(kind: str, raw: bytes) -> Effect:
    effect: Effect = _adapter(_EFFECTS[kind]).validate_json(raw)
    return effect


def load_body(raw: bytes) -> StoredBody:
    body: StoredBody = _adapter(StoredBody).validate_json(raw)
    return body


def event_ids(event: Event) -> dict[str, Any]:
    ids: dict[str, Any] = _adapter(type(event)).dump_python(event, mode="json")
    return ids


def load_event(kind: str, ids: dict[str, Any]) -> Event:
    event: Event = _adapter(NAMES[kind]).validate_python(ids)
    return event
