"""The engine behind the Backend seam: resolved requests in, events out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image

from limner.backends import Backend
from limner.backends.local import LocalBackend, _at_native_size, _extent, _finish, _pictures
from limner.backends.pixels import alike
from limner.catalogue.spec import ModelSpec, ParamSpec, Route, SizeRules
from limner.core import Event, Finished, Operation, Picture, Preview, Progress, Request, Size
from limner.engine import Engine, EngineSettings, Listener, Sample, Ticket
from limner.errors import InvalidRequest, NotReady, UnknownParameter

SIZE = Size(64, 64)
STEPS = 4


def spec(source: str = "embedded:sketch") -> ModelSpec:
    params = [
        ParamSpec("num_inference_steps", "integer", "", default=STEPS),
        ParamSpec("guidance_scale", "number", "", default=3.0),
        ParamSpec("cfg", "number", "", argument="guidance_scale"),
        ParamSpec("negative_prompt", "string", "", argument="negative_prompt_embeds", encoded=True),
        ParamSpec("sharpness", "number", ""),
    ]
    route = Route(
        "local",
        source,
        {
            Operation.GENERATE: "Flux2KleinPipeline",
            Operation.EDIT: "Flux2KleinPipeline",
            Operation.INPAINT: "Flux2KleinInpaintPipeline",
        },
        {"text_encoder_out_layers": (1, 2, 3), "max_sequence_length": 48},
        (16, 32),
    )
    return ModelSpec(
        id="sketch",
        family="sketch",
        title="Sketch",
        operations=frozenset(route.pipelines),
        sizes=SizeRules(SIZE, 32, 32, 512, 512 * 512),
        params={param.name: param for param in params},
        routes=(route,),
    )


def request(operation: Operation = Operation.GENERATE, **options: Any) -> Request:
    params = {"num_inference_steps": STEPS, "guidance_scale": 3.0, **options.pop("params", {})}
    return Request(operation, "sketch", "a red circle", size=SIZE, seed=1, params=params, **options)


def picture(colour: str) -> Picture:
    return Picture("RGB", SIZE, Image.new("RGB", (64, 64), colour).tobytes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[LocalBackend]:
    model = spec()
    made = LocalBackend(EngineSettings(device="cpu", lanes=2), lambda name: model)
    await made.load(model)
    yield made
    await made.aclose()


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """What the engine was given to draw."""
    samples: list[Sample] = []
    drawing = Engine.submit

    def submit(engine: Engine, sample: Sample, listener: Listener) -> Ticket:
        samples.append(sample)
        return drawing(engine, sample, listener)

    monkeypatch.setattr(Engine, "submit", submit)
    return samples


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def collect(backend: Backend, asked: Request) -> tuple[list[Event], Finished]:
    events = [event async for event in backend.generate(asked)]
    assert isinstance(events[-1], Finished)
    return events[:-1], events[-1]


async def test_pictures_come_in_seed_order_and_again_the_same(backend: LocalBackend) -> None:
    _, all_three = await collect(backend, request(n=3))
    assert all_three.model_revision
    assert set(all_three.timings_s) == {"queue", "encode", "denoise", "decode", "total"}
    for i, drawn in enumerate(all_three.pictures):
        assert drawn.size == SIZE
        _, one = await collect(backend, Request(**{**as_fields(request()), "seed": 1 + i}))
        assert np.abs(pixels(drawn) - pixels(one.pictures[0])).max() <= 1
    assert len({pixels(drawn).tobytes() for drawn in all_three.pictures}) == 3


def pixels(drawn: object) -> NDArray[np.int16]:
    assert isinstance(drawn, Picture)
    return np.frombuffer(drawn.pixels, np.uint8).astype(np.int16)


def as_fields(asked: Request) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in Request.__dataclass_fields__}


async def test_progress_is_summed_over_the_samples(backend: LocalBackend) -> None:
    events, _ = await collect(backend, request(n=2))
    progress = [event for event in events if isinstance(event, Progress)]
    assert {event.total_steps for event in progress} == {2 * STEPS}
    steps = [event.step for event in progress]
    assert steps == sorted(steps)
    assert progress[-1].fraction == 1.0


async def test_previews_come_per_picture_before_the_end(backend: LocalBackend) -> None:
    events, _ = await collect(backend, request(n=2, previews=2))
    previews = [(event.image_index, event.preview_index) for event in events if isinstance(event, Preview)]
    assert sorted(previews) == [(0, 0), (0, 1), (1, 0), (1, 1)]


async def test_edits_and_masks(backend: LocalBackend) -> None:
    red, blue = picture("red"), picture("blue")
    mask = Picture("L", SIZE, bytes(255 if x >= 32 else 0 for _ in range(64) for x in range(64)))
    results = [
        (await collect(backend, request(Operation.EDIT, inputs=(red,))))[1],
        (await collect(backend, request(Operation.EDIT, inputs=(red, blue))))[1],
        (await collect(backend, request(Operation.INPAINT, inputs=(red,), mask=mask)))[1],
        (await collect(backend, request(Operation.INPAINT, inputs=(red, blue), mask=mask)))[1],
    ]
    assert {result.pictures[0].size for result in results} == {SIZE}


async def test_a_mask_on_a_picture_of_another_size_draws_the_requested_one(backend: LocalBackend) -> None:
    large = Size(96, 128)
    source = Picture("RGBA", large, bytes(4 * large.pixels))
    mask = Picture("L", large, bytes(large.pixels))
    _, result = await collect(backend, request(Operation.INPAINT, inputs=(source,), mask=mask))
    assert result.pictures[0].size == SIZE


@pytest.mark.parametrize("previews", [0, 1])
async def test_what_a_mask_keeps_is_kept_to_the_byte(backend: LocalBackend, previews: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    soft = np.zeros((64, 64), np.uint8)
    soft[:, 32:], soft[:, 48:] = 128, 255
    source, mask = Picture("RGB", SIZE, noise.tobytes()), Picture("L", SIZE, soft.tobytes())
    events, result = await collect(backend, request(Operation.INPAINT, inputs=(source,), mask=mask, previews=previews))
    shown = [event.picture for event in events if isinstance(event, Preview)]
    assert len(shown) == previews
    for drawn in (*shown, result.pictures[0]):
        rows = pixels(drawn).reshape(64, 64, 3)
        assert (rows[:, :32] == noise[:, :32]).all()
        assert (rows[:, 48:] != noise[:, 48:]).any()


async def test_a_picture_of_another_size_is_kept_at_the_size_drawn(backend: LocalBackend) -> None:
    large = Size(128, 128)
    source = Picture("RGB", large, Image.new("RGB", (128, 128), (10, 200, 30)).tobytes())
    mask = Picture("L", large, bytes(255 if x >= 64 else 0 for _ in range(128) for x in range(128)))
    _, result = await collect(backend, request(Operation.INPAINT, inputs=(source,), mask=mask))
    assert (pixels(result.pictures[0]).reshape(64, 64, 3)[:, :24] == (10, 200, 30)).all()


async def test_what_is_transparent_lies_on_white(backend: LocalBackend) -> None:
    def drawn_from(colour: tuple[int, int, int, int]) -> Request:
        source = Picture("RGBA", SIZE, bytes(colour) * SIZE.pixels)
        return request(Operation.EDIT, inputs=(source,))

    _, clear = await collect(backend, drawn_from((255, 0, 0, 0)))
    _, white = await collect(backend, drawn_from((255, 255, 255, 255)))
    _, red = await collect(backend, drawn_from((255, 0, 0, 255)))
    assert clear.pictures == white.pictures
    assert clear.pictures != red.pictures


async def test_prompts_longer_than_what_the_model_reads_are_warned_about(backend: LocalBackend) -> None:
    async def warnings(prompt: str, negative: str | None = None) -> list[tuple[str, str, str]]:
        asked = Request(**{**as_fields(request(params={"negative_prompt": negative})), "prompt": prompt})
        _, result = await collect(backend, asked)
        return [(w.param, w.code, w.message) for w in result.warnings]

    # The sketch's template lowers and trims a prompt and puts one token behind it; 48 are read in all.
    assert await warnings("a red circle") == []
    assert await warnings("red " * 48) == []
    said = [("prompt", "adjusted", "the prompt has 49 tokens; the model reads the first 48")]
    assert await warnings("red " * 49) == said
    said = [("negative_prompt", "adjusted", "the negative prompt has 60 tokens; the model reads the first 48")]
    assert await warnings("a red circle", "red " * 60) == said


@pytest.mark.parametrize(
    ("prompt", "negative", "length"),
    [
        ("a red circle", None, 16),
        ("", None, 16),
        ("red " * 15, None, 16),
        ("red " * 16, None, 32),  # the template's own token does not fit beside them
        ("a red circle", "red " * 20, 32),
        ("red " * 31, None, 32),
        ("red " * 32, None, 48),
        ("red " * 60, None, 48),
    ],
)
async def test_no_more_text_is_read_than_the_words_need(
    backend: LocalBackend, submitted: list[Sample], prompt: str, negative: str | None, length: int
) -> None:
    asked = request(params={"negative_prompt": negative, "num_inference_steps": 1}, n=2)
    await collect(backend, Request(**{**as_fields(asked), "prompt": prompt}))
    assert [sample.arguments["max_sequence_length"] for sample in submitted] == [length, length]


async def test_parameters_reach_the_pipeline_under_its_own_names(backend: LocalBackend) -> None:
    _, plain = await collect(backend, request())
    _, renamed = await collect(backend, request(params={"guidance_scale": None, "cfg": 3.0}))
    _, encoded = await collect(backend, request(params={"negative_prompt": ""}))
    assert plain.pictures == renamed.pictures == encoded.pictures


async def test_a_parameter_that_the_pipeline_lacks_is_an_error(backend: LocalBackend) -> None:
    with pytest.raises(UnknownParameter, match="sharpness"):
        await collect(backend, request(params={"sharpness": 2.0}))


async def test_an_operation_without_a_pipeline_is_an_error(backend: LocalBackend) -> None:
    with pytest.raises(InvalidRequest, match="upscale"):
        await collect(backend, request(Operation.UPSCALE, inputs=(picture("red"),)))


@pytest.fixture
def native(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model draws 64x64 alone."""
    alone = replace(spec(), sizes=replace(spec().sizes, native=SIZE))
    monkeypatch.setattr(backend, "_spec_of", lambda name: alone)


