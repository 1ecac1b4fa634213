"""`stellwerk contact`: the rights of a person. Reasons are short codes; who orders is written down."""

import getpass
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from messenger.cli import output
from messenger.cli.options import AsJson, StaffId
from messenger.cli.state import Failed, run, settings_of
from messenger.config import Settings

if TYPE_CHECKING:
    from messenger.bootstrap.rights import ErasureState, PersonsRights

_CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_T = TypeVar("_T")


def code(value: str) -> str:
    """A text could hold what must stay sealed."""
    if not _CODE.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no short code such as court-2026 or request-17")
    return value


def _is_name(value: str | None) -> str | None:
    if value is not None and not _NAME.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no short name such as anna.k")
    return value


Reason = Annotated[str, typer.Option("--reason", "-r", help="Why: a short code, such as court-2026.", callback=code)]
By = Annotated[
    str | None,
    typer.Option("--as", help="Who orders it; without it the user of this machine.", callback=_is_name),
]


def operator(given: str | None) -> str:
    """The person at the terminal, also behind sudo."""
    return given or os.environ.get("SUDO_USER") or getpass.getuser()


def with_rights(ctx: typer.Context, work: "Callable[[PersonsRights], Awaitable[_T]]") -> _T:
    return run(_with_rights(settings_of(ctx), work))


async def _with_rights(settings: Settings, work: "Callable[[PersonsRights], Awaitable[_T]]") -> _T:
    from messenger.bootstrap.rights import open_rights  # late: `--help` must be quick

    async with open_rights(settings) as rights:
        return await work(rights)


def hold(ctx: typer.Context, address: StaffId, reason: Reason, by: By = None) -> None:
    """Legal hold: nothing of this person is erased, whatever is asked and however old it is."""
    with_rights(ctx, lambda rights: rights.hold(address, reason, operator(by)))
    output.say(f"Nothing of {address} is erased until `contact release`.")


def release(ctx: typer.Context, address: StaffId, reason: Reason, by: By = None) -> None:
    """Ends a legal hold."""
    with_rights(ctx, lambda rights: rights.release(address, reason, operator(by)))
    output.say(f"The legal hold on {address} has ended.")


def restrict(ctx: typer.Context, address: StaffId, reason: Reason, by: By = None) -> None:
    """Restricts the processing: conversations go out of sight and stand still; what the person writes waits."""
    with_rights(ctx, lambda rights: rights.restrict(address, reason, operator(by)))
    output.say(f"Nobody works with the data of {address} until `contact unrestrict`.")


def unrestrict(ctx: typer.Context, address: StaffId, reason: Reason, by: By = None) -> None:
    """Ends a restriction: what has waited is due."""
    with_rights(ctx, lambda rights: rights.unrestrict(address, reason, operator(by)))
    output.say(f"The data of {address} are processed again.")


def approve(
    ctx: typer.Context,
    request: Annotated[str, typer.Argument(metavar="ID", help="From `contact requests`.")],
    by: By = None,
) -> None:
    """Approves what somebody else has asked for: an export or an erasure, when `privacy.four_eyes` is set."""
    approved = with_rights(ctx, lambda rights: rights.approve(request, operator(by)))
    output.say(
        f"Approved: {approved.asked_by} may {approved.kind} {approved.address} until {approved.expires_at:%F %H:%M}."
    )


def requests(ctx: typer.Context, as_json: AsJson = False) -> None:
    """What waits for approval, or is approved and not used yet."""
    columns = {
        "id": "request",
        "kind": "kind",
        "address": "person",
        "asked_by": "asked by",
        "expires_at": "until",
        "approved_by": "approved by",
    }
    rows = with_rights(ctx, lambda rights: rights.requests())
    output.listing(rows, columns, as_json=as_json, empty="No request is open.")


def erase(
    ctx: typer.Context,
    address: StaffId,
    certificate: Annotated[Path | None, typer.Option("--certificate", "-o", help="Where the certificate goes.")] = None,
    patience: Annotated[float, typer.Option("--patience", min=1, help="So many seconds it is waited for.")] = 120.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: By = None,
) -> None:
    """Erases a person: destroys their keys, removes their words here and in Matrix, and certifies it. For ever."""
    file = certificate or Path(f"erasure-{os.urandom(4).hex()}.json")
    if file.exists():
        raise Failed(f"{file} exists: name another file for the certificate")
    if not yes:
        typer.confirm(f"Erase everything of {address}? Nobody can bring it back", abort=True)
    state = with_rights(ctx, lambda rights: _erase(rights, address, operator(by), patience))
    _tell(state, file)


