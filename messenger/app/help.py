"""S33, the answers to `!help`: how a thread works, all commands, one command. Made from the commands themselves."""

from collections.abc import Sequence

from messenger.app.render import Rendered
from messenger.domain.people import Role
from messenger.domain.staff_commands import StaffCommand, Unknown, find, parse
from messenger.i18n import Field, Texts

MOST_USED = ("claim", "r", "note", "pause", "transfer", "resolve")
_ALL = frozenset({"all", "alle", "alles", "全部", "所有"})


def answer(texts: Texts, commands: Sequence[StaffCommand], topic: str, role: Role) -> Rendered:
    """What somebody in this role reads about this topic: a command, `all`, or nothing, which is the short help."""
    word = next(iter(topic.casefold().split()), "")
    if not word:
        return in_short(texts, [command for command in commands if command.is_for(role)])
    if word in _ALL:
        return of_all(texts, commands)
    command = find(word)
    return of_one(texts, command) if command and command in commands else _no_such(texts, commands, word)


def in_short(texts: Texts, commands: Sequence[StaffCommand]) -> Rendered:
    """The reactions stand for commands: who may not give those is not told of them."""
    by_name = {command.name: command for command in commands}
    most = [by_name[name] for name in MOST_USED if name in by_name]
    reactions = [_text(texts, "S33.reactions")] if "claim" in by_name else []
    rest = [command for command in commands if command not in most]
    return _stacked(
        [
            _text(texts, "S33"),
            *reactions,
            _text(texts, "S33.most", commands=_words(texts, most)),
            _text(texts, "S33.used", commands=_words(texts, rest)),
        ]
    )


def _words(texts: Texts, commands: Sequence[StaffCommand]) -> str:
    return " ".join(f"!{command.word_in(texts.language)}" for command in commands)


def of_all(texts: Texts, commands: Sequence[StaffCommand]) -> Rendered:
    head = _text(texts, "S33.all")
    lines = [_text(texts, "S33.line", usage=_usage(texts, command), **_labels(texts, command)) for command in commands]
    plain = "\n".join([head.plain, *(line.plain for line in lines)])
    return Rendered(plain, f"{head.html}<ul>{''.join(line.html for line in lines)}</ul>")


def of_one(texts: Texts, command: StaffCommand) -> Rendered:
    lines = [
        _text(texts, "S33.one", usage=command.usage_in(texts.language), **_labels(texts, command)),
        _text(texts, "S33.place", place=place_of(texts, command)),
        _text(texts, "S33.example", example=command.example_in(texts.language)),
    ]
    others = [word for word in (command.name, *command.aliases) if word != command.word_in(texts.language)]
    if others:
        lines.append(_text(texts, "S33.also", words=" ".join(f"!{word}" for word in others)))
    return _stacked(lines)


def place_of(texts: Texts, command: StaffCommand) -> str:
    return texts.plain(f"where.{'reference' if command.takes_ref else command.where}")


def _no_such(texts: Texts, commands: Sequence[StaffCommand], word: str) -> Rendered:
    asked = parse(f"!{word}")
    known = {command.name for command in commands}
    if isinstance(asked, Unknown) and asked.guess in known:
        guess = next(command for command in commands if command.name == asked.guess)
        return _text(texts, "S33.guess", word=asked.word, guess=guess.word_in(texts.language))
    return _text(texts, "S33.unknown", word=word.lstrip("!！")[:40])


def _labels(texts: Texts, command: StaffCommand) -> dict[str, str]:
    return {"help": texts.plain(f"help.{command.name}"), "who": texts.plain(f"who.may.{command.who}")}


def _usage(texts: Texts, command: StaffCommand) -> str:
    """With the further words of the reader's language, and the English name: `!übernehmen [REF] (claim)`."""
    word, usage = command.word_in(texts.language), command.usage_in(texts.language)
    others = [each for each in (*command.aliases_in(texts.language), command.name) if each != word]
    return f"{usage} ({', '.join(others)})" if others else usage


def _text(texts: Texts, id: str, **fields: Field) -> Rendered:
    return Rendered(texts.plain(id, **fields), texts.html(id, **fields))


def _stacked(lines: Sequence[Rendered]) -> Rendered:
    return Rendered("\n".join(line.plain for line in lines), "<br>".join(line.html for line in lines))