@pytest.mark.usefixtures("native")
async def test_a_model_of_one_size_is_given_references_laid_into_it(
    backend: LocalBackend, submitted: list[Sample]
) -> None:
    size = Size(256, 128)
    rows = [b"\xff\x00\x00" * 256] * 64 + [b"\x00\x00\xff" * 256] * 64  # red above blue
    asked = replace(request(Operation.EDIT, inputs=(Picture("RGB", size, b"".join(rows)),), previews=1), size=size)
    events, result = await collect(backend, asked)
    [sample] = submitted
    assert (sample.arguments["width"], sample.arguments["height"]) == (64, 64)
    reference = sample.arguments["image"]
    assert isinstance(reference, Image.Image)
    assert [reference.getpixel((32, y)) for y in (0, 24, 40, 63)] == [(255, 0, 0)] * 2 + [(0, 0, 255)] * 2
    shown = [event.picture.size for event in events if isinstance(event, Preview)]
    assert [*shown, result.pictures[0].size] == [size, size]


async def test_what_was_laid_into_another_size_is_cut_out_of_it_again() -> None:
    wide, native = Size(128, 64), Size(64, 64)
    row = b"".join(bytes((2 * x, 0, 255 - 2 * x)) for x in range(128))
    source = Picture("RGB", wide, row * 64)
    asked = replace(request(Operation.EDIT, inputs=(source,)), size=wide)
    laid = _at_native_size(asked, native)
    assert {one.size for one in laid.inputs} == {laid.size} == {native}
    back = _finish(asked, native)(laid.inputs[0])
    assert back.size == wide
    assert np.abs(pixels(back) - pixels(source)).max() <= 8


