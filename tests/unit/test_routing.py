"""The first layer of routing: an account before a keyword before a language before the default; open before closed."""

from datetime import UTC, datetime
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


DESK_A, DESK_B = "@a:x", "@b:x"
OF_A = group(5, "Brand A", accounts=(DESK_A,), keywords=("refund",))
OF_A_TOO = group(6, "Brand A German", accounts=("@A:x",), languages=("de",))
OF_ALL = group(7, "Refunds", keywords=("refund",))
NIGHT = datetime(2026, 11, 24, 22, tzinfo=UTC)
MORNING = datetime(2026, 11, 24, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("account", "language", "text", "expected", "reason"),
    [
        (DESK_A, "en", "Hello", OF_A, "account"),
        (DESK_A, "de", "Hallo", OF_A_TOO, "language:de"),
        (DESK_A, "en", "my refund", OF_A, "keyword"),
        (DESK_B, "en", "my refund", OF_ALL, "keyword"),
        (DESK_B, "de", "Hallo", GERMAN, "language:de"),
        (DESK_B, "en", "Hello", GENERAL, "default"),
    ],
)
def test_an_account_belongs_to_the_groups_that_name_it(
    account: str, language: str, text: str, expected: SkillGroup, reason: str
) -> None:
    arrival = Arrival(language=language, first_text=text, account=account)
    assert route(arrival, (GENERAL, GERMAN, OF_ALL, OF_A, OF_A_TOO)) == Route(expected.id, reason)


def test_of_groups_that_fit_equally_an_open_one_gets_it_and_else_the_first_one_closed() -> None:
    day = group(1, "Day", languages=("de",), hours="Mon-Fri 8-18", is_default=True)
    late = group(2, "Late", languages=("de",), hours="Mon-Fri 18-24")
    at_night = Arrival(language="de", first_text="", at=NIGHT)
    assert route(at_night, (day, late)) == Route(late.id, "language:de")
    assert route(at_night, (day,)) == Route(day.id, "language:de closed")
    assert route(Arrival(language="en", first_text="", at=NIGHT), (day, late)) == Route(day.id, "default closed")
    assert route(Arrival(language="de", first_text="", at=MORNING), (late, day)) == Route(day.id, "language:de")


def test_a_closed_group_keeps_its_keywords() -> None:
    closed = group(2, "Pharmacy", keywords=("Rezept",), hours="Mon-Fri 8-18")
    arrival = Arrival(language="de", first_text="Rezept", at=NIGHT)
    assert route(arrival, (GENERAL, closed)) == Route(closed.id, "keyword closed")
