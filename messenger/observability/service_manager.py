"""sd_notify(3), for units of `Type=notify`. Without systemd it does nothing."""

import os
import socket


def notify_service_manager(message: str) -> None:
    """`READY=1`, `STOPPING=1`, `WATCHDOG=1`. A service manager that does not listen is no reason to end, nor to wait:
    for a change of state a second, for a watchdog's tick, which comes again, not at all."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(0.0 if message.startswith("WATCHDOG") else 1.0)
        try:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(message.encode())
        except OSError:
            return
