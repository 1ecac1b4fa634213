"""Checks on this machine: libraries, key files, disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from messenger.cli.doctor.finding import Finding, fail, found_by, ok, warn
from messenger.cli.output import counted
from messenger.config import Desk, Settings
from messenger.config.secret_files import wrong_with
from messenger.matrix.versions import judge_libraries
from messenger.storage.encryption import BadRootKey, read_root_key
from messenger.storage.erasure_ledger import ErasureLedger, LedgerDamaged
from messenger.storage.signing import read_signing_key

GIB = 1024**3


async def libraries() -> Sequence[Finding]:
    return [found_by(verdict) for verdict in judge_libraries()]


async def root_key(settings: Settings) -> Sequence[Finding]:
    file = settings.security.root_key_file
    if not file.exists():
        words = f"{file} does not exist. Bring your copy back: without it nothing that is stored can be read"
        return [fail("root key", words)]
    try:
        read_root_key(file)
    except BadRootKey as error:
        return [fail("root key", str(error))]
    return [ok("root key", f"{file} is in order. Is there a copy in a safe place?")]


async def secrets(settings: Settings) -> Sequence[Finding]:
    found = [fail(name, wrong) for name, wrong in settings.wrong_secrets() if not name.endswith("root_key_file")]
    return found or [ok("secrets", "no file of a secret can be read by others")]


async def erasure_ledger(settings: Settings) -> Sequence[Finding]:
    """Is it whole, and does its second place have all of it?"""
    file, second, check = settings.erasure_ledger_file(), settings.privacy.erasure_ledger_copy_file, "erasure ledger"
    if not settings.signing_key_file().exists():
        return [ok(check, "empty: nobody was erased")]
    key = read_signing_key(settings.signing_key_file())
    try:
        here = len(ErasureLedger(file, key).lines())
        there = len(ErasureLedger(second, key).lines()) if second is not None else here
    except LedgerDamaged as damaged:
        return [fail(check, str(damaged))]
    if there > here:
        return [fail(check, f"{second} is longer than {file}: stop the service and copy it there")]
    if there < here:
        are = "is" if here - there == 1 else "are"
        some = f"{here - there} of {counted(here, 'entry', 'entries')}"
        return [warn(check, f"{some} {are} not in {second} yet: can it be written to?")]
    words = counted(here, "entry", "entries")
    return [ok(check, words if second else f"{words}; set privacy.erasure_ledger_copy_file: a second place")]


async def checkpoints(settings: Settings) -> Sequence[Finding]:
    """The second place of the audit log: is it one?"""
    check, file, data = "audit checkpoints", settings.checkpoint_file(), settings.server.data_dir
    if settings.audit.room:
        return [ok(check, f"go to {file} and to the room {settings.audit.room}")]
    if _existing(file.parent).stat().st_dev != _existing(data).stat().st_dev:
        return [ok(check, f"go to {file}, on another file system than the data")]
    words = (
        f"{file} lies on the same file system as the data: whoever can change the log there can change them, too. "
        "Set audit.checkpoint_file to another disk or machine, or audit.room"
    )
    return [warn(check, words)]


async def disk(settings: Settings) -> Sequence[Finding]:
    folder = _existing(settings.server.data_dir)
    free = shutil.disk_usage(folder).free
    words = f"{free / GIB:.1f} GiB are free at {folder}"
    if free < GIB // 10:
        return [fail("disk", f"{words}. Make room now: the database stops when the disk is full")]
    if free < 2 * GIB:
        return [warn("disk", f"{words}. Make room soon")]
    return [ok("disk", words)]


async def recovery_keys(settings: Settings) -> Sequence[Finding]:
    if not settings.matrix.desks:
        return [fail("desks", f"no desk is configured. Add a [[matrix.desks]] section to {settings.file}")]
    return [_recovery_key(settings.recovery_key_file(desk), desk) for desk in settings.matrix.desks]


def _recovery_key(file: Path, desk: Desk) -> Finding:
    check = f"recovery key of {desk.user_id}"
    if not file.exists():
        return warn(check, f"{file} does not exist. The first `stellwerk serve` writes it; if that was done, "
                           f"bring your copy back: without it the desk's identity cannot be restored")  # fmt: skip
    if wrong := wrong_with(file):
        return fail(check, wrong)
    return ok(check, f"{file} is in order. Is there a copy in a safe place?")


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