async def test_a_picture_from_words_is_continued_to_the_size_asked_for() -> None:
    native, wide = Size(64, 64), Size(128, 64)
    drawn = Picture("RGB", native, (b"\x00\x80\x00" + b"\xff\xff\xff" * 62 + b"\x80\x00\x00") * 64)
    continued = pixels(_finish(replace(request(), size=wide), native)(drawn)).reshape(64, 128, 3)
    assert (continued[:, :33] == (0, 128, 0)).all()
    assert (continued[:, 33:95] == 255).all()
    assert (continued[:, 95:] == (128, 0, 0)).all()


async def test_an_edit_of_other_proportions_than_its_picture_is_continued_too() -> None:
    native, size = Size(64, 64), Size(128, 64)
    drawn = Picture("RGB", native, bytes((9, 9, 9)) * native.pixels)
    finish = _finish(replace(request(Operation.EDIT, inputs=(picture("red"),)), size=size), native)
    assert (finish.part, finish.how) == (native, "fill")
    assert finish(drawn).size == size


@pytest.mark.usefixtures("native")
async def test_what_a_mask_keeps_of_a_model_of_one_size_is_kept_at_the_size_asked_for(backend: LocalBackend) -> None:
    size = Size(128, 128)
    noise = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    mask = Picture("L", size, bytes(255 if x >= 64 else 0 for _ in range(128) for x in range(128)))
    source = Picture("RGB", size, noise.tobytes())
    _, result = await collect(backend, replace(request(Operation.INPAINT, inputs=(source,), mask=mask), size=size))
    rows = pixels(result.pictures[0]).reshape(128, 128, 3)
    assert (rows[:, :64] == noise[:, :64]).all()
    assert (rows[:, 64:] != noise[:, 64:]).any()


