"""The page of the metrics."""

from messenger.observability.families import Alias, Family
from messenger.observability.metrics import DESKS, EFFECTS, FAMILIES, GROUPS, VERSIONS

_HEAD = """<!-- Made by `python -m messenger.reference`; a test compares. Do not edit. -->
# Metrics

At `/metrics` of the address `web.metrics_listen` ([monitoring](../how-to/monitoring.md)). Labels have closed lists of
values; what is not on the list is counted as `other`. None of them is an id, a person, a room or a conversation.

| metric | kind | labels | meaning |
|---|---|---|---|
"""
_WORDS = {
    id(GROUPS): "name of the group",
    id(DESKS): "number of the desk in the settings",
    id(EFFECTS): "what leaves",
    id(VERSIONS): "version of the program",
}


def page() -> str:
    """The whole page, Markdown."""
    return _HEAD + "\n".join(_row(FAMILIES[name]) for name in sorted(FAMILIES)) + "\n"


def _row(family: Family) -> str:  # type: ignore[type-arg]
    labels = "; ".join(f"`{label}`: {_values(words)}" for label, words in family.labels.items())
    return f"| `{family.name}` | {family.kind} | {labels} | {family.about} |"


def _values(words: object) -> str:
    if isinstance(words, Alias):
        return _WORDS[id(words)]
    return ", ".join(sorted(getattr(words, "words", ())))
