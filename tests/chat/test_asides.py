"""Titles and tags, which clients ask for behind the user's back."""

import json

import pytest

from limner.chat import Conversation, Turn
from limner.chat.asides import for_client


def asked_for(key: str, said: str) -> str:
    task = f'### Task:\nJSON format: {{ "{key}": "..." }}\n<chat_history>\nUSER: {said}\nASSISTANT: ok\n</chat_history>'
    decision = for_client(Conversation((Turn("user", task),)))
    assert decision is not None
    assert (decision.operation, decision.prompt) == (None, task)
    return decision.reply or ""


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("draw three pictures of a house at night", "Three pictures of a house"),
        ("a watercolor of a cat in a hat", "A watercolor of a cat"),
        ("a cat in a red hat on a sofa", "A cat in a red hat"),
        ("cyberpunk street at night, neon signs, heavy rain", "Cyberpunk street at night, neon signs"),
        ("a very big old red wooden house", "A very big old red wooden house"),
        ("Eine Katze mit Hut auf dem Sofa", "Eine Katze mit Hut"),
        ("un gato con un sombrero en la playa", "Un gato con un sombrero"),
        ("What is in this picture?", "What is in this picture"),
        ("draw a cat", "A cat"),
        ("of the", "Pictures"),
    ],
)
def test_a_title_ends_where_a_phrase_does(said: str, title: str) -> None:
    assert json.loads(asked_for("title", said)) == {"title": title}


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        ("What is in this picture?", ["Image"]),
        ("hello", ["Image"]),
        ("draw three pictures of a house at night", ["Art", "House", "Night"]),
        ("draw a red circle on white", ["Art", "Circle"]),
        ("Zeichne eine Katze mit einem roten Hut", ["Art", "Katze", "Hut"]),
    ],
)
def test_tags_name_what_is_drawn(said: str, tags: list[str]) -> None:
    assert json.loads(asked_for("tags", said)) == {"tags": tags}


def test_nobody_else_is_answered() -> None:
    for said in ("draw a cat", "a poster: ### Task", "### Task: Respond to the user query using the provided context"):
        assert for_client(Conversation((Turn("user", said),))) is None
