"""The settings of a group: what a person may write, what is stored, and the page that says so."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.domain.group_settings import SETTINGS, Setting, WrongSetting, load, parse, setting, show, store
from messenger.domain.people import DeskLayout, ReplyMode, SkillGroup
from messenger.reference.group_settings import page

KEYS = [setting.key for setting in SETTINGS]
RULES = {"id", "name", "is_default", "languages", "keywords"}


def test_every_setting_is_a_field_of_the_group_and_every_field_a_setting() -> None:
    assert {field.name for field in fields(SkillGroup)} - RULES == set(KEYS)
    assert len(KEYS) == len(set(KEYS))


@pytest.mark.parametrize("declared", SETTINGS, ids=KEYS)
def test_a_default_is_allowed_and_survives_text_and_storage(declared: Setting) -> None:
    stored = json.loads(json.dumps(store({declared.key: declared.default})))
    assert load(stored)[declared.key] == declared.default
    assert parse(declared.key, show(declared.key, declared.default)) == declared.default


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("reply_mode", " Explicit ", ReplyMode.EXPLICIT),
        ("desk_layout", "rooms", DeskLayout.ROOMS),
        ("four_eyes", "yes", True),
        ("announce_preview", "OFF", False),
        ("hold_seconds", "0", 0),
        ("tell_customer", "pause, claim", frozenset({"claim", "pause"})),
        ("tell_customer", "none", frozenset()),
        ("tell_customer", "", frozenset()),
        ("transfer_to", "General,  Prescriptions & more", ("General", "Prescriptions & more")),
        ("transfer_to", "", ()),
        ("required_skills", "claims=3, german = 2", {"claims": 3, "german": 2}),
        ("required_skills", "", {}),
        ("menu_label", "处方 (Rezepte)", "处方 (Rezepte)"),
        ("hours", "Mo-Fr 8-12 Uhr; Sa 9-12", "Mon-Fri 08:00-12:00; Sat 09:00-12:00"),
        ("time_zone", "Asia/Shanghai", "Asia/Shanghai"),
    ],
)
def test_what_a_person_writes_becomes_a_typed_value_that_can_be_stored(key: str, text: str, value: Any) -> None:
    assert parse(key, text) == value
    assert load(json.loads(json.dumps(store({key: value}))))[key] == value
    assert parse(key, show(key, value)) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("reply_mode", "everybody"),
        ("four_eyes", "perhaps"),
        ("hold_seconds", "61"),
        ("hold_seconds", "-1"),
        ("hold_seconds", "5.0"),
        ("hold_seconds", ""),
        ("edit_window_minutes", "1441"),
        ("tell_customer", "claim, birthday"),
        ("required_skills", "claims"),
        ("required_skills", "claims=6"),
        ("required_skills", "claims=1, claims=2"),
        ("required_skills", "=1"),
        ("menu_label", "two\nlines"),
        ("menu_label", "x" * 61),
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "Europe"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("language", "german"),
        ("language", "Deutsch"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_key_and_what_is_allowed(key: str, text: str) -> None:
    with pytest.raises(WrongSetting) as refused:
        parse(key, text)
    assert str(refused.value) == f"{key}: allowed is {setting(key).kind.allowed}"


def test_opening_hours_are_refused_with_the_part_that_is_wrong() -> None:
    with pytest.raises(WrongSetting, match=r"hours: allowed is opening hours such as .*wrong: .*25"):
        parse("hours", "Mon-Fri 8-12; Sat 9-25")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hours", "whenever"),
        ("hold_seconds", True),
        ("hold_seconds", "5"),
        ("hold_seconds", 61),
        ("four_eyes", 1),
        ("device_policy", "none"),
        ("tell_customer", "claim"),
        ("transfer_to", [1]),
        ("required_skills", ["claims"]),
        ("required_skills", {"claims": "3"}),
        ("language", None),
    ],
)
def test_a_stored_value_that_cannot_be_is_never_read_as_the_default(key: str, value: Any) -> None:
    with pytest.raises(WrongSetting, match=key):
        load({key: value})
    with pytest.raises(WrongSetting, match=key):
        store({key: value})


@pytest.mark.parametrize(("typo", "meant"), [("reply-mode", "reply_mode"), ("hold_second", "hold_seconds"),
                                             ("time zone", "time_zone"), ("reopn", "reopen")])  # fmt: skip
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(typo: str, meant: str) -> None:
    with pytest.raises(WrongSetting, match=f"did you mean {meant}"):
        parse(typo, "1")
    with pytest.raises(WrongSetting, match="is no setting of a group"):
        store({typo: 1})


def test_a_key_like_no_other_is_refused_with_the_list() -> None:
    with pytest.raises(WrongSetting, match="there are reply_mode, four_eyes"):
        parse("§", "1")


def test_keys_of_a_newer_version_are_left_alone_when_read() -> None:
    assert load({"of_tomorrow": {"a": 1}}) == {declared.key: declared.default for declared in SETTINGS}


@given(st.sampled_from(KEYS), st.text())
def test_no_text_is_read_as_a_value_that_cannot_be_stored(key: str, text: str) -> None:
    try:
        value = parse(key, text)
    except WrongSetting:
        return
    assert load(json.loads(json.dumps(store({key: value}))))[key] == value
    assert parse(key, show(key, value)) == value


def test_the_reference_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs/reference/group-settings.md"
    assert written.read_text("utf-8") == page(), "run: python -m messenger.reference"
