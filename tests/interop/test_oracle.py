"""The oracle itself: two devices of Element's engine understand each other, so a failure elsewhere is not its fault."""

import asyncio
import hashlib
import secrets
from pathlib import Path

import pytest

from messenger.demo.synapse import Synapse
from tests.interop.conftest import StartElement
from tests.interop.oracle import Element, ElementError

pytestmark = pytest.mark.oracle


async def two_people(synapse: Synapse, element: StartElement) -> tuple[Element, Element, str]:
    """Two people in an encrypted room, both aware of each other."""
    tag = secrets.token_hex(4)
    accounts = [await synapse.register(f"{name}{tag}") for name in ("anna", "bob")]
    anna, bob = await asyncio.gather(*(element(account, isolation="signed") for account in accounts))
    room = await anna.create_room(invite=(bob.user_id,))
    await bob.is_invited(room)
    await bob.join(room)
    await anna.sees_member(room, bob.user_id)
    return anna, bob, room


async def test_two_devices_exchange_texts_threads_and_files(
    synapse: Synapse, element: StartElement, tmp_path: Path
) -> None:
    anna, bob, room = await two_people(synapse, element)
    root = await anna.send(room, "hello äöü 你好 🎉")
    assert (await bob.sees(root))["encrypted"]
    reply = await anna_sees_threaded_reply(anna, bob, room, root)
    assert await anna.shield(room, reply) == ("NONE", None)
    letter = tmp_path / "Brief ä.pdf"
    letter.write_bytes(secrets.token_bytes(300_000))
    sent = await anna.send_file(room, letter, mime="application/pdf")
    await bob.sees(sent)
    assert await bob.sha256_of_file(room, sent) == hashlib.sha256(letter.read_bytes()).hexdigest()
    assert anna.undecryptable == bob.undecryptable == []


async def anna_sees_threaded_reply(anna: Element, bob: Element, room: str, root: str) -> str:
    reply = await bob.send(room, "in the thread", thread=root)
    assert (await anna.sees(reply))["thread"] == root
    return reply


async def test_an_unknown_command_is_an_error_and_not_a_hang(synapse: Synapse, element: StartElement) -> None:
    anna = await element(await synapse.register(f"anna{secrets.token_hex(4)}"))
    with pytest.raises(ElementError, match="no command dance"):
        await anna.do("dance")


async def test_a_device_that_died_is_an_error_and_not_a_hang(synapse: Synapse, element: StartElement) -> None:
    anna = await element(await synapse.register(f"anna{secrets.token_hex(4)}"))
    anna._process.kill()
    with pytest.raises(ElementError, match="ended"):
        await anna.do("rooms")
