"""What a conversation wants drawn now."""

import pytest

from limner.api.chat.prompt import wanted
from limner.chat import Conversation, Shown, Turn
from limner.errors import MissingParameter

CAT = Shown("data:cat", "assistant", "messages[1].images[0]")
HAT = Shown("data:hat", "user", "messages[2].content[0]")
DRAW, MADE = Turn("user", "draw a cat"), Turn("assistant", "", (CAT,))
BLUE, WITH_HAT = Turn("user", "now make it blue"), Turn("user", "put this on", (HAT,))


@pytest.mark.parametrize(
    ("turns", "prompt", "pictures"),
    [
        ((DRAW,), "draw a cat", ()),
        ((DRAW, MADE, BLUE), "now make it blue", (CAT,)),
        ((DRAW, MADE, WITH_HAT), "put this on", (HAT,)),
        ((WITH_HAT, MADE, BLUE), "now make it blue", (CAT,)),
        ((WITH_HAT, BLUE), "now make it blue", (HAT,)),
        ((DRAW, Turn("assistant", "", (HAT, CAT)), BLUE), "now make it blue", (CAT,)),
        ((DRAW, MADE, BLUE, Turn("assistant", "Here:")), "now make it blue", (CAT,)),
    ],
)
def test_words_and_pictures(turns: tuple[Turn, ...], prompt: str, pictures: tuple[Shown, ...]) -> None:
    want = wanted(Conversation(turns), prompt=None, has_references=False, takes_pictures=True)
    assert (want.prompt, want.pictures) == (prompt, pictures)
    assert want.reason


def test_references_beside_the_conversation_leave_earlier_pictures_alone() -> None:
    assert (
        wanted(Conversation((DRAW, MADE, BLUE)), prompt=None, has_references=True, takes_pictures=True).pictures == ()
    )
    sent = wanted(Conversation((DRAW, MADE, WITH_HAT)), prompt=None, has_references=True, takes_pictures=True)
    assert sent.pictures == (HAT,)


def test_a_prompt_beside_the_messages_replaces_their_words() -> None:
    want = wanted(Conversation((WITH_HAT,)), prompt="a red hat", has_references=False, takes_pictures=True)
    assert (want.prompt, want.pictures) == ("a red hat", (HAT,))


def test_a_model_that_takes_no_pictures_draws_anew_but_is_not_spared_those_sent_to_it() -> None:
    anew = wanted(Conversation((DRAW, MADE, BLUE)), prompt=None, has_references=False, takes_pictures=False)
    assert anew.pictures == ()
    sent = wanted(Conversation((WITH_HAT,)), prompt=None, has_references=False, takes_pictures=False)
    assert sent.pictures == (HAT,)


def test_nobody_has_asked() -> None:
    with pytest.raises(MissingParameter):
        wanted(Conversation((MADE,)), prompt="x", has_references=False, takes_pictures=True)
