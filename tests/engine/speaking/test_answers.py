"""Answers made from canonical captions."""

import pytest

from limner.engine.speaking.answers import NO_PICTURE, answer
from limner.engine.speaking.phrases import UNREADABLE, WORLD

PAIR = "a red circle to the left of a blue square on a white background"
LAND = "an orange house on the left on grass by day with a sun"
INSIDE = "a white star inside a red circle on a black background"
STARS = "three yellow stars on a vertical gradient from dark blue to black"


@pytest.mark.parametrize(
    "question", ["", "What is in this image?", "describe it", "Was ist auf dem Bild?", "¿Qué ves?"]
)
def test_asked_what_is_there_it_says_the_caption_as_a_sentence(question: str) -> None:
    assert answer([PAIR], question) == f"A red circle{PAIR.removeprefix('a red circle')}."


@pytest.mark.parametrize(
    "question",
    [
        "what colour is the circle?",
        "Welche Farbe hat der Kreis?",
        "¿De qué color es el círculo?",
        "De quelle couleur est le cercle ?",
        "圆形是什么颜色?",
    ],
)
def test_colours_are_known_in_five_languages(question: str) -> None:
    assert answer([PAIR], question) == "The circle is red."


@pytest.mark.parametrize(
    "question", ["how many stars?", "Wie viele Sterne?", "¿cuántas estrellas?", "combien d'étoiles ?", "有几颗星?"]
)
def test_equal_things_are_counted(question: str) -> None:
    assert answer([STARS], question) == "There are three stars."


@pytest.mark.parametrize(
    ("caption", "question", "said"),
    [
        (PAIR, "how many cats are there?", "There are no cats."),
        (PAIR, "how many circles and squares are there?", "There is one circle. There is one square."),
        (PAIR, "how many red or blue circles are there?", "There is one red or blue circle."),
        (PAIR, "how many things?", "There are two things: a red circle and a blue square."),
        (PAIR, "what colors are there?", "The circle is red, the square is blue and the background is plain white."),
        (PAIR, "what is red?", "The circle."),
        (PAIR, "is there a cat?", "No, I see a red circle and a blue square."),
        (PAIR, "is there a square?", "Yes, I see a blue square."),
        (PAIR, "is the circle blue?", "No, the circle is red."),
        (PAIR, "gibt es ein Quadrat?", "Yes, I see a blue square."),
        (PAIR, "where is the square?", "The blue square is to the right of the red circle."),
        (PAIR, "what is left of the square?", "The blue square is to the right of the red circle."),
        (PAIR, "what is in the background?", "The background is plain white."),
        (PAIR, "is the background black?", "No. The background is plain white."),
        (PAIR, "where is the cat?", "There is no cat here; I see a red circle and a blue square."),
        (LAND, "Welche Farbe hat der Hut?", "The house is orange and the background is grass by day."),
        (LAND, "what colour are the boots?", "The house is orange and the background is grass by day."),
        (LAND, "where is the house?", "The orange house is on the grass, on the left."),
        (LAND, "where is the sun?", "The sun is in the sky."),
        (LAND, "is there a sun?", "Yes, I see a sun."),
        (LAND, "is it night?", f"No. I see {LAND}."),
        (STARS, "background?", "The background is a vertical gradient from dark blue to black."),
        ("a large pink heart on a beige background", "how big is the heart?", "The pink heart is large."),
        ("a plain red background", "what do you see?", "A plain red background with nothing on it."),
        (INSIDE, "wo ist der Stern?", "The white star is inside the red circle."),
    ],
)  # fmt: skip
def test_questions_about_one_picture(caption: str, question: str, said: str) -> None:
    assert answer([caption], question) == said


@pytest.mark.parametrize(
    "question",
    [
        "What does the text say?",
        "who is this person?",
        "how much does it cost, what price?",
        "hello",
        "谁在画里?",
        "are there more circles than squares?",
        "is the circle bigger than the square?",
        "ist der Kreis größer als das Quadrat?",
        "¿hay más círculos que cuadrados?",
        "le cercle est-il plus grand que le carré ?",
        "圆比方块大吗?",
    ],
)
def test_beyond_its_world_it_says_so_and_what_it_sees(question: str) -> None:
    assert answer([PAIR], question) == f"{WORLD}, so I cannot tell. I see {PAIR}."


def test_an_unreadable_picture_is_called_so() -> None:
    assert answer(["unknown"], "how many stars?") == UNREADABLE


def test_without_a_picture_it_asks_for_one() -> None:
    assert answer([], "what is this?") == NO_PICTURE


def test_a_caption_outside_the_grammar_is_passed_on() -> None:
    assert answer(["two cats on a sofa"], "how many cats?") == "Two cats on a sofa."


def test_several_pictures_are_described_one_by_one() -> None:
    assert answer([PAIR, LAND], "describe").splitlines() == [
        f"Image 1: A{PAIR[1:]}.",
        f"Image 2: A{LAND[1:]}.",
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "a red star on a white background",
            "a blue star on a white background",
            "The star is red in image 1 and blue in image 2.",
        ),
        (
            "a red star on a white background",
            "a large red star on a white background",
            "The star is of middle size in image 1 and large in image 2.",
        ),
        (
            "a red star on a white background",
            "a red star on the left on a black background",
            "The star is in the middle in image 1 and on the left in image 2. "
            "The background is plain white in image 1 and plain black in image 2.",
        ),
        (
            "a plain white background",
            "two red cats on a white background",
            "Two red cats are only in image 2.",
        ),
        (LAND, LAND.removesuffix(" with a sun"), "A sun is only in image 1."),
        (PAIR, PAIR, f"As far as I can tell images 1 and 2 show the same: {PAIR}."),
    ],
)
def test_two_pictures_are_compared(before: str, after: str, said: str) -> None:
    assert answer([before, after], "what changed?") == said


def test_pictures_of_which_one_is_unreadable_are_neither_the_same_nor_different() -> None:
    assert answer([PAIR, "unknown"], "are they the same?").startswith("I cannot compare them.")


def test_asked_whether_they_are_the_same_it_begins_with_the_answer() -> None:
    assert answer([PAIR, LAND], "Are they the same?").startswith("No. ")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("which one has a house?", "Image 2."),
        ("which picture has a red circle?", "Image 1."),
        ("which image is on grass?", "Image 2."),
        ("which one has a cat?", f"None of them. Image 1: A{PAIR[1:]}. Image 2: A{LAND[1:]}."),
    ],
)
def test_it_says_which_picture_has_something(question: str, said: str) -> None:
    assert answer([PAIR, LAND], question) == said


def test_a_picture_it_cannot_read_is_not_compared() -> None:
    assert answer(["unknown", PAIR], "what changed?").startswith("I cannot compare them.")
