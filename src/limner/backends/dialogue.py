"""What a request for words says to a model that converses: who said what, and the pictures as they are looked at.

Pure values and Pillow; knows neither engine nor wire.
"""

import math
from collections.abc import Iterable

import PIL.Image

from limner.backends.pixels import opaque
from limner.core import Picture, Request, Said
from limner.errors import MissingParameter

LOOKED_AT_PIXELS = 1536 * 1536
"""The most that a picture keeps: finer detail than vision towers resolve in one look, fine enough for a page of print.
Models that read pictures at their own size would make tens of thousands of tokens of a photograph otherwise."""
SLENDER = 64
"""How many times as long as wide a picture may be: vision towers refuse strips, or make nothing of them."""
LOOK = "Describe this picture."
COMPARE = "Describe these pictures."


def dialogue(request: Request) -> tuple[Said, ...]:
    """The system's words first, if there are any, then user and assistant in turn; the last is the user's question.

    Many chat templates take no other order. Raises MissingParameter where nothing is asked about nothing.
    """
    system = "\n\n".join(said.text for said in request.history if said.role == "system" and said.text.strip())
    earlier = [said for said in request.history if said.role != "system" and said.text.strip()]
    turns = _in_turn([*earlier, Said("user", spoken(request))])
    return (Said("system", system), *turns) if system else tuple(turns)


def looked_at(picture: Picture) -> PIL.Image.Image:
    """``picture`` in RGB, on white where it is transparent, made smaller where it has too many pixels, with white
    beside it where it is too slender. Not for the event loop."""
    image = opaque(picture)
    width, height = _broad(image.size)
    factor = math.sqrt(LOOKED_AT_PIXELS / (width * height))
    if factor < 1:
        sides = (max(1, math.floor(image.width * factor)), max(1, math.floor(image.height * factor)))
        image = image.resize(sides, PIL.Image.Resampling.LANCZOS)
    width, height = _broad(image.size)
    if image.size == (width, height):
        return image
    ground = PIL.Image.new("RGB", (width, height), "white")
    ground.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return ground


def _broad(extent: tuple[int, int]) -> tuple[int, int]:
    """``extent``, made so broad that it is not too slender."""
    least = math.ceil(max(extent) / SLENDER)
    return max(extent[0], least), max(extent[1], least)


def spoken(request: Request) -> str:
    """The question. Raises MissingParameter where nothing is asked about nothing."""
    if request.prompt.strip():
        return request.prompt
    if not request.inputs:
        raise MissingParameter(
            "Missing required parameter: 'prompt' (it is blank, and there is no picture)", param="prompt"
        )
    return LOOK if len(request.inputs) == 1 else COMPARE


def _in_turn(said: Iterable[Said]) -> list[Said]:
    """``said`` with what one speaker said in a row as one."""
    turns: list[Said] = []
    for each in said:
        if turns and turns[-1].role == each.role:
            turns[-1] = Said(each.role, f"{turns[-1].text}\n\n{each.text}")
        else:
            turns.append(each)
    return turns
