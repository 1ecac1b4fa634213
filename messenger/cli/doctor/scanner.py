"""Does the virus scanner answer, does it know the test virus, and does it take files as large as we do?"""

from collections.abc import Sequence

from messenger.app.outside_ports import ScannerAway
from messenger.cli.doctor.finding import Finding, fail, ok, warn
from messenger.config import Settings
from messenger.scanner import Clamd, Unscannable

# The industry's test virus, in two pieces: a scanner on this machine shall not find it in our own sources.
_TEST_VIRUS = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
PATIENCE_S = 30.0


async def scanner(settings: Settings) -> Sequence[Finding]:
    if not settings.scanner.clamd:
        return [ok("scanner", "none is set: files are looked into, but not scanned for known viruses (scanner.clamd)")]
    clamd = Clamd(settings.scanner.clamd, scan_s=PATIENCE_S)
    try:
        version = await clamd.version()
        return [ok("scanner", version), await _signatures(clamd), await _size(clamd, settings.limits.attachment_max_mb)]
    except ScannerAway:
        words = f"{settings.scanner.clamd} does not answer: files wait, texts go on. Is clamd running, may we reach it?"
        return [fail("scanner", words)]


async def _signatures(clamd: Clamd) -> Finding:
    if await clamd.scan(_TEST_VIRUS):
        return ok("scanner signatures", "the test virus is found")
    return fail("scanner signatures", "the test virus is not found: clamd has no signatures. Run freshclam")


async def _size(clamd: Clamd, megabytes: int) -> Finding:
    try:
        await clamd.scan(bytes(megabytes * 1_000_000))
    except Unscannable:
        words = f"refuses files of {megabytes} MB, which are then held back. Raise StreamMaxLength in clamd.conf"
        return warn("scanner size", words)
    return ok("scanner size", f"takes files of {megabytes} MB")