async def _erase(rights: "PersonsRights", address: str, by: str, patience_s: float) -> "ErasureState":
    id = await rights.erase(address, by)
    return await rights.carry_out(id, patience_s=patience_s)


def erasure(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="As `contact erase` has told it.")],
    certificate: Annotated[Path | None, typer.Option("--certificate", "-o", help="Where the certificate goes.")] = None,
    as_json: AsJson = False,
) -> None:
    """How an erasure stands; writes its certificate."""
    from uuid import UUID

    try:
        number = UUID(id)
    except ValueError:
        raise typer.BadParameter(f"{id!r} is no id of an erasure") from None
    state = with_rights(ctx, lambda rights: rights.state(number))
    if certificate is not None and state.certificate is not None:
        return _tell(state, certificate)
    output.details(
        state,
        as_json=as_json,
        labels={"id": "erasure", "step": "next step", "waits_for": "waits for", "done_at": "done"},
    )


def verify_certificate(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate of an erasure.")],
    key: Annotated[
        str | None, typer.Option("--key", help="The public key, in hexadecimal; without it this installation's.")
    ] = None,
) -> None:
    """Says whether a certificate is what the installation with this key has signed."""
    from messenger.bootstrap.rights import certificate_fault

    expected = key or public_key(settings_of(ctx))
    fault = certificate_fault(file, expected)
    if fault:
        raise Failed(f"{file}: {fault}")
    output.say(f"{file} is genuine: signed with {expected}.")


def signing_key(ctx: typer.Context) -> None:
    """The public key, in hexadecimal, that certificates are signed with: publish it."""
    output.say(public_key(settings_of(ctx)))


def public_key(settings: Settings) -> str:
    from messenger.bootstrap.erasures import signing_key as key_of

    return key_of(settings).public


def _tell(state: "ErasureState", file: Path) -> None:
    if state.done_at is None:
        output.warn(f"not done yet: {state.step} waits ({state.waits_for or 'for the desk'}); it goes on by itself")
        output.say(f"stellwerk contact erasure {state.id} --certificate {file}")
        raise typer.Exit(1)
    write_once(file, json.dumps(state.certificate, indent=2, ensure_ascii=False).encode() + b"\n")
    output.say(f"Erased. The certificate is in {file}.")
    for place in (state.certificate or {}).get("places", ()):
        count = f" ({place['count']})" if "count" in place else ""
        output.say(f"  {place['outcome']:<10}  {place['place']}{count}: {place['why']}")


def write_once(file: Path, data: bytes) -> None:
    """Readable for nobody else; never over another file."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise Failed(f"{file} exists: name another file") from None
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def export(
    ctx: typer.Context,
    address: StaffId,
    file: Annotated[Path, typer.Option("--output", "-o", help="The archive; a file that is not there yet.")],
    by: By = None,
) -> None:
    """Everything that is stored about a person, as one archive: for machines, for people, with all files."""
    made = with_rights(ctx, lambda rights: rights.export(address, operator(by), file))
    output.say(
        f"{file}: {output.counted(made.conversations, 'conversation')}, "
        f"{output.counted(made.messages, 'message')}, {output.counted(made.files, 'file')}, "
        f"{made.bytes / 1e6:.1f} MB. Nobody else on this machine can read it; hand it over and delete it."
    )
    if made.missing:
        output.warn(f"{output.counted(made.missing, 'file is', 'files are')} named but not in it; data.json says why")
    if made.with_warnings:
        risky = output.counted(made.with_warnings, "file is", "files are")
        output.warn(f"{risky} to be opened with care or not at all; its page says which, and why")


def add_to(app: typer.Typer) -> None:
    for verb in (hold, release, restrict, unrestrict, approve, requests, export, erase, erasure):
        app.command(verb.__name__)(verb)
    app.command("verify-certificate")(verify_certificate)
    app.command("signing-key")(signing_key)
