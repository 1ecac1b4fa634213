"""Strings that a stranger controls, made safe to show, store and send: names of files and people, and the words of a
message.

Cleaning never fails and cleaning twice changes nothing. It removes what is invisible or changes the direction of the
text around it; it does not censor. Escaping for HTML is a separate step, done where HTML is made.
"""

import html
import itertools
import re
import unicodedata
from collections.abc import Iterator

MAX_NAME = 80  # code points of a person's name
MAX_QUOTE = 300  # code points of a quotation above an answer
MAX_FILENAME = 255  # bytes of UTF-8

_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = frozenset("\u200c\u200d")
# Letters and symbols that show nothing: fillers and the empty Braille cell.
_BLANKS = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# What our own lines begin with: markers of fate, "🔒 Internal — Anna: …", "→ Customer — Anna: …".
_OURS = re.compile("[🔒📨✅✋⚠⚙📤👀🙋⏰↩→←⇒➡]")
_COLONS = re.compile("[:\u02d0\u02f8\u0589\u05c3\u2236\ua789\ufe13\ufe30\ufe55\uff1a]+")
_DASHES = re.compile("[\u2012-\u2015\u2e3a\u2e3b\ufe31\ufe58]+")
_COMMAND_STARTS = "!！/／\\ ·-"
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs"})
_MARKS_IN_A_ROW = 4  # more combining marks on one letter is painting over other lines

_FORBIDDEN_IN_FILENAMES = re.compile(r'[<>:"|?*]')
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))]
)  # device names of Windows, with any extension
_MAX_EXTENSION = 16

_BOUNDARIES = (
    re.compile(r"\n\s*\n"),  # paragraph
    re.compile(r"\n"),
    re.compile(r"[.!?…]['\")\]]*\s+|[。！？]"),  # sentence
    re.compile(r"\s+"),
)


def clean_message(raw: str) -> str:
    """The words of a message: line ends as \\n, no controls but \\n and \\t, no bidi overrides or isolates, no lone
    surrogates. Marks of direction (LRM, RLM) and joiners stay: real languages need them."""
    unified = re.sub("\r\n?|[\u2028\u2029\x85\x0b\x0c]", "\n", raw)
    return "".join(char for char in unified if char in "\n\t" or _is_sayable(char))


def quoted_words(full: str) -> str:
    """What stands above somebody's own words as a quotation (`> ` before each line), without the sign of who said
    it; one line, shortened. Empty if there is none."""
    lines = list(itertools.takewhile(lambda line: line.startswith(">"), full.split("\n")))
    said = " ".join(re.sub(r"^>+ ?", "", line) for line in lines)
    return short_quote(re.sub(r"^(\* )?<@[^>\s]+> ?", "", said))


def short_quote(text: str) -> str:
    words = re.sub(r"\s+", " ", clean_message(text)).strip()
    return words if len(words) <= MAX_QUOTE else words[: MAX_QUOTE - 1].rstrip() + "…"


def clean_name(raw: str, *, default: str) -> str:
    """A person's name for one line: at most 80 code points, nothing invisible, and no imitation of our own lines, which
    are "marker word — name: text": marker emoji and arrows are dropped, colons become spaces, long dashes hyphens, and
    it begins neither with a command sign nor with a slash. `default` when nothing is left."""
    one_line = _visible(re.sub(r"\s+", " ", unicodedata.normalize("NFC", raw)))
    tame = _DASHES.sub("-", _COLONS.sub(" ", _OURS.sub("", one_line)))
    cut = _few_marks(_squeezed(tame).lstrip(_COMMAND_STARTS))[:MAX_NAME]
    name = unicodedata.normalize("NFC", cut.strip("\u200c\u200d\ufe0f ").lstrip(_COMMAND_STARTS))
    return name if any(unicodedata.category(char)[0] in "LNSP" for char in name) else default


