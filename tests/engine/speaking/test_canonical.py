"""Canonical captions taken apart."""

import pytest

from limner.engine.speaking.canonical import Behind, Group, Seen, parse


@pytest.mark.parametrize(
    ("caption", "seen"),
    [
        (
            "a small red circle in the top left corner on a light blue background",
            Seen((Group("circle", "red", "small", 1, "in the top left corner"),), "", Behind("plain", ("light blue",))),
        ),
        (
            "two red crosses and a blue fish on horizontal pink and white stripes",
            Seen(
                (Group("cross", "red", number=2), Group("fish", "blue")),
                "",
                Behind("stripes", ("pink", "white"), "horizontal"),
            ),
        ),
        (
            "a white star inside a red circle on a red and yellow checkerboard",
            Seen((Group("star", "white"), Group("circle", "red")), "inside", Behind("checkerboard", ("red", "yellow"))),
        ),
        (
            "a red boat on the sea at night with a moon",
            Seen((Group("boat", "red"),), "", Behind("land", ground="sea", time="night"), ("moon",)),
        ),
        ("a plain green background", Seen((), "", Behind("plain", ("green",)))),
        ("snow by day with a sun", Seen((), "", Behind("land", ground="snow", time="day"), ("sun",))),
        ("a night sky", Seen((), "", Behind("night sky", time="night"))),
    ],
)
def test_captions_are_taken_apart(caption: str, seen: Seen) -> None:
    assert parse(caption) == seen


@pytest.mark.parametrize("caption", ["unknown", "", "a dog on a sofa", "a red circle", "a red a on a white background"])
def test_other_texts_are_not(caption: str) -> None:
    assert parse(caption) is None
