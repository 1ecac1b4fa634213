"""A voice message as apps know it."""

from typing import Any

from messenger.app.records import File
from messenger.matrix.media import as_voice


def _details(**info: Any) -> Any:
    file = File(
        data=b"x", name="voice.ogg", mime="audio/ogg", type="m.audio", info=info, is_voice=True, waveform=(1, 2)
    )
    return as_voice(file)["org.matrix.msc1767.audio"]


def test_a_voice_message_says_how_long_it_is() -> None:
    assert _details(duration=2_500) == {"duration": 2_500, "waveform": [1, 2]}


def test_of_a_length_that_nobody_knows_nothing_is_said() -> None:
    assert _details() == {"waveform": [1, 2]}
