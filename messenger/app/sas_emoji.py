"""What people compare when they verify (Matrix spec v1.16, "SAS method: emoji"): 64 pictures with their words in the
reader's language, and three numbers."""

from messenger.i18n import Texts

# As the spec numbers them. The words stand in the catalogues, in the same order.
PICTURES = (
    "🐶🐱🦁🐎🦄🐷🐘🐰🐼🐓🐧🐢🐟🐙🦋🌷🌳🌵🍄🌏🌙☁🔥🍌🍎🍓🌽🍕🎂❤😀🤖"
    "🎩👓🔧🎅👍☂⌛⏰🎁💡📕✏📎✂🔒🔑🔨☎🏁🚂🚲✈🚀🏆⚽🎸🎺🔔⚓🎧📁📌"
)
_LETTERS, _AS_PICTURE = "☁❤☂✏✂☎✈", "\ufe0f"  # older than emoji: they would be drawn as letters


def shown(words: Texts, numbers: str) -> str:
    """`numbers` as the item has them: `0 17 63 …`. Nonsense is left as it is."""
    names = words.plain("verify.emoji").split(", ")
    try:
        found = [int(number) for number in numbers.split()]
        return " · ".join(f"{_picture(number)} {names[number]}" for number in found)
    except (ValueError, IndexError):
        return numbers


def _picture(number: int) -> str:
    picture = PICTURES[number]
    return picture + _AS_PICTURE if picture in _LETTERS else picture
