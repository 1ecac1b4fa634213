"""The first layer of routing: a keyword before a language before the default."""

from uuid import UUID

import pytest

from messenger.domain.ids import GroupId
from messenger.domain.people import SkillGroup
from messenger.domain.routing.rules import Arrival, Route, route


def group(number: int, name: str, **rules: object) -> SkillGroup:
    return SkillGroup(id=GroupId(UUID(int=number)), name=name, **rules)  # type: ignore[arg-type]


GENERAL = group(1, "General", is_default=True)
GERMAN = group(2, "German", languages=("de", "nl"))
PHARMACY = group(3, "Pharmacy", keywords=("Rezept", "处方"))
CLAIMS = group(4, "Claims", keywords=("rezeptgebühr",), languages=("de",))
ALL = (GENERAL, GERMAN, PHARMACY, CLAIMS)


@pytest.mark.parametrize(
    ("language", "text", "expected", "reason"),
    [
        ("en", "Hello", GENERAL, "default"),
        ("de", "Hallo", GERMAN, "language:de"),
        ("nl", "Hoi", GERMAN, "language:nl"),
        ("de", "Mein REZEPT fehlt", PHARMACY, "keyword"),
        ("en", "what is a rezept", PHARMACY, "keyword"),
        ("zh", "我的处方在哪里", PHARMACY, "keyword"),
        ("de", "Rezeptgebühr", PHARMACY, "keyword"),
        ("", "", GENERAL, "default"),
        ("fr", "Bonjour", GENERAL, "default"),
    ],
)
def test_a_keyword_counts_more_than_a_language_and_a_language_more_than_nothing(
    language: str, text: str, expected: SkillGroup, reason: str
) -> None:
    assert route(Arrival(language=language, first_text=text), ALL) == Route(expected.id, reason)


def test_the_first_of_two_fitting_groups_gets_it() -> None:
    arrival = Arrival(language="de", first_text="Hallo")
    assert route(arrival, (CLAIMS, GERMAN)).group == CLAIMS.id
    assert route(arrival, (GERMAN, CLAIMS)).group == GERMAN.id


def test_without_a_default_the_first_group_is_the_default() -> None:
    assert route(Arrival(language="en", first_text="Hello"), (GERMAN, PHARMACY)) == Route(GERMAN.id, "default")


def test_without_any_group_the_error_says_what_to_do() -> None:
    with pytest.raises(LookupError, match="stellwerk group add"):
        route(Arrival(language="en", first_text="Hello"), ())


def test_the_reason_never_quotes_the_customer() -> None:
    secret = "Rezept for syphilis"
    assert secret.split()[0].casefold() not in route(Arrival(language="de", first_text=secret), ALL).reason
