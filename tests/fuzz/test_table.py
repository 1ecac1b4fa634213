"""Every place of the product that reads what somebody wrote stands in the table of the fuzzers, or says here who tries
it, or why there is nothing to try."""

import ast
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.fuzz.parsers import PARSERS

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "messenger"
# A call of one of these turns somebody's bytes or text into values.
_READS = re.compile(
    r"(?:json|tomllib|tomlkit|plistlib|yaml)\.(?:loads|load|parse)$|^unb64$|b64decode$|fromisoformat$|fromhex$|"
    r"struct\.unpack|urlsplit$|strptime$|from_base64$"
)
# A function of one of these names is a parser, whatever it calls.
_NAMED = re.compile(r"^_?(?:parse|read|clean|decode|detect)(?:$|_)|^chosen$|^leading_number$|^open_entry$")
_PORTS = re.compile(r"(?:^|_)ports\.py$")
_OUTSIDE = ("demo", "channels/testing", "reference", "i18n", "cli/doctor")

# Tried elsewhere: by this test.
ELSEWHERE: Mapping[str, str] = {
    "matrix/crypto/decryption.py:_fields": "integration/test_crypto_fuzz.py::test_malformed_room_events_never_raise",
    "matrix/crypto/decryption.py:_payload": "integration/test_crypto_fuzz.py::test_malformed_room_events_never_raise",
    "matrix/crypto/machine.py:_olm_message": "integration/test_crypto_fuzz.py::"
    "test_malformed_to_device_events_stop_nothing",
    "matrix/verification/dialog.py:_their_key": "unit/test_sas_verifier.py::"
    "test_garbage_ends_at_most_its_own_verification",
    "matrix/gaps.py:read_back": "integration/test_bad_input_fuzz.py::test_whatever_the_answer_is_the_loop_goes_on",
}
# What these read is ours: sealed under our keys, or behind a digest, a MAC or a signature that was checked before; or
# they only hand on what one of the others reads.
OURS = frozenset(
    """
    app/inspection/child.py:main app/inspection/inspector.py:_ask app/inspection/inspector.py:_read
    channels/outbound/client.py:_read app/notices.py:_value_of app/render.py:_shown_field app/render.py:notice
    app/why.py:explained
    bootstrap/recovery.py:_read_waiting channels/contract.py:parse cli/backup.py:parse_args
    config/sections/matrix.py:read_password matrix/crypto/records.py:_load matrix/crypto/store.py:__init__
    matrix/crypto/store.py:without_olm_account matrix/http.py:_read_at_most matrix/identity/key_backup.py:seal_entry
    matrix/sent_index.py:read queries/audit.py:_row queries/person_export.py:_tame storage/continuous.py:_path
    storage/continuous.py:check_base storage/conversation_rows.py:_on_its_way storage/cases.py:opened_tags
    storage/crypto_rows.py:read storage/desk_store.py:parked storage/desk_store.py:read storage/desks.py:load_login
    storage/erased_rows.py:_sender storage/root_keys.py:read storage/routing.py:_rule storage/routing.py:_serving
    storage/routing.py:latest storage/sweep.py:_destroy_queue_keys
    """.split()  # noqa: SIM905 - a list of forty quoted names is harder to read
)


@cache
def functions(file: Path) -> Sequence[tuple[str, ast.AST]]:
    tree = ast.walk(ast.parse(file.read_text("utf-8")))
    return [(node.name, node) for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_parser(name: str, node: ast.AST) -> bool:
    calls = [ast.unparse(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)]
    if any(call.endswith("keys.open") for call in calls):
        return False  # what it reads was sealed by us
    return bool(_NAMED.search(name)) or any(_READS.search(call) for call in calls)


def parsers_of_the_product() -> set[str]:
    files = [
        file for file in PRODUCT.rglob("*.py") if not _name(file).startswith(_OUTSIDE) and not _PORTS.search(file.name)
    ]
    return {f"{_name(file)}:{name}" for file in files for name, node in functions(file) if is_parser(name, node)}


def _name(file: Path) -> str:
    return file.relative_to(PRODUCT).as_posix()


def everything_defined() -> set[str]:
    return {f"{_name(file)}:{name}" for file in PRODUCT.rglob("*.py") for name, _ in functions(file)}


def test_every_parser_is_fuzzed_or_says_why_not() -> None:
    named = {each for parser in PARSERS for each in parser.covers} | ELSEWHERE.keys() | OURS
    assert parsers_of_the_product() - named == set()


def test_what_the_table_names_is_there() -> None:
    named = {each for parser in PARSERS for each in parser.covers} | ELSEWHERE.keys() | OURS
    assert named - everything_defined() == set()
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), test


def test_no_parser_is_named_twice() -> None:
    names = [parser.name for parser in PARSERS]
    assert len(names) == len(set(names))
    assert not OURS & ELSEWHERE.keys()
