"""The numbered menu: when it is offered, and what an answer to it means."""

import pytest

from messenger.domain.people import SkillGroup
from messenger.domain.routing.menu import Choice, choices, menu_for, read_choice
from messenger.domain.routing.rules import Arrival
from tests.unit.test_routing import group

GENERAL = group(1, "General", is_default=True)
BILLS = group(2, "Billing", menu_label="A bill", keywords=("invoice",), languages=("de",))
DOSES = group(3, "Pharmacy", menu_label="Medicines")
OTHER = group(4, "Everything", menu_label="Something else")
OF_A = group(5, "Brand A", accounts=("@a:x",), menu_label="Brand A")
MENU = (Choice(BILLS.id, "A bill"), Choice(DOSES.id, "Medicines"), Choice(OTHER.id, "Something else"))


@pytest.mark.parametrize(
    ("language", "text", "account", "groups", "offered"),
    [
        ("en", "Hello", "@b:x", (GENERAL, BILLS, DOSES), (BILLS, DOSES)),
        ("de", "Hallo", "@b:x", (GENERAL, BILLS, DOSES), (BILLS, DOSES)),
        ("en", "Hello", "@b:x", (GENERAL, BILLS), ()),
        ("en", "Hello", "@b:x", (GENERAL,), ()),
        ("en", "my invoice", "@b:x", (GENERAL, BILLS, DOSES), ()),
        ("en", "Hello", "@a:x", (GENERAL, BILLS, DOSES, OF_A), ()),
        ("en", "Hello", "@b:x", (GENERAL, BILLS, DOSES, OF_A), (BILLS, DOSES)),
    ],
    ids=["two labels", "a language does not decide", "one label", "none", "a keyword", "an account", "not of others"],
)
def test_the_menu_is_offered_where_the_customer_must_choose(
    language: str, text: str, account: str, groups: tuple[SkillGroup, ...], offered: tuple[SkillGroup, ...]
) -> None:
    arrival = Arrival(language=language, first_text=text, account=account)
    assert list(menu_for(arrival, groups)) == [each.id for each in offered]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2", DOSES),
        ("2.", DOSES),
        ("(2)", DOSES),
        ("2)", DOSES),
        ("#2", DOSES),
        (" ２ ", DOSES),
        ("２。", DOSES),
        ("medicines", DOSES),
        ("Medicines!", DOSES),
        ("2. Medicines", DOSES),
        ("2 medicines", DOSES),
        ("something  ELSE", OTHER),
        ("1", BILLS),
        ("0", None),
        ("4", None),
        ("22", None),
        ("2 pills a day", None),
        ("2. A bill", None),
        ("2 or 3", None),
        ("two", None),
        ("bill", None),
        ("I lost my medicines", None),
        ("", None),
        ("  ", None),
    ],
)
def test_an_answer_is_a_number_or_a_label_and_nothing_else(said: str, meant: SkillGroup | None) -> None:
    assert read_choice(said, MENU) == (meant.id if meant else None)


def test_of_two_equal_labels_only_the_number_tells() -> None:
    twins = (Choice(BILLS.id, "Help"), Choice(DOSES.id, "help"))
    assert read_choice("help", twins) is None
    assert read_choice("2", twins) == DOSES.id


def test_numbers_stay_what_they_were_when_groups_change() -> None:
    renamed = group(2, "Billing")
    offered = choices([DOSES.id, BILLS.id], (GENERAL, renamed, OTHER, DOSES))
    assert offered == [Choice(DOSES.id, "Medicines"), Choice(BILLS.id, "Billing")]
