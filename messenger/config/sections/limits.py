"""What protects the installation from the outside: bounds, where it may fetch from, the virus scanner."""

from pydantic import Field

from messenger.config.sections.kinds import Origin, Section, SocketAddress


class Limits(Section):
    """Bounds that protect the installation."""

    attachment_max_mb: int = Field(
        default=25, ge=1, le=1024, description="Largest file, in megabytes, that is relayed in either direction."
    )
    contact_per_minute: int = Field(
        default=20,
        ge=0,
        le=10_000,
        description=(
            "How much one customer may say a minute. What is more comes later, in order, marked as late; nothing is "
            "lost. 0: no limit."
        ),
    )
    contact_burst: int = Field(
        default=10, ge=1, le=10_000, description="So much of it may come at once, after a quiet time."
    )
    flood_messages: int = Field(
        default=30,
        ge=1,
        le=10_000,
        description=(
            "When more than so many messages of one customer wait for the limit, it is a flood: they are held back, "
            "one card in the group's room says so, and the team lets them in or throws them away (`!flood`)."
        ),
    )
    server_per_minute: int = Field(
        default=600,
        ge=0,
        le=100_000,
        description="How much all people of one other homeserver may say a minute, and at once. 0: no limit.",
    )
    account_per_minute: int = Field(
        default=120,
        ge=0,
        le=100_000,
        description="How many conversations may begin a minute, and at once, at one desk. 0: no limit.",
    )
    group_per_minute: int = Field(
        default=60,
        ge=0,
        le=100_000,
        description="How many conversations may begin a minute, and at once, in one group. 0: no limit.",
    )
    lease_seconds: float = Field(
        default=15.0,
        ge=1,
        le=300,
        description="After so many seconds without a sign of life another process may take a desk over.",
    )


class Outbound(Section):
    """Where the desk may fetch from when somebody else names the address: so far, where the homeserver says that a file
    lies. Without settings: `https` on port 443 of public addresses, never the own network."""

    allow_http: bool = Field(default=False, description="Also `http` on port 80 of public addresses.")
    internal: tuple[Origin, ...] = Field(
        default=(),
        description=(
            "Systems of your own network that may be fetched from, each with scheme and port, for example "
            "`http://10.0.0.7:8080`. (The homeserver itself needs no entry.)"
        ),
    )


class Scanner(Section):
    """A virus scanner that every file passes in both directions, before it is relayed."""

    clamd: SocketAddress = Field(
        default="",
        description=(
            "Where ClamAV's daemon listens: the path of its socket, for example `/run/clamav/clamd.ctl`, or "
            "`host:port`, where nobody else can listen. While it does not answer, files wait and texts go on. Empty: "
            "files are looked into, but not scanned for known viruses."
        ),
    )
    scan_seconds: float = Field(
        default=120, ge=1, le=600, description="So long one file may take; then the scanner counts as away."
    )
