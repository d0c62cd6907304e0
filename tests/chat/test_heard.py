"""How a sentence is made ready for reading."""

import pytest

from limner.chat.heard import HEARD_CHARS, hear


@pytest.mark.parametrize(
    ("said", "core"),
    [
        ("  Make   it\nBLUE!! ", "make it blue"),
        ("repalce teh backgruond", "replace the background"),
        ("Entferne den Hut über dem Weiß", "entferne den hut uber dem weis"),
        ("e\u0301tends l\u2019image", "etends l'image"),
        ("请帮我画一只猫吧", "画一只猫"),
        ("take a chance on a crate of lager", "take a chance on a crate of lager"),
        ('write "make it blue" on it', 'write "············" on it'),
        ("Schreib „mach es blau“ drauf", 'schreib "············" drauf'),
    ],
)
def test_slips_accents_and_case_are_put_right(said: str, core: str) -> None:
    assert hear(said).core == core


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        ("Could you please draw a Red Fox for me?", "draw a Red Fox"),
        ("ok, now make it blue", "make it blue"),
        ("what is it?", "what is it?"),
        ("please", "please"),
        ("cool robot", "cool robot"),
        ("Bitte zeichne einen Hund, danke", "zeichne einen Hund"),
        ("Draw a cat.\n\nIn a Hat.", "Draw a cat.\n\nIn a Hat."),
    ],
)
def test_the_prompt_keeps_the_users_words_without_politeness(said: str, prompt: str) -> None:
    assert hear(said).prompt == prompt


def test_what_is_read_can_be_shown_as_it_was_written() -> None:
    heard = hear("Füge den Café-Stern hinzu")
    start = heard.core.index("cafe")
    assert heard.shown[start : start + 10] == "Café-Stern"


def test_what_was_set_aside_is_left_out() -> None:
    heard = hear("forget the cat, draw a dog")
    assert heard.fresh
    assert heard.prompt == "draw a dog"


def test_no_letter_of_a_long_prompt_is_lost() -> None:
    said = "please draw " + "x" * HEARD_CHARS + " please"
    assert hear(said).prompt == said.removeprefix("please ")
