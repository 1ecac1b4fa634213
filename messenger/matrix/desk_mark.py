"""A number that only grows, in the account data of the desk: a copy of a database that is older than the homeserver's
number was restored or cloned, and its device must not be used. One that is much younger tells that the homeserver
itself was restored.

Each process writes who it is beside the number. Two databases that live at the same time therefore see each other."""

from dataclasses import dataclass
from typing import Literal

from messenger.matrix.batch import as_dict, as_text
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path

TYPE = "net.stellwerk.mark"
Verdict = Literal["fine", "we_are_older", "somebody_else", "homeserver_is_older"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`run` names the process that wrote it. `erasures`: so long was the erasure ledger, for whoever loses both the
    database and the ledger."""

    number: int = 0
    run: str = ""
    erasures: int = 0


def verdict(ours: Mark, theirs: Mark) -> Verdict:
    """`ours` is committed before it is sent there: a number that is one behind says only that a process ended between
    the two. A database without a mark has just begun, with a device of its own."""
    if ours.number == 0:
        return "fine"
    if theirs.number > ours.number:
        return "we_are_older"
    if theirs.number == ours.number and ours.run and theirs.run and theirs.run != ours.run:
        return "somebody_else"
    return "homeserver_is_older" if theirs.number < ours.number - 1 else "fine"


async def read_mark(http: HomeserverClient, account: str) -> Mark:
    try:
        found = as_dict(await http.call("GET", _url(account)))
    except MatrixError as error:
        if error.status == 404:
            return Mark()
        raise
    return Mark(
        number=_number(found.get("mark")), run=as_text(found.get("run")), erasures=_number(found.get("erasures"))
    )


def _number(value: object) -> int:
    """Matrix spec, "Canonical JSON": larger ones are no numbers."""
    return value if type(value) is int and isinstance(value, int) and 0 <= value < 2**53 else 0


async def write_mark(http: HomeserverClient, account: str, mark: Mark) -> None:
    content = {"mark": mark.number, "run": mark.run, "erasures": mark.erasures}
    await http.call("PUT", _url(account), content)


def _url(account: str) -> str:
    return f"{CLIENT}/user/{path(account, 'account_data', TYPE)}"
