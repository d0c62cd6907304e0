import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageDraw

from limner.backends import Backend
from limner.backends.cutter import CutterBackend
from limner.catalogue import Catalogue, ModelSpec
from limner.catalogue.resolve import Policy, resolve
from limner.catalogue.spec import Route
from limner.core import Event, Finished, Operation, ParamValue, Picture, Progress, Request, Size
from limner.engine.pictures import image_of, picture_of
from limner.errors import InvalidRequest, NotReady

CATALOGUE = Catalogue.builtin()


def moon(colour: str = "white") -> Picture:
    image = Image.new("RGB", (64, 48), "black")
    ImageDraw.Draw(image).ellipse((10, 10, 40, 40), fill=colour)
    return picture_of(image)


@dataclass
class Bright:
    """A grounder that takes what is bright for whatever is named."""

    asked: str = ""
    loads: int = 0

    async def load(self) -> str:
        self.loads += 1
        return "bright"

    async def mask(self, picture: Picture, words: str) -> Picture:
        self.asked = words
        found = image_of(picture).convert("L").point([255 * (level > 100) for level in range(256)])
        if not found.getbbox():
            raise InvalidRequest("Nothing of it was found", param="region")
        return picture_of(found)


def own_file(file: Path) -> ModelSpec:
    """The catalogue's entry for an own file, as an operator may describe it."""
    spec = CATALOGUE.spec_for_source(str(file)).spec
    flat = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    return replace(spec, routes=(Route("cutter", str(file), arguments=flat),))


def request(spec: ModelSpec, picture: Picture, **params: ParamValue) -> Request:
    asked = Request(Operation.REMOVE_BACKGROUND, spec.id, "", inputs=(picture,), params=params)
    return resolve(asked, spec, Policy()).request


async def collect(backend: Backend, asked: Request) -> tuple[list[Event], Finished]:
    events = [event async for event in backend.generate(asked)]
    assert isinstance(events[-1], Finished)
    return events[:-1], events[-1]


@pytest_asyncio.fixture
async def embedded() -> AsyncIterator[CutterBackend]:
    backend = CutterBackend(CATALOGUE.get, Bright())
    await backend.load(CATALOGUE.get("cutout"))
    yield backend
    await backend.aclose()


async def test_the_embedded_one_cuts_out_what_the_grounder_takes_for_the_subject() -> None:
    grounder, spec = Bright(), CATALOGUE.get("cutout")
    backend = CutterBackend(CATALOGUE.get, grounder)
    assert (await backend.load(spec), grounder.loads) == ("bright", 1)
    asked = request(spec, moon())
    assert asked.size == Size(64, 48)
    before, finished = await collect(backend, asked)
    assert before[-1] == Progress(2, 2)
    (cut,) = finished.pictures
    assert isinstance(cut, Picture)
    assert (cut.mode, cut.size, finished.model_revision, grounder.asked) == (
        "RGBA",
        Size(64, 48),
        "bright",
        "the subject",
    )
    assert [image_of(cut).getpixel(at) for at in ((25, 25), (60, 5))] == [(255, 255, 255, 255), (0, 0, 0, 0)]
    await backend.aclose()


async def test_a_picture_without_a_subject_is_the_pictures_fault(embedded: CutterBackend) -> None:
    with pytest.raises(InvalidRequest, match="No subject was found in the picture") as caught:
        await collect(embedded, request(CATALOGUE.get("cutout"), moon("black")))
    assert caught.value.param == "image"


async def test_an_own_file_cuts_out_and_solves_the_edge_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("rembg")
    tiny = pytest.importorskip("tests.engine.cutting.tiny")
    spec = own_file(tiny.brightness(tmp_path / "own.onnx", side=64))
    backend = CutterBackend(lambda name: spec, Bright())
    revision = await backend.load(spec)
    _, plain = await collect(backend, request(spec, moon()))
    assert plain.model_revision == revision
    _, solved = await collect(backend, request(spec, moon(), alpha_matting=True))
    assert plain.pictures != solved.pictures
    assert plain.timings_s["total"] > 0
    await backend.aclose()


async def test_a_model_that_cannot_be_loaded_says_why_and_is_not_there(tmp_path: Path) -> None:
    spec = own_file(tmp_path / "own.onnx")
    backend = CutterBackend(lambda name: spec, Bright())
    with pytest.raises(InvalidRequest, match="there is no file"):
        await backend.load(spec)
    with pytest.raises(NotReady, match=r"'own\.onnx' is not loaded"):
        await collect(backend, request(spec, moon()))
    await backend.aclose()


async def test_leaving_early_cancels_and_the_next_one_is_served(embedded: CutterBackend) -> None:
    asked = request(CATALOGUE.get("cutout"), moon())
    async with aclosing(embedded.generate(asked)) as events:
        await anext(events)
    _, finished = await asyncio.wait_for(collect(embedded, asked), 10)
    assert len(finished.pictures) == 1


async def test_a_closed_one_is_not_healthy_and_loads_nothing() -> None:
    backend = CutterBackend(CATALOGUE.get, Bright())
    assert backend.healthy
    await backend.aclose()
    with pytest.raises(NotReady):
        await backend.load(CATALOGUE.get("cutout"))


async def test_one_that_is_closed_is_not_healthy(embedded: CutterBackend) -> None:
    await embedded.aclose()
    assert not embedded.healthy
