"""The page of the settings of a skill group."""

from messenger.domain.group_settings import SETTINGS, Setting

_HEAD = """<!-- Made by `python -m messenger.reference`; a test compares. Do not edit. -->
# Settings of a group

Every skill group has its own settings. They lie in the database and hold at once, without a restart:

```
stellwerk group show Claims
stellwerk group set Claims reply_mode=explicit four_eyes=yes
stellwerk group add Prescriptions --set tell_customer=none --set required_skills="pharmacy=3, german=2"
```

A text with spaces stands in quotes. An unknown setting or a value that cannot be is refused, and nothing is changed.

| setting | allowed | default | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The whole page, Markdown."""
    return _HEAD + "\n".join(map(_row, SETTINGS)) + "\n"


def _row(setting: Setting) -> str:
    default = setting.kind.show(setting.default)
    return (
        f"| `{setting.key}` | {setting.kind.allowed} | {f'`{default}`' if default else 'empty'} | {setting.meaning} |"
    )
