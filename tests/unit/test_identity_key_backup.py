"""Entries of the key backup: ours come back whole, everybody else's stay out."""

import json
from typing import Any

import pytest
import vodozemac

from messenger.matrix.crypto.canonical import ub64
from messenger.matrix.engine import RoomKey
from messenger.matrix.identity import Identity
from messenger.matrix.identity.backup_version import public_key_of
from messenger.matrix.identity.key_backup import PROOF, open_entry, seal_entry
from tests.unit.identity_device import KeyedDevice, megolm_session

ROOM, PRIVATE = "!room:test", bytes(range(32))


def identity(private: bytes = PRIVATE) -> Identity:
    return Identity(
        mode="created",
        user_id="@desk:test",
        master_key="master" * 7,
        self_signing_seed=bytes(32),
        backup_version="7",
        backup_public_key=public_key_of(private),
        backup_private_key=private,
        recovery_key="EsTc",
    )


@pytest.fixture
def session() -> RoomKey:
    return megolm_session(ROOM, sender=KeyedDevice("@customer:test", "DEVICE"))


def sealed_by_a_stranger(payload: dict[str, Any]) -> dict[str, Any]:
    """What anybody can make who knows the public key of the backup."""
    public = vodozemac.Curve25519PublicKey.from_base64(identity().backup_public_key)
    box = vodozemac.PkEncryption.from_key(public).encrypt(json.dumps(payload).encode())
    data = {"ciphertext": ub64(box.ciphertext), "mac": ub64(box.mac), "ephemeral": ub64(box.ephemeral_key)}
    return {"first_message_index": 0, "forwarded_count": 0, "is_verified": True, "session_data": data}


def payload_of(key: RoomKey) -> dict[str, Any]:
    return {
        "algorithm": "m.megolm.v1.aes-sha2",
        "forwarding_curve25519_key_chain": [],
        "sender_key": key.sender_key,
        "sender_claimed_keys": {"ed25519": key.ed25519},
        "session_key": key.session_key,
        "m.shared_history": True,
    }


def test_a_session_comes_back_as_it_was(session: RoomKey) -> None:
    assert open_entry(ROOM, session.session_id, seal_entry(session, identity()), identity()) == session


def test_the_restored_session_key_is_one_that_decrypts(session: RoomKey) -> None:
    restored = open_entry(ROOM, session.session_id, seal_entry(session, identity()), identity())
    assert restored is not None
    imported = vodozemac.InboundGroupSession.import_session(vodozemac.ExportedSessionKey(restored.session_key))
    assert imported.session_id == session.session_id


def test_an_entry_that_somebody_else_wrote_is_left_out(session: RoomKey) -> None:
    forged = sealed_by_a_stranger(payload_of(session))
    assert open_entry(ROOM, session.session_id, forged, identity()) is None


def test_a_guessed_proof_is_left_out(session: RoomKey) -> None:
    forged = sealed_by_a_stranger({**payload_of(session), PROOF: ub64(bytes(32))})
    assert open_entry(ROOM, session.session_id, forged, identity()) is None


@pytest.mark.parametrize(("room", "session_id"), [("!other:test", None), (ROOM, "another session")])
def test_an_entry_moved_to_another_place_is_left_out(session: RoomKey, room: str, session_id: str | None) -> None:
    entry = seal_entry(session, identity())
    assert open_entry(room, session_id or session.session_id, entry, identity()) is None


def test_an_entry_under_another_key_is_left_out(session: RoomKey) -> None:
    entry = seal_entry(session, identity(bytes(reversed(range(32)))))
    assert open_entry(ROOM, session.session_id, entry, identity()) is None


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        "text",
        {},
        {"session_data": None},
        {"session_data": {"ciphertext": "ü", "mac": "", "ephemeral": ""}},
        {"session_data": {"ciphertext": "AAAA", "mac": "AAAA", "ephemeral": "AAAA"}},
        {"session_data": {"ciphertext": 1}},
    ],
)
def test_a_damaged_entry_is_left_out_without_a_failure(entry: object) -> None:
    assert open_entry(ROOM, "session", entry, identity()) is None


def test_the_entry_shows_the_homeserver_nothing_but_counters(session: RoomKey) -> None:
    text = json.dumps(seal_entry(session, identity()))
    assert session.session_key not in text
    assert session.sender_key not in text
