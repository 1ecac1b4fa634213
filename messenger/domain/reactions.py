"""Reactions that stand for somebody's on the other side: which may cross, and with which sign."""

import unicodedata

from messenger.domain.replies import MARKERS, Said, Standing, Verdict, rule

MAX_KEY = 64  # characters; the longest emoji has far fewer
PICTURE = "🖼️"
_VARIANT = "\ufe0f"  # asks for the colourful form of the sign before it
_JOINER = "\u200d"
_TAGS = range(0xE0020, 0xE0080)  # spell out the flags of regions


def carried_key(raw: str) -> str:
    """The sign as it is shown on the other side; empty if nothing is left to show. Also words can be a reaction. A
    picture of the sender's own server is not fetched by anybody here.

    The desk's markers of fate are reactions too, and an account can give each only once: what looks like a marker
    crosses in its other spelling, so that neither stands for the other."""
    if raw.startswith("mxc://"):
        return PICTURE
    kept = "".join(char for char in raw if _is_shown(char))[:MAX_KEY].strip()
    if not any(unicodedata.category(char)[0] in "LNPS" for char in kept):
        return ""
    bare = kept.replace(_VARIANT, "")
    marker = next((each for each in MARKERS.values() if each.replace(_VARIANT, "") == bare), None)
    if marker is None:
        return kept
    return bare if marker.endswith(_VARIANT) else bare + _VARIANT


def reaction_leaves(key: str, standing: Standing, *, is_device_trusted: bool) -> bool:
    """Where the same person's plain words would leave. No device signs a reaction: where the group asks for signed
    devices, a sign may cross that its homeserver has made up, but no words."""
    said = Said(type="m.text", text=key, is_from_trusted_device=is_device_trusted or not _says_words(key))
    return rule(said, standing).verdict is Verdict.SEND


def _is_shown(char: str) -> bool:
    if char == _JOINER or ord(char) in _TAGS:
        return True
    return unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs", "Cn")


def _says_words(key: str) -> bool:
    return any(char.isalpha() for char in key) or sum(char.isdigit() for char in key) > 1
