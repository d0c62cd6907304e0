import pytest

from limner.catalogue.aspect import infer

WORDS = {
    # the format is named
    "a watercolor of a cat in a hat, portrait": "2:3",
    "a cat in portrait": "2:3",
    "a cat (portrait)": "2:3",
    "portrait format, a cat": "2:3",
    "a cat in portrait orientation": "2:3",
    "A CAT, PORTRAIT, OIL": "2:3",
    "a vertical poster of a rocket": "2:3",
    "a rocket in vertical format": "2:3",
    "mountains, landscape": "3:2",
    "mountains in landscape mode": "3:2",
    "landscape-oriented photo of a bridge": "3:2",
    "a horizontal photo of a bridge": "3:2",
    "a horse, square": "1:1",
    "a square picture of a horse": "1:1",
    "an album cover for a jazz band": "1:1",
    "a widescreen shot of a canyon": "16:9",
    "a canyon, wide": "16:9",
    "a wide illustration of a canyon": "16:9",
    "a desktop wallpaper with foxes": "16:9",
    "a YouTube thumbnail about bread": "16:9",
    "an ultrawide view of a canyon": "21:9",
    "an ultra-widescreen canyon": "21:9",
    "a panorama of the alps": "21:9",
    "a hero banner for a bakery": "21:9",
    "a wide banner": "16:9",
    "a tall poster of a rocket": "9:16",
    "a phone wallpaper with stars": "9:16",
    "an Instagram story about cats": "9:16",
    "an instagram post about cats": "4:5",
    # the word is the subject
    "a portrait of a man": None,
    "portraiture of a man": None,
    "a man in portrait style": None,
    "a landscape painting of hills": None,
    "a cat in a wide landscape": None,
    "a lone tree in a landscape": None,
    "people dancing in a square": None,
    "a red square and a blue circle": None,
    "Times Square at night": None,
    "make it square-jawed": None,
    "a tall man": None,
    "an ultra wide angle photo of a room": None,
    "a wide shot of a street": None,
    "a woman holding a banner": None,
    "vertical lines": None,
    "a panoramic roof": None,
    "": None,
}
NUMBERS = {
    "a city, 16:9": "16:9",
    "a 16:9 city": "16:9",
    "a city in 21 : 9": "21:9",
    "a city, 16x9": "16:9",
    "a 16 by 9 frame of a city": "16:9",
    "a cat, 3:2": "3:2",
    "a cat in 4:3": "4:3",
    "a 4:3 photo of a cat": None,
    "a 4:3 ratio photo of a cat": "4:3",
    "aspect ratio 2:3, a cat": "2:3",
    "a cat --ar 2:3": "2:3",
    "1:1": "1:1",
    "1024x768 cat": "1024x768",
    "a cat, 1024 x 768 px": "1024x768",
    "a 1920×1080 desktop wallpaper": "1920x1080",
    # not a format
    "a clock at 3:15": None,
    "a clock at 16:09": None,
    "a scoreboard that shows 2:1 for us": None,
    "a pile of 2x4 lumber": None,
    "a table of 3000x2000mm": None,
    "a rug of 200 x 300 cm": None,
    "a 300 x 400 foot warehouse": None,
    "a 16 x 10 ft shed": None,
    "a 9x16 inch frame": None,
    "a 100x100 grid of dots": None,
    "a 1920x1080 grid of dots": None,
    "a 16 by 9 checkerboard": None,
    "a 100x100 grid of dots, 1024x768": "1024x768",
    "a 16 x 10 ft shed, 4:3": "4:3",
    "a 16:9 grid of photos": "16:9",
    "1024x768 in oil": "1024x768",
    'a sign that says "16:9"': None,
    "a sign that says “in portrait”": None,
    "version 1.1024x768.3": None,
    "John 3:16": None,
}
ORDER = {
    "a portrait format picture, 16:9": "16:9",
    "16:9, 1024x768": "1024x768",
    "widescreen, not square format": "16:9",
}


@pytest.mark.parametrize(("prompt", "shape"), [*WORDS.items(), *NUMBERS.items(), *ORDER.items()])
def test_infers_the_shape_that_a_prompt_asks_for(prompt: str, shape: str | None) -> None:
    found = infer(prompt)
    assert (found and str(found.size or f"{found.width}:{found.height}")) == shape


def test_long_prompts_are_read_quickly() -> None:
    for piece in ("16:9a ", '"', "square ", "1 by ", "999x", ", ", "ultra ", "in a "):
        infer(piece * (32_000 // len(piece)))
