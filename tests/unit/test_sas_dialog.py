"""One verification, message by message, with another end that was written from the specification alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from messenger.matrix.verification.dialog import LASTS_S, Cancelled, Dialog, Finished, Say, Show, Step
from messenger.matrix.verification.sas import PublicKeys, Side
from tests.support.sas_peer import ALGORITHMS, CHOSEN, SasPeer

DESK, ANNA, ID = Side(user_id="@desk:x", device_id="DESK"), Side(user_id="@anna:x", device_id="PHONE"), "$request"
OUR_KEYS = {"ed25519:DESK": "desk device key", "ed25519:DESKMASTER": "DESKMASTER"}
HER_KEYS = {"ed25519:PHONE": "anna device key", "ed25519:ANNAMASTER": "ANNAMASTER"}
KNOWN = PublicKeys(device="anna device key", master="ANNAMASTER")


class Anna:
    """A person's app that the desk talks to. `dialog` is the desk's end."""

    def __init__(self, *, we_asked: bool = False, room: str | None = None) -> None:
        theirs = ANNA if not we_asked else Side(user_id=ANNA.user_id, device_id="")
        self.dialog = Dialog(id=ID, ours=DESK, theirs=theirs, room=room, began_at=0.0, we_asked=we_asked)
        self.dialog.keys = KNOWN
        self.peer = SasPeer(ANNA.user_id, ANNA.device_id)
        self.about: dict[str, Any] = self.dialog._about
        self.desk_key = ""

    def start(self, **changed: Any) -> Sequence[Step]:
        self.start_content = {"from_device": "PHONE", "method": "m.sas.v1", **ALGORITHMS, **self.about, **changed}
        return self.dialog.receive("start", self.start_content)

    def accept(self, start: Mapping[str, Any], **changed: Any) -> Sequence[Step]:
        content = {**CHOSEN, "commitment": self.peer.commitment_to(start), **self.about, **changed}
        return self.dialog.receive("accept", content)

    def key(self, key: str | None = None) -> Sequence[Step]:
        return self.dialog.receive("key", {"key": key or self.peer.public, **self.about})

    def mac(self, proved: Mapping[str, str] = HER_KEYS, forged: Mapping[str, Any] | None = None) -> Sequence[Step]:
        content = self.peer.mac(proved, (DESK.user_id, DESK.device_id), ID)
        return self.dialog.receive("mac", {**content, **self.about, **(forged or {})})

    def until_shown(self) -> Show:
        """She starts; both have each other's keys."""
        self.start()
        said, shown = self.key()
        assert isinstance(said, Say) and isinstance(shown, Show)
        self.desk_key = said.content["key"]
        self.peer.agree(self.desk_key)
        return shown


def ended(steps: Sequence[Step]) -> str:
    """The code with which the desk ends it."""
    said, over = steps
    assert isinstance(said, Say) and said.kind == "cancel" and isinstance(over, Cancelled) and over.by_us
    assert said.content["code"] == over.code and said.content["reason"]
    return over.code


def only(steps: Sequence[Step]) -> Say:
    [said] = steps
    assert isinstance(said, Say)
    return said


@pytest.mark.parametrize("room", ["!room", None], ids=["in a room", "between devices"])
def test_both_ends_see_the_same_and_prove_their_keys(room: str | None) -> None:
    anna = Anna(room=room)
    ready = only(anna.dialog.agree())
    assert (ready.kind, ready.content["methods"], ready.content["from_device"]) == ("ready", ["m.sas.v1"], "DESK")
    accepted = only(anna.start())
    assert accepted.kind == "accept" and accepted.content["message_authentication_code"] == "hkdf-hmac-sha256.v2"
    said, shown = anna.key()
    assert isinstance(said, Say) and isinstance(shown, Show)
    desk_key = said.content["key"]
    her_check = SasPeer("@desk:x", "DESK")
    her_check.public = desk_key
    assert accepted.content["commitment"] == her_check.commitment_to(anna.start_content)
    anna.peer.agree(desk_key)
    ends = (("@anna:x", "PHONE", anna.peer.public), ("@desk:x", "DESK", desk_key))
    assert shown.short_string.emoji == anna.peer.emoji(*ends, ID)
    assert shown.short_string.decimals == anna.peer.decimals(*ends, ID)
    proof = only(anna.dialog.prove(OUR_KEYS))
    assert anna.peer.checks(proof.content, OUR_KEYS, ("@desk:x", "DESK"), ID)
    assert only(anna.mac()).kind == "done"
    assert anna.dialog.receive("done", anna.about) == [Finished("PHONE", "ANNAMASTER")]
    assert all(say.content.items() >= anna.about.items() for say in (ready, accepted, said, proof))


