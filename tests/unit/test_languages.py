"""Thirty first messages, and texts that tell no language."""

import subprocess
import sys

import pytest

from messenger.app.languages import detect

SENTENCES = {
    "de": ["Hallo", "Guten Tag", "Moin", "Danke", "Hallo, ich brauche Hilfe", "Mein Antrag wurde abgelehnt",
           "Bitte um Rückruf", "Wann bekomme ich mein Geld?", "Hab ne Frage zu meiner Rechnung K-4F7Q",
           "Hi, mein Name ist Anna Krüger"],
    "en": ["Hello", "Hi there", "thanks", "Good morning", "I need help with my prescription",
           "My claim was rejected, why?", "please call me back", "Where is my order 12345", "When will you answer?",
           "HELP PLEASE"],
    "zh": ["你好", "您好，我需要帮助", "我的申请被拒绝了", "請問什麼時候可以取藥", "谢谢", "我的 PDF 在附件里"],
    "fr": ["Bonjour, j'ai besoin d'aide"],
    "tr": ["Merhaba, yardıma ihtiyacım var"],
    "ja": ["こんにちは、薬はいつできますか"],
    "ru": ["Здравствуйте, мне нужна помощь"],
}  # fmt: skip
CASES = [(language, sentence) for language, sentences in SENTENCES.items() for sentence in sentences]


def test_there_are_thirty_sentences() -> None:
    assert len(CASES) == 30


@pytest.mark.parametrize(("language", "sentence"), CASES)
def test_the_first_words_tell_the_language(language: str, sentence: str) -> None:
    assert detect(sentence) == language


@pytest.mark.parametrize(
    "text", ["", "   ", "12345", "K-4F7Q", "👍👍", "https://example.org/hallo", "anna@example.org", "?!", "\n\0"]
)
def test_what_tells_nothing_gives_nothing(text: str) -> None:
    assert detect(text) is None


def test_a_megabyte_is_no_more_work_than_a_line() -> None:
    assert detect("Ich brauche bitte Hilfe mit meinem Antrag. " * 25_000) == "de"


def test_the_model_needs_no_network() -> None:
    """In a process of its own, where opening any connection fails."""
    program = (
        "import socket\n"
        "def refuse(*_, **__): raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from messenger.app.languages import detect\n"
        "print(detect('Mein Antrag wurde abgelehnt'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "de"


def test_the_model_is_not_loaded_before_it_is_asked() -> None:
    program = "import sys, messenger.app.languages; print('fasttext' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
