"""With which versions the desk works, with which it does not, and which are told with a warning."""

import pytest

from messenger.matrix.versions import Fit, judge_homeserver, judge_libraries, judge_nio, judge_vodozemac


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        ("0.26.0", Fit.FITS),
        ("0.26.7", Fit.FITS),
        ("0.26", Fit.FITS),
        ("0.25.2", Fit.WRONG),
        ("0.27.0", Fit.WRONG),  # private methods are used: also a newer series is not the one we know
        ("0.260.0", Fit.WRONG),
        ("1.0.0", Fit.WRONG),
        ("0", Fit.WRONG),
        ("unknown", Fit.WRONG),
        ("", Fit.WRONG),
        (None, Fit.WRONG),
    ],
)
def test_only_the_series_of_nio_that_we_know_is_taken(found: str | None, fit: Fit) -> None:
    verdict = judge_nio(found)
    assert verdict.fit is fit
    assert fit is Fit.FITS or "0.26.x is needed" in verdict.words


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        ("0.10.0", Fit.FITS),
        ("0.10", Fit.FITS),
        ("0.11.2", Fit.FITS),
        ("1.0.0", Fit.FITS),
        ("0.9.9", Fit.WRONG),
        ("0.9", Fit.WRONG),
        ("0", Fit.WRONG),
        ("v0.10.0", Fit.WRONG),
        ("unknown", Fit.WRONG),
        ("", Fit.WRONG),
        (None, Fit.WRONG),
    ],
)
def test_vodozemac_is_new_enough_or_nothing_starts(found: str | None, fit: Fit) -> None:
    verdict = judge_vodozemac(found)
    assert verdict.fit is fit
    assert fit is Fit.FITS or "0.10 or later" in verdict.words


@pytest.mark.parametrize(
    ("version", "fit"),
    [
        ("1.152.0", Fit.WRONG),
        ("1.99.0", Fit.WRONG),
        ("1.152rc1", Fit.WRONG),  # the 1 is no part of the version
        ("1.152", Fit.WRONG),
        ("1.152.1", Fit.FITS),
        ("1.152.1+security", Fit.FITS),
        ("1.153.0rc2", Fit.FITS),
        ("1.163.2 (b=main)", Fit.FITS),
        ("2.0.0", Fit.FITS),
        ("main", Fit.UNTRIED),
        ("", Fit.UNTRIED),
        (None, Fit.UNTRIED),
    ],
)
def test_a_synapse_with_known_holes_is_refused(version: str | None, fit: Fit) -> None:
    verdict = judge_homeserver({"server": {"name": "Synapse", "version": version}})
    assert verdict.fit is fit
    assert fit is Fit.FITS or "1.152.1 or later" in verdict.words


@pytest.mark.parametrize("version", ["0.14.0", "99.0.0", None])
def test_another_homeserver_is_told_whatever_its_version(version: str | None) -> None:
    verdict = judge_homeserver({"server": {"name": "Dendrite", "version": version}})
    assert verdict.fit is Fit.UNTRIED
    assert "Dendrite" in verdict.words and "tested with Synapse only" in verdict.words


@pytest.mark.parametrize("answer", [None, [], "1.163.2", {}, {"server": None}, {"server": []}, {"server": {}}])
def test_a_homeserver_that_does_not_tell_gets_the_benefit_of_the_doubt(answer: object) -> None:
    assert judge_homeserver(answer).fit is Fit.UNTRIED


def test_what_a_homeserver_says_of_itself_is_cut() -> None:
    hostile = judge_homeserver({"server": {"name": "x" * 10_000, "version": "9" * 10_000}})
    assert len(hostile.words) < 200
    assert judge_homeserver({"server": {"name": "Synapse", "version": "9" * 10_000}}).fit is not Fit.WRONG


def test_what_is_installed_here_is_taken() -> None:
    assert {verdict.part: verdict.fit for verdict in judge_libraries()} == {
        "vodozemac": Fit.FITS,
        "matrix-nio": Fit.FITS,
    }
