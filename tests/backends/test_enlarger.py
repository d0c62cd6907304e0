import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from limner.backends.enlarger import EnlargerBackend
from limner.catalogue import Catalogue
from limner.catalogue.resolve import Policy, resolve
from limner.core import Event, Finished, Operation, ParamValue, Picture, Progress, Request, Size
from limner.engine import EngineSettings
from limner.engine.enlarging import Enlarging
from limner.engine.pictures import image_of, picture_of
from limner.errors import InvalidRequest, NotReady
from tests.engine.enlarging.fakes import Lanczos

CATALOGUE = Catalogue.builtin()
RESAMPLE = CATALOGUE.get("resample")
PICTURE = picture_of(Image.linear_gradient("L").convert("RGB").resize((600, 60)))


def request(picture: Picture = PICTURE, **params: ParamValue) -> Request:
    asked = Request(Operation.UPSCALE, RESAMPLE.id, "", inputs=(picture,), params=params)
    return resolve(asked, RESAMPLE, Policy()).request


async def collect(backend: EnlargerBackend, asked: Request) -> tuple[list[Event], Finished]:
    events = [event async for event in backend.generate(asked)]
    assert isinstance(events[-1], Finished)
    return events[:-1], events[-1]


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[EnlargerBackend]:
    made = EnlargerBackend(EngineSettings(device="cpu"))
    await made.load(RESAMPLE)
    yield made
    await made.aclose()


@pytest.mark.parametrize(("scale", "size"), [(None, "2400x240"), ("2", "1200x120"), (8, "4800x480")])
async def test_the_picture_becomes_as_much_larger_as_asked(
    backend: EnlargerBackend, scale: ParamValue, size: str
) -> None:
    before, finished = await collect(backend, request(scale=scale))
    (drawn,) = finished.pictures
    assert str(drawn.size) == size
    assert before == [Progress(1, 1)]
    assert (finished.model_revision or "").startswith("pillow-")


async def test_transparency_stays(backend: EnlargerBackend) -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (5, 5, 15, 15))
    _, finished = await collect(backend, request(picture_of(image), scale="2"))
    (drawn,) = finished.pictures
    assert isinstance(drawn, Picture)
    assert [image_of(drawn).getchannel("A").getpixel(at) for at in ((1, 1), (20, 20))] == [0, 255]


@pytest.mark.parametrize("scale", ["3", 16, "big"])
async def test_other_factors_are_refused_naming_those_there_are(scale: ParamValue) -> None:
    with pytest.raises(InvalidRequest, match=r"'scale': .*Allowed: '2' or '4' or '8'"):
        request(scale=scale)


async def test_what_would_become_too_large_is_refused_at_the_door() -> None:
    with pytest.raises(InvalidRequest, match=r"'scale': 8 makes 2048x1025 16384x8200\. It has .* pixels"):
        request(Picture("L", Size(2048, 1025), bytes(2048 * 1025)), scale="8")


async def test_leaving_ends_the_work_between_two_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    model = Lanczos(scale=4)

    class Slow(Enlarging):
        def enlarge(self, picture: Picture, size: Size, tell: Callable[[int, int], None]) -> Picture:
            def told(step: int, total_steps: int) -> None:
                tell(step, total_steps)
                goes_on.wait(5)

            return super().enlarge(picture, size, told)

    monkeypatch.setattr(Enlarging, "load", classmethod(lambda cls, source, settings: Slow(model, "slow")))
    backend = EnlargerBackend(EngineSettings(device="cpu"))
    await backend.load(RESAMPLE)
    wide = picture_of(Image.new("RGB", (2000, 40)))
    async with aclosing(backend.generate(request(wide))) as events:
        assert await anext(events) == Progress(1, 5)
    goes_on.set()
    await backend.aclose()  # waits for the thread
    assert len(model.seen) == 2


async def test_a_file_that_is_not_there_is_said_at_load(tmp_path: Path) -> None:
    spec = CATALOGUE.spec_for_source(str(tmp_path / "4x-UltraSharp.pth")).spec
    backend = EnlargerBackend(EngineSettings(device="cpu"))
    with pytest.raises(InvalidRequest, match="there is no file"):
        await backend.load(spec)
    await backend.aclose()
    assert not backend.healthy
    with pytest.raises(NotReady):
        await backend.load(RESAMPLE)