def test_the_desk_starts_when_it_has_asked() -> None:
    anna = Anna(we_asked=True, room="!room")
    start = only(anna.dialog.receive("ready", {"from_device": "PHONE", "methods": ["m.sas.v1"], **anna.about}))
    assert start.kind == "start" and start.content["message_authentication_codes"] == ["hkdf-hmac-sha256.v2"]
    desk_key = only(anna.accept(start.content)).content["key"]
    [shown] = anna.key()
    assert isinstance(shown, Show)
    anna.peer.agree(desk_key)
    ends = (("@desk:x", "DESK", desk_key), ("@anna:x", "PHONE", anna.peer.public))
    assert shown.short_string.emoji == anna.peer.emoji(*ends, ID)
    anna.dialog.prove(OUR_KEYS)
    anna.mac()
    assert anna.dialog.receive("done", {}) == [Finished("PHONE", "ANNAMASTER")]


def test_who_accepts_must_have_chosen_the_key_before_the_other_one_was_told() -> None:
    anna = Anna(we_asked=True)
    start = only(anna.dialog.receive("ready", {"from_device": "PHONE", "methods": ["m.sas.v1"]}))
    anna.accept(start.content)
    other = SasPeer(ANNA.user_id, ANNA.device_id, bytes([7] * 32))
    assert ended(anna.key(other.public)) == "m.mismatched_commitment"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"ed25519:PHONE": "a forged key", "ed25519:ANNAMASTER": "ANNAMASTER"}, "m.key_mismatch"),
        ({"ed25519:PHONE": "anna device key", "ed25519:ANNAMASTER": "a forged key"}, "m.key_mismatch"),
        ({"ed25519:ANNAMASTER": "ANNAMASTER"}, "m.key_mismatch"),
        ({}, "m.key_mismatch"),
    ],
    ids=["device", "master key", "no device", "nothing"],
)
def test_keys_that_are_not_those_we_know_end_it(keys: dict[str, str], code: str) -> None:
    anna = Anna()
    anna.until_shown()
    assert ended(anna.mac(keys)) == code
    assert anna.dialog.is_over


@pytest.mark.parametrize("forged", [{"keys": "AAAA"}, {"mac": {"ed25519:PHONE": "é"}}, {"mac": 1}, {"keys": None}])
def test_a_forged_proof_ends_it(forged: dict[str, Any]) -> None:
    anna = Anna()
    anna.until_shown()
    assert ended(anna.mac(forged=forged)) == "m.key_mismatch"


def test_a_device_whose_keys_nobody_knows_proves_nothing() -> None:
    anna = Anna()
    anna.until_shown()
    anna.dialog.keys = None
    assert ended(anna.mac()) == "m.key_mismatch"


def test_somebody_without_an_identity_proves_only_the_device() -> None:
    anna = Anna()
    anna.dialog.keys = PublicKeys(device="anna device key")
    anna.until_shown()
    assert only(anna.mac()).kind == "done"
    assert anna.dialog.receive("done", {}) == [Finished("PHONE", None)]


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "m.qr_code.show.v1"},
        {"message_authentication_codes": ["hkdf-hmac-sha256"]},
        {"key_agreement_protocols": ["curve25519"]},
        {"hashes": []},
        {"short_authentication_string": ["emoji"]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_older_forms_are_refused(changed: dict[str, Any]) -> None:
    assert ended(Anna().start(**changed)) == "m.unknown_method"


def test_an_accept_of_what_was_not_offered_is_refused() -> None:
    anna = Anna(we_asked=True)
    start = only(anna.dialog.receive("ready", {"from_device": "PHONE", "methods": ["m.sas.v1"]}))
    assert ended(anna.accept(start.content, message_authentication_code="hkdf-hmac-sha256")) == "m.unknown_method"


@pytest.mark.parametrize("kind", ["ready", "accept", "key", "mac", "done", "request", "nonsense"])
def test_what_comes_in_the_wrong_order_ends_it(kind: str) -> None:
    assert ended(Anna().dialog.receive(kind, {})) == "m.unexpected_message"


def test_a_message_that_is_repeated_ends_it() -> None:
    anna = Anna()
    anna.until_shown()
    assert ended(anna.key()) == "m.unexpected_message"
    assert anna.mac() == []  # what comes after the end is not heard


def test_when_both_start_the_smaller_name_counts() -> None:
    ours_counts = Anna()
    ours_counts.dialog.theirs = Side(user_id="@zoe:x", device_id="PHONE")
    ours_counts.dialog.start()
    assert ours_counts.start() == []
    hers_counts = Anna()
    hers_counts.dialog.start()
    assert only(hers_counts.start()).kind == "accept"


def test_the_other_side_may_end_it_at_any_time() -> None:
    anna = Anna()
    anna.until_shown()
    assert anna.dialog.receive("cancel", {"code": "m.mismatched_sas"}) == [Cancelled("m.mismatched_sas", by_us=False)]
    assert anna.dialog.is_over


def test_it_ends_after_ten_minutes() -> None:
    anna = Anna()
    assert anna.dialog.expire(LASTS_S - 1) == []
    assert ended(anna.dialog.expire(LASTS_S)) == "m.timeout"


def test_a_key_that_would_make_the_secret_known_is_refused() -> None:
    anna = Anna()
    anna.start()
    assert ended(anna.key("A" * 43)) == "m.invalid_message"