def clean_filename(raw: str, *, default: str = "file") -> str:
    """A file's name without its path: nothing invisible, nothing a file system forbids, no device name, not hidden, at
    most 255 bytes with the extension kept. `default` when nothing is left."""
    one_line = re.sub(r"\s", " ", unicodedata.normalize("NFC", raw))
    base = re.split(r"[/\\\u2044\u2215\u29f8\uff0f\uff3c]", one_line)[-1]
    visible = "".join(char for char in base if char not in _BLANKS and unicodedata.category(char) not in _INVISIBLE)
    # Once more: what was removed may have stood between a letter and its accent.
    whole = unicodedata.normalize("NFC", visible)
    tame = _squeezed(_FORBIDDEN_IN_FILENAMES.sub("_", whole)).strip(". ")
    if tame.split(".")[0].strip().casefold() in _RESERVED:
        tame = f"_{tame}"
    return _shortened(tame) or default


def to_html(text: str) -> str:
    """Plain text as HTML that shows the same: markup characters escaped, line ends as <br>."""
    return html.escape(text).replace("\n", "<br>")


def json_size(text: str) -> int:
    """Bytes of the text as a JSON string without its quotes, in UTF-8 and not ASCII-escaped."""
    escaped = sum(text.count(char) for char in '"\\\n\t')
    return len(text.encode("utf-8", "surrogatepass")) + escaped


def pieces(text: str, limit: int) -> Iterator[str]:
    """The text cut in pieces of at most `limit` bytes of JSON; together they are exactly the text. Cut after a
    paragraph, else a line, a sentence, a word, a code point. Expects cleaned text."""
    if limit < 16:
        raise ValueError("a piece must have room for one character with its marks")
    start = 0
    while start < len(text):
        end = _reach(text, start, limit)
        if end < len(text):
            end = _boundary(text, start, end)
        yield text[start:end]
        start = end


def _reach(text: str, start: int, limit: int) -> int:
    """The largest end with text[start:end] within the limit."""
    low, high = start + 1, min(len(text), start + limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if json_size(text[start:middle]) <= limit else (low, middle - 1)
    return low


def _boundary(text: str, start: int, end: int) -> int:
    """The best cut in the last half before `end`."""
    half = start + (end - start) // 2
    for boundary in _BOUNDARIES:
        cuts = [match.end() for match in boundary.finditer(text, half, end)]
        if cuts:
            return cuts[-1]
    cut = end
    while cut > half and _belongs_to_left(text, cut):
        cut -= 1
    return cut if cut > half else end


def _belongs_to_left(text: str, at: int) -> bool:
    """Would a cut here take a mark from its letter, or a joined emoji apart?"""
    return unicodedata.category(text[at]).startswith("M") or text[at] == "\u200d" or text[at - 1] == "\u200d"


def _is_sayable(char: str) -> bool:
    return char not in _BIDI and unicodedata.category(char) not in ("Cc", "Cs")


def _visible(text: str) -> str:
    """Without controls, formats, private and blank characters; a joiner stays between two characters that can join."""
    kept = []
    for at, char in enumerate(text):
        if char in _JOINERS:
            if 0 < at < len(text) - 1 and _can_join(text[at - 1]) and _can_join(text[at + 1]):
                kept.append(char)
        elif char not in _BLANKS and unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs"):
            kept.append(char)
    return "".join(kept)


def _can_join(char: str) -> bool:
    return ord(char) > 0x2FF and unicodedata.category(char)[0] in "LMS"


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _few_marks(text: str) -> str:
    kept: list[str] = []
    row = 0
    for char in text:
        row = row + 1 if unicodedata.category(char).startswith("M") else 0
        if row <= _MARKS_IN_A_ROW:
            kept.append(char)
    return "".join(kept)


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_FILENAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > _MAX_EXTENSION:
        stem, dot, extension = name, "", ""
    room = MAX_FILENAME - len(f"{dot}{extension}".encode())
    return f"{stem.encode()[:room].decode(errors='ignore').rstrip('. ')}{dot}{extension}"
