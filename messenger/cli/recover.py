"""`stellwerk recover-desk`: a new device for a desk whose database was restored."""

from typing import TYPE_CHECKING, Annotated

import typer

from messenger.cli import output
from messenger.cli.options import AsJson, DeskName
from messenger.cli.state import run, settings_of
from messenger.observability.logging import configure_logging

if TYPE_CHECKING:
    from messenger.bootstrap import Recovered


def recover_desk(
    ctx: typer.Context,
    desk: DeskName = None,
    ledger_is_lost: Annotated[
        bool,
        typer.Option(
            "--ledger-is-lost",
            help="Nobody has the newest erasure ledger: who was erased since comes back.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """After a restore: logs in with a new device, signs it with the desk's identity, takes the room keys back, deletes
    all other devices of the account, and compares what was sent with what the homeserver has. Safe to repeat."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    configure_logging(level="warning", style=settings.log.format)
    done = run(bootstrap.recover_desk(settings, settings.desk(desk), ledger_is_lost=ledger_is_lost))
    if as_json:
        output.say(output.dump(output.plain(done)))
    else:
        _tell(done)


def _tell(done: "Recovered") -> None:
    labels = {
        "account": "desk",
        "device_id": "new device",
        "fingerprint": "fingerprint (as before)",
        "deleted_devices": "devices deleted",
        "keys_drained": "keys that waited",
        "keys_restored": "keys from the backup",
        "sent_before": "messages found sent",
        "homeserver_lost_since": "homeserver lacks since",
        "sent_again": "messages to send again",
        "chats_found": "chats found again",
    }
    output.details(done, as_json=False, labels=labels)
    for remark in done.remarks:
        output.warn(remark)
    output.say("The desk can work again: stellwerk serve")
