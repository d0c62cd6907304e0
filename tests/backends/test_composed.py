"""Operations that are made of others, on a backend that draws flat colours and a grounder that knows one box."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest

from limner.backends.composed import Composed
from limner.catalogue import ModelSpec, Policy, resolve
from limner.core import Event, Finished, Operation, Picture, Preview, Progress, Request, Size
from limner.errors import InvalidRequest
from tests.fakes import FakeBackend, builtin

SKETCH, QWEN, SDXL = (builtin().get(name) for name in ("sketch", "Qwen/Qwen-Image-Edit-2511", "sdxl"))
GREY = Picture("RGB", Size(256, 256), bytes([127]) * 256 * 256 * 3)


class FakeGrounder:
    """Finds everything in the same box; "moon" is nowhere."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def mask(self, picture: Picture, words: str) -> Picture:
        self.asked.append(words)
        if words == "moon":
            raise InvalidRequest("no moon was found", param="region")
        width, height = picture.size.width_px, picture.size.height_px
        box = [
            width // 4 <= x < width // 2 and height // 4 <= y < height // 2 for y in range(height) for x in range(width)
        ]
        return Picture("L", picture.size, bytes(255 * inside for inside in box))


class Drawing:
    """A model, who draws it and who grounds it, and what came out."""

    def __init__(self, spec: ModelSpec = SKETCH) -> None:
        self.spec, self.inner, self.grounder = spec, FakeBackend(), FakeGrounder()
        self.backend = Composed(spec, self.inner, lambda: self.grounder)

    def resolved(
        self, operation: Operation, prompt: str = "", inputs: tuple[Picture, ...] = (GREY,), **params: object
    ) -> Request:
        given = {name: value for name, value in params.items() if isinstance(value, int | float | str)}
        return resolve(Request(operation, "", prompt, inputs, seed=1, params=given), self.spec, Policy()).request

    async def events(self, request: Request) -> list[Event]:
        async with aclosing(self.backend.generate(request)) as events:
            return [event async for event in events]

    async def picture(self, request: Request) -> Picture:
        finished = (await self.events(request))[-1]
        assert isinstance(finished, Finished)
        [made] = finished.pictures
        assert isinstance(made, Picture)
        return made

    @property
    def asked(self) -> Request:
        [request] = self.inner.requests
        return request


def pixel(picture: Picture, x: int, y: int) -> tuple[int, ...]:
    at = (y * picture.size.width_px + x) * 3
    return tuple(picture.pixels[at : at + 3])


async def test_what_the_model_does_itself_goes_to_it_as_it_is() -> None:
    drawing = Drawing()
    request = drawing.resolved(Operation.EDIT, "make it blue")
    await drawing.picture(request)
    assert drawing.asked is request


async def test_outpainting_is_inpainting_around_the_picture() -> None:
    drawing = Drawing()
    made = await drawing.picture(drawing.resolved(Operation.OUTPAINT, "  ", right=64, top=30))
    asked = drawing.asked
    assert asked.operation is Operation.INPAINT
    assert asked.prompt == ""
    assert asked.params == {"num_inference_steps": 12, "guidance_scale": 3.0, "strength": 0.8, "sampler": "Euler"}
    assert asked.mask is not None
    assert asked.inputs[0].size == asked.mask.size == asked.size == Size(320, 288)
    assert made.size == Size(320, 286)
    assert pixel(made, 100, 150) == (127, 127, 127)
    assert pixel(made, 300, 150) == pixel(made, 100, 5) != (127, 127, 127)


async def test_a_prompt_for_what_is_new_reaches_the_model() -> None:
    drawing = Drawing()
    await drawing.picture(drawing.resolved(Operation.OUTPAINT, "a yellow sun", right=64, strength=0.5))
    assert (drawing.asked.prompt, drawing.asked.params["strength"]) == ("a yellow sun", 0.5)


