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
# Names that are settled; a test fails when one of them has come and still stands here.
NOT_YET = {
    "stellwerk_bridge_up": "there are no bridges to other messengers",
    "stellwerk_cert_days": "Stellwerk has no listener with a certificate of its own",
    "stellwerk_http_request_duration_seconds": "there is no API and no web interface",
    "stellwerk_sla_breaches_total": "no time of response is promised",
    "stellwerk_sse_clients": "there is no API and no web interface",
    "stellwerk_survey_score": "customers are not asked how it was",
    "stellwerk_webhook_attempts_total": "there are no webhooks",
}
_TAIL = """
## Not there yet

These names are settled and not served, because what they would count does not exist in this version:

| metric | why not |
|---|---|
"""
_WORDS = {
    id(GROUPS): "name of the group",
    id(DESKS): "number of the desk in the settings",
    id(EFFECTS): "what leaves",
    id(VERSIONS): "version of the program",
}


def page() -> str:
    """The whole page, Markdown."""
    rows = "".join(f"{_row(FAMILIES[name])}\n" for name in sorted(FAMILIES))
    return _HEAD + rows + _TAIL + "".join(f"| `{name}` | {why} |\n" for name, why in NOT_YET.items())


def _row(family: Family) -> str:  # type: ignore[type-arg]
    labels = "; ".join(f"`{label}`: {_values(words)}" for label, words in family.labels.items())
    return f"| `{family.name}` | {family.kind} | {labels} | {family.about} |"


def _values(words: object) -> str:
    if isinstance(words, Alias):
        return _WORDS[id(words)]
    return ", ".join(sorted(getattr(words, "words", ())))
