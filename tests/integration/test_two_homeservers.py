"""A customer whose account is on another homeserver, which talks to ours over TLS as servers do."""

import datetime
import json
import secrets
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from messenger.demo.child import free_port
from messenger.demo.synapse import Synapse
from tests.support.homeservers import CHEAP
from tests.support.people import Person
from tests.support.product import Product
from tests.support.warm import run_warm

pytestmark = pytest.mark.long


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Signed by itself, for this machine. Neither of the two servers looks at it."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = folder / "tls.crt", folder / "tls.key"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


class _Federating(Synapse):
    """Its name is the address at which it listens for other servers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._outside, (certificate, key) = free_port(None), _certificate(folder)
        own = {
            **CHEAP,
            "send_federation": True,
            "federation_verify_certificates": False,
            "ip_range_blacklist": [],
            "federation_ip_range_blacklist": [],
            "tls_certificate_path": str(certificate),
            "tls_private_key_path": str(key),
        }
        super().__init__(folder, server_name=f"localhost:{self._outside}", extra=own)

    def _configuration(self) -> dict[str, Any]:
        inside = super()._configuration()
        del inside["federation_domain_whitelist"]
        outside = {
            "port": self._outside,
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "tls": True,
            "resources": [{"names": ["federation"], "compress": False}],
        }
        return {**inside, "listeners": [*inside["listeners"], outside]}


@dataclass
class TwoHouses:
    product: Product
    home: Synapse
    abroad: Synapse


@pytest.fixture
async def houses(tmp_path: Path, database_url: str) -> AsyncIterator[TwoHouses]:
    home, abroad = _Federating(tmp_path / "home"), _Federating(tmp_path / "abroad")
    await home.start()
    await abroad.start()
    product = await Product.install(tmp_path / "stellwerk", home, database_url)
    yield TwoHouses(product, home, abroad)
    await product.stop()
    await abroad.stop()
    await home.stop()


async def _person(server: Synapse, name: str) -> Person:
    account = await server.register(f"{name}-{secrets.token_hex(3)}")
    return await Person.log_in(server.url, account.user_id, account.password, name=name)


async def _stellwerk(product: Product, *arguments: str) -> None:
    code, said = await run_warm("messenger.cli", "--config", str(product.settings_file), *arguments, cwd=product.folder)
    assert code == 0, said


async def test_somebody_from_abroad_gets_their_data_and_a_certificate_that_names_their_server(
    houses: TwoHouses, tmp_path: Path
) -> None:
    product, desk = houses.product, houses.product.desk
    ben, here, anna = [
        await _person(server, name)
        for server, name in ((houses.home, "ben"), (houses.home, "anna"), (houses.abroad, "anna"))
    ]
    await product.add_group("General", [(ben.user_id, "Ben Li", "agent")], default=True)
    await product.start()
    room = await product.group_room("General")
    for person, words in ((here, "from home"), (anna, "from abroad")):
        chat = await person.start_direct_chat(desk)
        await person.say(chat, f"Apple {words}")
        await ben.wait_for(room, lambda seen, words=words: words in seen.body, timeout_s=120)  # type: ignore[misc]
    for person, words, servers in ((anna, "abroad", [houses.abroad.server_name]), (here, "home", None)):
        archive, certificate = tmp_path / f"{words}.zip", tmp_path / f"{words}.json"
        await _stellwerk(product, "contact", "export", person.user_id, "-o", str(archive))
        with zipfile.ZipFile(archive) as opened:
            data = opened.read("data.json").decode()
        assert f"Apple from {words}" in data and person.user_id in data
        await _stellwerk(product, "contact", "erase", person.user_id, "--yes", "-o", str(certificate))
        places = {place["place"]: place for place in json.loads(certificate.read_text())["places"]}
        assert places.get("foreign_servers", {}).get("servers") == servers
    for each in (ben, here, anna):
        await each.leave()
