"""Text from tokens as they come."""

import pytest

from limner.engine.speaking.detokenizer import Detokenizer
from limner.engine.speaking.talker import Decoder
from tests.tiny_speakers import END, byte_tokenizer

TOKENIZER = byte_tokenizer()


def pieces(text: str) -> list[str]:
    detokenizer = Detokenizer(Decoder(TOKENIZER, verbatim=False))
    said = [detokenizer.take(token) for token in TOKENIZER(text)["input_ids"]]
    return [piece for piece in (*said, detokenizer.rest()) if piece]


@pytest.mark.parametrize("text", ["plain words", "größer", "猫と犬", "a 🐈‍⬛ sleeps", " spaces  stay ", "é\n\nü"])
def test_characters_come_whole(text: str) -> None:
    assert pieces(text) == list(text)


def test_a_character_that_stays_broken_is_shown_as_such() -> None:
    detokenizer = Detokenizer(lambda tokens: bytes(tokens).decode("utf-8", "replace"))
    said = [detokenizer.take(byte) for byte in "猫".encode()[:2]]
    assert said == ["", ""]
    assert detokenizer.rest() == "\ufffd"
    assert detokenizer.rest() == ""


def test_spaces_that_a_tokenizer_only_writes_between_words() -> None:
    detokenizer = Detokenizer(lambda tokens: " ".join("abc"[token] for token in tokens))
    assert [detokenizer.take(token) for token in (0, 1, 2)] == ["a", " b", " c"]


def test_markers_are_kept_for_those_who_ask() -> None:
    tokens = [*TOKENIZER("hi")["input_ids"], TOKENIZER.eos_token_id]
    assert Decoder(TOKENIZER, verbatim=False)(tokens) == "hi"
    assert Decoder(TOKENIZER, verbatim=True)(tokens) == f"hi{END}"
