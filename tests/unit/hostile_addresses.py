"""Addresses that lead into somebody's own network, in the forms in which they are smuggled. `{p}` is the port of a trap
on this machine; with any other port nothing could be reached, and a refusal would say little."""

from collections.abc import Mapping, Sequence

# The machine itself, and networks that are nobody else's.
LITERALS = (
    "http://{host}:{p}/",
    (
        "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255",
        "100.64.0.1", "100.127.255.254", "169.254.169.254", "169.254.170.2", "169.254.0.1", "172.16.0.1",
        "172.31.255.254", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255",
        "198.18.0.1", "198.19.255.254", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255",
        "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::7f00:1]",
        "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:1::1]", "[2002:a9fe:a9fe::]",
        "[2001:0:7f00:1::]", "[2001::1]", "[2001:10::1]", "[2001:20::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]",
        "[5f00::1]", "[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fdff:ffff::1]", "[fe80::1]", "[fe80::1%25eth0]",
        "[fe80::1%25lo]", "[febf::1]", "[fec0::1]", "[ff02::1]", "[ff0e::1]", "[::ffff:0:127.0.0.1]", "[4000::1]",
    ),
)  # fmt: skip
# Other ways to write 127.0.0.1 and 169.254.169.254 that one or the other program understands.
SPELLINGS = (
    "http://{host}:{p}/",
    (
        "2130706433", "0x7f000001", "0x7F000001", "017700000001", "127.1", "127.0.1", "127.000.000.001", "0177.0.0.1",
        "0177.0.0.01", "00000177.0.0.1", "0x7f.0.0.1", "0x7f.1", "0x7f.0x0.0x0.0x1", "0x7f.0.1", "127.0x0.1",
        "127.0.0.1.", "127.0.0.0x1", "127.0.0.01", "0", "0x0", "00", "0.0", "1", "2852039166", "0xA9FEA9FE",
        "0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe", "025177524776", "169.254.43518", "169.16689662", "127.0.0.1.1",
        "256.256.256.256", "4294967297", "①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1",
        "%31%32%37.0.0.1", "127.0.0.%31", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "127.0.0.1%2e", "127.0.0.1%00.example.org",
        "[::1]%25", "[::1", "::1", "[127.0.0.1]", "localhost%00", "127。1", "0x7f。1", "０x7f.1",
    ),
)  # fmt: skip
# What the names of this test stand for. A name is as good as the worst of its addresses.
NAMES: Mapping[str, Sequence[str]] = {
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "LOCALHOST": ["127.0.0.1"],
    "x.localhost": ["127.0.0.1"],
    "localhost.localdomain": ["127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "7f000001.nip.example": ["127.0.0.1"],
    "app-127-0-0-1.sslip.example": ["127.0.0.1"],
    "10.0.0.1.xip.example": ["10.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "db": ["172.18.0.3"],
    "router": ["192.168.1.1"],
    "printer.local": ["169.254.7.7"],
    "carrier.example": ["100.64.3.3"],
    "zero.example": ["0.0.0.0"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "translated.example": ["64:ff9b::7f00:1"],
    "tunnel.example": ["2002:7f00:1::"],
    "teredo.example": ["2001:0:7f00:1::"],
    "own.example": ["fd12:3456::1"],
    "link.example": ["fe80::1%eth0"],
    "group.example": ["ff02::1"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "mixed-last.example": ["93.184.216.34", "2606:2800:220:1::1", "10.1.1.1"],
    "mixed-first.example": ["127.0.0.1", "93.184.216.34"],
    "xn--lcalhost-54a.example": ["127.0.0.1"],
    "ＬＯＣＡＬＨＯＳＴ": ["127.0.0.1"],
    "under_score.example": ["127.0.0.1"],
    "nonsense.example": ["not an address"],
}
NAMED = ("http://{host}:{p}/", tuple(NAMES))
# Other schemes, other ports, other people's words in the place of the host.
SHAPES = (
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1:{p}/", "gopher://127.0.0.1:{p}/_x",
    "dict://127.0.0.1:{p}/info", "ldap://127.0.0.1:{p}/", "tftp://127.0.0.1:{p}/x", "sftp://127.0.0.1:{p}/",
    "jar:http://127.0.0.1:{p}/!/", "ws://127.0.0.1:{p}/", "wss://127.0.0.1:{p}/", "data:text/plain,x",
    "javascript:alert(1)", "about:blank", "unix:///var/run/docker.sock", "netdoc:///etc/passwd", "HTTP+UNIX://x/",
    "//127.0.0.1:{p}/", "/127.0.0.1:{p}/", "127.0.0.1:{p}", "", "http://", "http:///x", "http:127.0.0.1:{p}",
    "https:/127.0.0.1:{p}/", "http://user:secret@127.0.0.1:{p}/", "http://good.example@127.0.0.1:{p}/",
    "http://127.0.0.1:{p}@good.example:{p}/", "http://good.example:{p}@127.0.0.1:{p}/", "http://@127.0.0.1:{p}/",
    "http://:@127.0.0.1:{p}/", "http://127.0.0.1:{p}\\@good.example/", "http://good.example\\@127.0.0.1:{p}/",
    "http:\\\\127.0.0.1:{p}\\", "http://127.0.0.1:{p}#@good.example/", "http://127.0.0.1:{p}?@good.example/",
    "http://127.0.0.1\t:{p}/", "http://127.0.0.1\n:{p}/", "ht\ntp://127.0.0.1:{p}/", " http://127.0.0.1:{p}/",
    "http://127.0.0.1:{p}/\r\nHost: x", "http://127.0.0.1 :{p}/", "http://127.0.0.1:{p}\x00.example/",
    "http://good.example\x00@127.0.0.1:{p}/", "http://good.example,127.0.0.1:{p}/", "http://good.example:{p}:{p}/",
    "http://93.184.216.34:22/", "http://93.184.216.34:6379/", "http://good.example:8443/", "https://good.example:{p}/",
    "http://good.example:0/", "http://good.example:65536/", "http://good.example:-1/", "http://good.example:x/",
    "http://..:{p}/", "http://.127.0.0.1:{p}/", "http://-:{p}/", "http://*:{p}/", "http://a..b:{p}/", "http://$x:{p}/",
)  # fmt: skip


def addresses(port: int) -> list[str]:
    """All of them, for a trap at this port."""
    made = [pattern.format(host=host, p=port) for pattern, hosts in (LITERALS, SPELLINGS, NAMED) for host in hosts]
    return [*made, *(shape.replace("{p}", str(port)) for shape in SHAPES)]
