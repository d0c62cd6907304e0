"""What a conversation wants drawn now."""

import pytest

from limner.api.chat_messages import Conversation, Shown, Turn
from limner.api.chat_prompt import operation_for, wanted
from limner.core import Operation
from limner.errors import MissingParameter

CAT = Shown("data:cat", 1, "assistant", "messages[1].images[0]")
HAT = Shown("data:hat", 2, "user", "messages[2].content[0]")
EXTRA = Shown("data:extra", -1, "user", "image_prompt")
DRAW, MADE = Turn("user", "draw a cat"), Turn("assistant", "", (CAT,))
BLUE, WITH_HAT = Turn("user", "now make it blue"), Turn("user", "put this on", (HAT,))


@pytest.mark.parametrize(
    ("turns", "references", "prompt", "pictures"),
    [
        ((DRAW,), (), "draw a cat", ()),
        ((DRAW, MADE, BLUE), (), "now make it blue", (CAT,)),
        ((DRAW, MADE, WITH_HAT), (), "put this on", (HAT,)),
        ((DRAW, MADE, BLUE), (EXTRA,), "now make it blue", (EXTRA,)),
        ((WITH_HAT,), (EXTRA,), "put this on", (HAT, EXTRA)),
        ((WITH_HAT,), (HAT,), "put this on", (HAT,)),
        ((WITH_HAT, MADE, BLUE), (), "now make it blue", (CAT,)),
        ((DRAW, MADE, BLUE, Turn("assistant", "Here:")), (), "now make it blue", (CAT,)),
    ],
)
def test_words_and_pictures(
    turns: tuple[Turn, ...], references: tuple[Shown, ...], prompt: str, pictures: tuple[Shown, ...]
) -> None:
    want = wanted(Conversation(turns), prompt=None, references=references, takes_pictures=True)
    assert (want.prompt, want.pictures) == (prompt, pictures)
    assert want.reason


def test_a_prompt_beside_the_messages_replaces_their_words() -> None:
    want = wanted(Conversation((WITH_HAT,)), prompt="a red hat", references=(), takes_pictures=True)
    assert (want.prompt, want.pictures) == ("a red hat", (HAT,))


def test_a_model_that_takes_no_pictures_draws_anew_but_is_not_spared_those_sent_to_it() -> None:
    anew = wanted(Conversation((DRAW, MADE, BLUE)), prompt=None, references=(), takes_pictures=False)
    assert anew.pictures == ()
    sent = wanted(Conversation((WITH_HAT,)), prompt=None, references=(), takes_pictures=False)
    assert sent.pictures == (HAT,)


def test_nobody_has_asked() -> None:
    with pytest.raises(MissingParameter):
        wanted(Conversation((MADE,)), prompt="x", references=(), takes_pictures=True)


ALL = set(Operation)
GENERATE, EDIT, UPSCALE, INPAINT = Operation.GENERATE, Operation.EDIT, Operation.UPSCALE, Operation.INPAINT


@pytest.mark.parametrize(
    ("able", "has_pictures", "has_mask", "operation"),
    [
        (ALL, False, False, GENERATE),
        (ALL, True, False, EDIT),
        (ALL, True, True, INPAINT),
        ({GENERATE}, True, False, EDIT),  # refused by the resolver, which says what the model can do
        ({EDIT}, False, False, EDIT),  # refused by the resolver, which says that a picture is missing
        ({UPSCALE}, True, False, UPSCALE),
        ({UPSCALE}, False, False, UPSCALE),
        ({Operation.DESCRIBE}, False, False, GENERATE),
    ],
)
def test_the_operation_follows_what_is_there(
    able: set[Operation], has_pictures: bool, has_mask: bool, operation: Operation
) -> None:
    assert operation_for(able, has_pictures=has_pictures, has_mask=has_mask) is operation