async def test_a_pipeline_that_draws_another_size_is_brought_to_the_one_asked_for(
    backend: LocalBackend, submitted: list[Sample]
) -> None:
    source = Picture("RGB", Size(64, 64), bytes(3 * 64 * 64))
    mask = Picture("L", Size(64, 64), b"\xff" * 64 * 64)
    asked = request(Operation.INPAINT, inputs=(source,), mask=mask)
    _, result = await collect(backend, replace(asked, size=Size(72, 64)))  # its pipeline draws multiples of 32
    assert result.pictures[0].size == Size(72, 64)


async def test_a_picture_that_drawing_begins_with_has_the_size_that_is_drawn() -> None:
    source = Picture("RGB", Size(96, 128), bytes(3 * 96 * 128))
    asked = request(Operation.EDIT, inputs=(source,))
    begun = _pictures(asked, frozenset({"image", "height", "width", "strength"}), "ZImageImg2ImgPipeline")
    looked_at = _pictures(asked, frozenset({"image", "height", "width"}), "Flux2KleinPipeline")
    assert [one["image"].size for one in (begun, looked_at)] == [(64, 64), (96, 128)]  # type: ignore[attr-defined]


async def test_a_pipeline_that_bounds_the_area_is_told_the_one_asked_for() -> None:
    assert _extent(request(), frozenset({"height", "width", "max_area"}))["max_area"] == SIZE.pixels


async def test_references_beside_a_mask_are_neither_cut_nor_huge() -> None:
    first, tall = Image.new("RGB", (4000, 2000), "red"), Image.new("RGB", (100, 400), "blue")
    brought = alike([first, tall])
    assert {image.size for image in brought} == {(1448, 724)}
    assert brought[1].getpixel((724, 2)) == (0, 0, 255) == brought[1].getpixel((724, 721))
    assert brought[1].getpixel((10, 300)) == (255, 255, 255)


async def test_closing_the_iterator_cancels_at_once(backend: LocalBackend) -> None:
    events: AsyncGenerator[Event, None] = backend.generate(request(n=2, params={"num_inference_steps": 5000}))
    assert isinstance(await anext(events), Progress)
    await events.aclose()
    _, after = await asyncio.wait_for(collect(backend, request()), 30)
    assert after.pictures


async def test_cancelling_the_consumer_cancels_the_work(backend: LocalBackend) -> None:
    began = asyncio.Event()

    async def consume() -> None:
        async for _ in backend.generate(request(params={"num_inference_steps": 5000})):
            began.set()

    task = asyncio.create_task(consume())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(collect(backend, request()), 30)


async def test_the_loop_stays_responsive(backend: LocalBackend) -> None:
    worst_s = 0.0

    async def tick() -> None:
        nonlocal worst_s
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            worst_s = max(worst_s, loop.time() - before - 0.005)

    ticker = asyncio.create_task(tick())
    await asyncio.gather(*(collect(backend, request(n=2)) for _ in range(4)))
    ticker.cancel()
    assert worst_s < 0.5


async def test_a_model_that_is_not_loaded_is_not_ready() -> None:
    backend = LocalBackend(EngineSettings(device="cpu", lanes=1), lambda name: spec())
    assert backend.healthy
    with pytest.raises(NotReady, match="not loaded"):
        await collect(backend, request())
    await backend.aclose()
    assert not backend.healthy


async def test_loading_reports_what_is_wrong() -> None:
    backend = LocalBackend(EngineSettings(device="cpu", lanes=1), lambda name: spec())
    with pytest.raises(InvalidRequest, match="/nowhere"):
        await backend.load(spec("/nowhere"))
    await backend.aclose()


async def test_a_closed_engine_is_not_ready() -> None:
    engine = Engine(EngineSettings(device="cpu", lanes=1))
    backend = LocalBackend(engine, lambda name: spec())
    await backend.load(spec())
    health = [backend.healthy]
    engine.close()
    assert [*health, backend.healthy] == [True, False]
    with pytest.raises(NotReady):
        await collect(backend, request())
    await backend.aclose()
