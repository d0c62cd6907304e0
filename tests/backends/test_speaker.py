"""Language models behind the Backend seam: requests for words in, words out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from limner.backends import Backend
from limner.backends.dialogue import LOOKED_AT_PIXELS, SLENDER, dialogue, looked_at
from limner.backends.speaker import SpeakerBackend
from limner.catalogue.spec import ModelSpec, Route, SizeRules
from limner.core import Event, Finished, Operation, Picture, Request, Said, Size, Words
from limner.errors import InvalidRequest, MissingParameter, NotReady
from tests.tiny_speakers import saved

pytestmark = pytest.mark.asyncio(loop_scope="module")


def spec(name: str, source: str, backend: str = "speaker") -> ModelSpec:
    return ModelSpec(
        id=name,
        family="tiny",
        title=name,
        operations=frozenset({Operation.DESCRIBE}),
        sizes=SizeRules(Size(64, 64), 1, 1, 4096, 4096 * 4096),
        params={},
        routes=(Route(backend, source),),
        max_images=4,
    )


def picture(colour: tuple[int, int, int]) -> Picture:
    return Picture("RGB", Size(40, 30), bytes(colour) * 1200)


RED, BLUE = picture((255, 0, 0)), picture((0, 0, 255))


def request(model: str = "sees", prompt: str = "what is it?", **fields: Any) -> Request:
    params = {"max_tokens": 8, **fields.pop("params", {})}
    return Request(Operation.DESCRIBE, model, prompt, params=params, seed=1, **fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SpeakerBackend]:
    folder = tmp_path_factory.mktemp("speakers")
    specs = {"sees": spec("sees", str(saved("idefics3", folder))), "reads": spec("reads", str(saved("llama", folder)))}
    made = SpeakerBackend(specs.__getitem__, device="cpu")
    for each in specs.values():
        await made.load(each)
    yield made
    await made.aclose()


async def collect(backend: Backend, asked: Request) -> tuple[list[Event], Finished]:
    events = [event async for event in backend.generate(asked)]
    assert isinstance(events[-1], Finished)
    return events[:-1], events[-1]


async def test_words_come_and_then_all_of_them(backend: SpeakerBackend) -> None:
    events, end = await collect(backend, request(inputs=(RED, BLUE)))
    assert all(isinstance(event, Words) for event in events)
    assert "".join(event.text for event in events if isinstance(event, Words)) == end.text
    assert end.pictures == ()
    assert end.tokens is not None
    assert (end.tokens.written, end.tokens.read > 100) == (8, True)
    assert end.model_revision
    assert [(warning.param, warning.code) for warning in end.warnings] == [("max_tokens", "adjusted")]


async def test_time_is_told_by_the_stages_that_are_charged(backend: SpeakerBackend) -> None:
    _, end = await collect(backend, request(inputs=(RED,)))
    assert set(end.timings_s) == {"queue", "encode", "decode", "total"}
    assert end.timings_s["total"] >= end.timings_s["encode"] + end.timings_s["decode"] > 0


async def test_what_was_said_before_and_what_is_shown_both_count(backend: SpeakerBackend) -> None:
    history = (Said("system", "be brief"), Said("user", "hello"), Said("assistant", "hi"))
    plain, seeing, knowing = [
        (await collect(backend, request(params={"max_tokens": 30}, **fields)))[1]
        for fields in ({}, {"inputs": (RED,)}, {"history": history})
    ]
    assert len({plain.text, seeing.text, knowing.text}) == 3


async def test_sampling_is_the_requests(backend: SpeakerBackend) -> None:
    hot = {"temperature": 1.5, "top_p": 0.9}
    one, again = [(await collect(backend, request("reads", params=hot)))[1].text for _ in range(2)]
    greedy = (await collect(backend, request("reads")))[1].text
    assert one == again
    assert one != greedy


async def test_many_at_once_get_what_each_gets_alone(backend: SpeakerBackend) -> None:
    asked = [request(prompt=f"question {'x' * i}", inputs=(RED, BLUE)[: i % 2 + 1]) for i in range(6)]
    together = await asyncio.gather(*(collect(backend, each) for each in asked))
    alone = [await collect(backend, each) for each in asked]
    assert [end.text for _, end in together] == [end.text for _, end in alone]


async def test_closing_the_iterator_cancels(backend: SpeakerBackend) -> None:
    endless = request("reads", params={"max_tokens": 400})
    async with aclosing(backend.generate(endless)) as events:
        assert isinstance(await anext(events), Words)
    _, end = await asyncio.wait_for(collect(backend, request("reads", params={"max_tokens": 1})), 20)
    assert end.text is not None
    assert end.timings_s["queue"] < 5  # it did not wait for four hundred tokens


async def test_a_turn_for_the_agent_is_raw_text(backend: SpeakerBackend) -> None:
    tools = [{"type": "function", "function": {"name": "generate_image", "parameters": {}}}]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "use tools"},
        {"role": "user", "content": [{"type": "text", "text": "a cat"}, {"type": "text", "text": "[image 1]"}]},
    ]
    with_tools, without = [await backend.chat("reads", messages, given, max_tokens=12) for given in (tools, None)]
    assert with_tools != without
    assert await backend.chat("sees", messages, tools, max_tokens=3)


async def test_what_a_model_cannot_read_is_refused(backend: SpeakerBackend) -> None:
    with pytest.raises(InvalidRequest, match="no pictures"):
        await collect(backend, request("reads", inputs=(RED,)))
    with pytest.raises(InvalidRequest, match="less than 512"):
        await collect(backend, request("reads", "x" * 600))


async def test_models_that_are_not_there(tmp_path: Path) -> None:
    specs = {"a": spec("a", str(tmp_path / "nothing")), "b": spec("b", "x", backend="local")}
    backend = SpeakerBackend(specs.__getitem__, device="cpu")
    for each, message in ((specs["a"], "no model at"), (specs["b"], "no model that answers in words")):
        with pytest.raises(InvalidRequest, match=message):
            await backend.load(each)
    with pytest.raises(NotReady, match="not loaded"):
        await collect(backend, request("a"))
    was_healthy = backend.healthy
    await backend.aclose()
    assert (was_healthy, backend.healthy) == (True, False)
    with pytest.raises(NotReady):
        await backend.load(specs["a"])


def said(*turns: tuple[str, str], prompt: str = "now", inputs: tuple[Picture, ...] = ()) -> list[tuple[str, str]]:
    history = tuple(Said(role, text) for role, text in turns)  # type: ignore[arg-type]
    made = dialogue(Request(Operation.DESCRIBE, "", prompt, inputs=inputs, history=history))
    return [(each.role, each.text) for each in made]


async def test_a_dialogue_takes_turns_whatever_came_before() -> None:
    assert said() == [("user", "now")]
    assert said(("user", "a"), ("system", "s"), ("assistant", " "), ("user", "b"), ("system", "t")) == [
        ("system", "s\n\nt"),
        ("user", "a\n\nb\n\nnow"),
    ]
    assert said(("user", "a"), ("assistant", "b")) == [("user", "a"), ("assistant", "b"), ("user", "now")]


async def test_pictures_without_words_are_described() -> None:
    assert said(prompt=" ", inputs=(RED,)) == [("user", "Describe this picture.")]
    assert said(prompt="", inputs=(RED, BLUE)) == [("user", "Describe these pictures.")]
    with pytest.raises(MissingParameter):
        said(prompt="")


async def test_only_large_pictures_are_made_smaller() -> None:
    clear = Picture("RGBA", Size(2, 1), bytes([0, 0, 0, 0, 9, 9, 9, 255]))
    assert looked_at(clear).tobytes() == bytes([255, 255, 255, 9, 9, 9])
    large = looked_at(Picture("L", Size(4000, 1000), bytes(4_000_000)))
    assert large.width * large.height <= LOOKED_AT_PIXELS < large.width * large.height * 1.01
    assert large.width / large.height == pytest.approx(4, rel=0.01)
    strip = looked_at(Picture("L", Size(60_000, 60), bytes(3_600_000)))
    assert strip.width * strip.height <= LOOKED_AT_PIXELS * 1.01
    for slender in (strip, looked_at(Picture("L", Size(1, 6400), bytes(6400)))):
        assert max(slender.size) / min(slender.size) <= SLENDER
    beside, inside = strip.getpixel((strip.width // 2, 0)), strip.getpixel((strip.width // 2, strip.height // 2))
    assert (beside, inside) == ((255, 255, 255), (0, 0, 0))
