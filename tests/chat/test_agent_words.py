"""What a language model is told of a conversation."""

import pytest

from limner.chat.agent_album import Album
from limner.chat.agent_words import LEFT_OUT, MAX_CHARACTERS, told
from limner.chat.conversation import Conversation, Shown, Turn
from limner.errors import MissingParameter
from tests.chat.scripted import said


def messages(conversation: Conversation) -> list[tuple[str, str]]:
    return [(str(m["role"]), str(m["content"])) for m in told(conversation, Album(conversation))]


CAT = said("draw a cat")
DRAWN = said("A cat.", "img_cat", role="assistant", earlier=CAT)


def test_pictures_are_numbers_with_who_showed_them() -> None:
    conversation = said("put it on this", "https://example.org/secret.png", earlier=DRAWN)
    system, *spoken = messages(conversation)
    assert spoken == [
        ("user", "draw a cat"),
        ("assistant", "[image 1, shown by you]\nA cat."),
        ("user", "[image 2, shown by the user]\nput it on this"),
    ]
    assert "Images so far: 1 to 2. The newest is [image 2]." in system[1]


def test_a_picture_shown_twice_has_one_number() -> None:
    conversation = said("and this?", "data:a", "data:b", earlier=said("look", "data:a"))
    assert messages(conversation)[1:] == [
        (
            "user",
            "[image 1, shown by the user]\nlook\n[image 1, shown by the user]\n[image 2, shown by the user]\nand this?",
        )
    ]


def test_the_clients_system_words_follow_ours() -> None:
    conversation = said("hello", earlier=said("Speak like a pirate.", role="system"))
    (role, system), *spoken = messages(conversation)
    assert role == "system"
    assert system.endswith("Speak like a pirate.\n\nThere is no image yet.")
    assert spoken == [("user", "hello")]


def test_the_user_speaks_first_and_roles_alternate() -> None:
    greeted = said("What shall I draw?", role="assistant")
    conversation = said("or rather a dog", earlier=said("a cat", earlier=greeted))
    assert messages(conversation)[1:] == [
        ("user", LEFT_OUT),
        ("assistant", "What shall I draw?"),
        ("user", "a cat\nor rather a dog"),
    ]


def test_a_clients_tool_speaks_through_the_user() -> None:
    conversation = said("draw that", earlier=said("it is sunny", role="tool"))
    assert messages(conversation)[1:] == [("user", "(A tool said: it is sunny)\ndraw that")]


def test_what_comes_after_the_users_last_turn_is_not_told() -> None:
    assert messages(DRAWN)[1:] == [("user", "draw a cat")]


def test_of_a_long_conversation_the_newest_is_told_and_all_pictures_keep_their_numbers() -> None:
    turns = tuple(
        Turn("user", f"{number} " + "x" * 1000, (Shown(f"data:{number}", "user", "messages"),))
        for number in range(1, 61)
    )
    system, *spoken = messages(Conversation(turns))
    assert "Images so far: 1 to 60." in system[1]
    text = "\n".join(words for _, words in spoken)
    assert text.startswith(LEFT_OUT)
    assert "[image 60, shown by the user]\n60 x" in text
    assert "[image 1," not in text
    assert len(text) < MAX_CHARACTERS + 1000


def test_the_last_turn_is_told_whole_however_long() -> None:
    assert messages(said("y" * 30_000, earlier=CAT))[1:] == [("user", LEFT_OUT + "\n" + "y" * 30_000)]


def test_a_mask_is_spoken_of() -> None:
    photo, mask = Shown("data:a", "user", "messages[0].content[1]"), Shown("data:mask", "user", "mask")
    (_, system), (_, words) = messages(Conversation((Turn("user", "a hat there", (photo, mask)),)))
    assert "marked a part" in system
    assert "Images so far: 1." in system
    assert words == "[image 1, shown by the user]\n[a mask]\na hat there"
    assert "marked a part" not in messages(said("a hat there", "data:a"))[0][1]


def test_no_address_is_told() -> None:
    conversation = said("put it on this", "https://example.org/secret.png", earlier=DRAWN)
    assert "example.org" not in str(messages(conversation))
    assert "img_cat" not in str(messages(conversation))


def test_somebody_must_ask() -> None:
    with pytest.raises(MissingParameter):
        messages(said("hello", role="assistant"))
