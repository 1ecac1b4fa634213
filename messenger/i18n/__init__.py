"""Texts for people in every language of the product. A text has a stable id (`S1.new`), not its English words; it lies
in `<language>/messages.po` beside this file and is read at start. `id.html` is the formatted form of the same text.

Fields are `{name}` and nothing more: no attribute access, no format specification, so that neither a translator nor a
value can reach into the program. Values are never looked into for further fields. `python -m messenger.i18n check`
compares languages.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from gettext import c2py
from importlib.resources import files

from babel.messages.pofile import read_po

LANGUAGES = ("en", "de", "zh")
DEFAULT = "en"
FIELD = re.compile(r"\{([a-z_]+)\}")

Field = str | int


class MissingText(LookupError):
    """A text id or one of its fields is wrong. A developer acts: `python -m messenger.i18n check` finds the place."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language."""

    language: str
    entries: Mapping[str, tuple[str, ...]]
    plural_form: Callable[[int], int]

    def plain(self, id: str, **fields: Field) -> str:
        """The plain text. A text with plural forms takes the number from the field `n`."""
        return _fill(id, self._template(id, fields), fields)

    def html(self, id: str, **fields: Field) -> str:
        """The formatted text: every field is escaped. Without a form of its own the plain text is escaped."""
        if f"{id}.html" not in self.entries:
            return escape(self.plain(id, **fields))
        escaped = {name: escape(str(value)) for name, value in fields.items()}
        return _fill(id, self._template(f"{id}.html", fields), escaped)

    def has(self, id: str) -> bool:
        return id in self.entries

    def fields(self, id: str) -> frozenset[str]:
        """What a caller must give for this text."""
        return frozenset().union(*(fields_of(form) for form in self.entries.get(id, ())))

    def _template(self, id: str, fields: Mapping[str, Field]) -> str:
        forms = self.entries.get(id)
        if forms is None:
            raise MissingText(f"no text {id!r} in {self.language!r}")
        return forms[0 if len(forms) == 1 else self.plural_form(int(fields.get("n", 1)))]


def texts(language: str, *, default: str = DEFAULT) -> Texts:
    """The texts for a BCP 47 tag: `zh-Hant-TW` → `zh`; a language we do not have → the default."""
    wanted = language.replace("_", "-").split("-")[0].lower()
    return _load(wanted if wanted in LANGUAGES else default)


def escape(text: str) -> str:
    """Plain text as HTML: markup characters escaped, line ends as <br>."""
    return html.escape(text).replace("\n", "<br>")


def fields_of(template: str) -> frozenset[str]:
    return frozenset(FIELD.findall(template))


@cache
def _load(language: str) -> Texts:
    with files(__package__).joinpath(language, "messages.po").open("rb") as source:
        catalog = read_po(source, locale=language, abort_invalid=True)
    entries = {_id(message.id): _forms(message.string) for message in catalog if message.id}
    return Texts(language, entries, c2py(catalog.plural_expr))


def _id(id: str | list[str] | tuple[str, ...]) -> str:
    return id if isinstance(id, str) else id[0]


def _forms(string: str | list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else tuple(string or ())


def _fill(id: str, template: str, fields: Mapping[str, Field]) -> str:
    def value(match: re.Match[str]) -> str:
        try:
            return str(fields[match[1]])
        except KeyError:
            raise MissingText(f"text {id!r} needs the field {match[1]!r}") from None

    return FIELD.sub(value, template)