async def test_a_region_edit_is_inpainting_of_what_the_words_name() -> None:
    drawing = Drawing()
    [*_, finished] = await drawing.events(drawing.resolved(Operation.REGION_EDIT, "a green hat", region="the hat"))
    assert drawing.grounder.asked == ["the hat"]
    assert (drawing.asked.operation, drawing.asked.prompt) == (Operation.INPAINT, "a green hat")
    assert "region" not in drawing.asked.params
    assert isinstance(finished, Finished)
    assert finished.timings_s["ground"] >= 0
    [made] = finished.pictures
    assert isinstance(made, Picture)
    assert pixel(made, 200, 200) == pixel(made, 20, 20) == (127, 127, 127)
    assert pixel(made, 100, 100) != (127, 127, 127)


async def test_a_region_edit_keeps_the_size_of_its_picture() -> None:
    drawing = Drawing()
    large = Picture("RGB", Size(600, 330), bytes([127]) * 600 * 330 * 3)
    made = await drawing.picture(drawing.resolved(Operation.REGION_EDIT, "a hat", (large,), region="the hat"))
    assert made.size == large.size
    assert drawing.asked.size is not None
    assert drawing.asked.size.pixels <= SKETCH.sizes.edit_pixels
    assert made.pixels[: 600 * 50 * 3] == large.pixels[: 600 * 50 * 3]


async def test_references_stay_with_a_region_edit() -> None:
    drawing = Drawing()
    other = replace(GREY, pixels=bytes(256 * 256 * 3))
    await drawing.picture(drawing.resolved(Operation.REGION_EDIT, "this hat", (GREY, other), region="the hat"))
    assert drawing.asked.inputs[1:] == (other,)


async def test_a_region_that_is_not_there_is_refused_and_nothing_drawn() -> None:
    drawing = Drawing()
    with pytest.raises(InvalidRequest, match="no moon was found"):
        await drawing.events(drawing.resolved(Operation.REGION_EDIT, "a star", region="moon"))
    assert drawing.inner.requests == []


@pytest.mark.parametrize(
    ("spec", "operation", "prompt", "strength"),
    [
        (SKETCH, Operation.INPAINT, "", 0.7),  # its edits have no strength, its inpainting has
        (SDXL, Operation.EDIT, "", 0.7),
        (QWEN, Operation.EDIT, "a variation of this picture", None),
    ],
)
async def test_a_variation_is_drawn_by_strength_or_else_by_words(
    spec: ModelSpec, operation: Operation, prompt: str, strength: float | None
) -> None:
    drawing = Drawing(spec)
    request = drawing.resolved(Operation.VARY, num_inference_steps=4)
    made = await drawing.picture(request)
    asked = drawing.asked
    assert (asked.operation, asked.prompt, asked.params.get("strength")) == (operation, prompt, strength)
    assert (made.size, asked.size) == (request.size, request.size)
    if asked.mask is not None:
        assert set(asked.mask.pixels) == {255}
    else:
        assert asked.inputs == (GREY,)


async def test_words_for_a_variation_reach_the_model() -> None:
    drawing = Drawing(QWEN)
    await drawing.picture(drawing.resolved(Operation.VARY, "at night"))
    assert drawing.asked.prompt == "at night"


async def test_progress_and_finished_previews_pass_through() -> None:
    drawing = Drawing()
    request = replace(
        drawing.resolved(Operation.OUTPAINT, right=64, num_inference_steps=2, strength=1.0), previews=1, n=2
    )
    events = await drawing.events(request)
    assert [event for event in events if isinstance(event, Progress)][-1] == Progress(4, 4)
    previews = [event for event in events if isinstance(event, Preview)]
    assert [event.image_index for event in previews] == [0, 1]
    assert all(event.picture.size == Size(320, 256) and pixel(event.picture, 9, 9) == (127,) * 3 for event in previews)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert len(finished.pictures) == 2


async def test_leaving_ends_the_work_behind_it() -> None:
    drawing = Drawing()
    drawing.inner.delay_s = 60
    events: AsyncGenerator[Event, None] = drawing.backend.generate(drawing.resolved(Operation.OUTPAINT, right=64))
    drawing.inner.delay_s = 0
    await anext(events)
    await events.aclose()
    assert drawing.inner.cancelled == 1


async def test_it_is_as_well_as_what_draws_and_closes_it() -> None:
    drawing = Drawing()
    drawing.inner.healthy = False
    assert not drawing.backend.healthy
    await drawing.backend.aclose()
    assert drawing.inner.closed
