import asyncio
import threading
from pathlib import Path

import pytest
from PIL import Image

from limner.backends.grounder import EngineGrounder
from limner.core import Picture, Size
from limner.engine.pictures import picture_of
from limner.errors import InvalidRequest, NotReady
from tests.engine.grounding import tiny

PICTURE = picture_of(Image.linear_gradient("L").convert("RGB").resize((48, 40)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("grounder")
    tiny.clipseg(made)
    return made


async def answer(grounder: EngineGrounder, words: str) -> Picture | str:
    """Random weights find something or they do not; either way a model has looked."""
    try:
        return await grounder.mask(PICTURE, words)
    except InvalidRequest as error:
        return error.message


async def test_it_loads_when_first_needed_and_answers_many_at_once(folder: Path) -> None:
    grounder = EngineGrounder(str(folder), device="cpu")
    masks = await asyncio.gather(*(answer(grounder, "the red circle") for _ in range(4)))
    assert len(set(masks)) == 1
    for mask in masks:
        assert "the red circle" in mask if isinstance(mask, str) else (mask.mode, mask.size) == ("L", Size(48, 40))
    await grounder.aclose()


async def test_loading_ahead_names_the_weights_and_is_done_once(folder: Path) -> None:
    grounder = EngineGrounder(str(folder), device="cpu")
    assert len(await grounder.load()) == 12
    assert await grounder.load() == await grounder.load()
    await grounder.aclose()


async def test_what_cannot_be_loaded_is_said_each_time() -> None:
    grounder = EngineGrounder("embedded:nobody", device="cpu")
    for _ in range(2):
        with pytest.raises(NotReady, match="nobody"):
            await grounder.load()
        with pytest.raises(NotReady, match="nobody"):
            await grounder.mask(PICTURE, "the red circle")
    await grounder.aclose()


async def test_a_closed_one_answers_nobody(folder: Path) -> None:
    grounder = EngineGrounder(str(folder), device="cpu")
    await grounder.load()
    await grounder.aclose()
    with pytest.raises(NotReady):
        await grounder.mask(PICTURE, "the red circle")


async def test_who_waits_while_it_closes_is_told_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def load(self: EngineGrounder) -> None:
        begun.set()
        goes_on.wait()
        raise NotReady("over")

    monkeypatch.setattr(EngineGrounder, "_loaded", load)
    grounder = EngineGrounder(str(folder), device="cpu")
    running, waiting = (asyncio.ensure_future(grounder.mask(PICTURE, "a circle")) for _ in range(2))
    await asyncio.to_thread(begun.wait)
    closing = asyncio.ensure_future(grounder.aclose())
    [told] = await asyncio.gather(waiting, return_exceptions=True)
    goes_on.set()
    await asyncio.wait({running, closing})
    assert isinstance(told, NotReady)
    assert isinstance(running.exception(), NotReady)
