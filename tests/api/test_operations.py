"""The routes of single operations, ``operation`` on edits, names that ask for one, and jobs of all of them."""

import base64
import io
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Event, Finished, Operation, Picture, Request, Tokens, Words
from tests.api.test_edits import BLUE, RED, data_url, png
from tests.fakes import FakeBackend, opener

SERVED = ("sketch", "Tongyi-MAI/Z-Image-Turbo", "reader", "cutout", "resample")
LARGE = png((255, 0, 0), (256, 256))


class AbleBackend(FakeBackend):
    """Answers in words, and cuts out, as well."""

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        match request.operation:
            case Operation.DESCRIBE:
                self.requests.append(request)
                yield Words("a red ")
                yield Words("square")
                yield Finished((), "fake-reader", text="a red square", tokens=Tokens(70, 4))
            case Operation.REMOVE_BACKGROUND:
                self.requests.append(request)
                assert request.size is not None
                yield Finished((Picture("RGBA", request.size, b"\x0a\x14\x1e\x00" * request.size.pixels),))
            case _:
                async for event in super().generate(request):
                    yield event


@pytest.fixture
def backend() -> AbleBackend:
    return AbleBackend()


@pytest.fixture
async def client(settings: Settings, backend: AbleBackend) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings, opener(backend, *SERVED))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as http,
    ):
        yield http


def made(reply: httpx2.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    return Image.open(io.BytesIO(base64.b64decode(reply.json()["data"][0]["b64_json"])))


CALLS: list[tuple[str, dict[str, Any], Operation, str]] = [
    ("variations", {}, Operation.VARY, "sketch"),
    ("outpaint", {"right": 64}, Operation.OUTPAINT, "sketch"),
    ("region-edit", {"region": "the hat", "prompt": "a cap"}, Operation.REGION_EDIT, "sketch"),
    ("remove-background", {}, Operation.REMOVE_BACKGROUND, "cutout"),
    ("upscale", {"scale": "2"}, Operation.UPSCALE, "resample"),
    ("describe", {"question": "what is it?"}, Operation.DESCRIBE, "reader"),
]


@pytest.mark.parametrize(("route", "fields", "operation", "model"), CALLS)
async def test_each_route_does_one_thing_by_a_model_that_can(
    client: httpx2.AsyncClient,
    backend: AbleBackend,
    route: str,
    fields: dict[str, Any],
    operation: Operation,
    model: str,
) -> None:
    form = await client.post(f"/v1/images/{route}", data={k: str(v) for k, v in fields.items()}, files={"image": LARGE})
    body = await client.post(f"/v1/images/{route}", json={**fields, "image": data_url(LARGE)})
    for reply in (form, body):
        assert reply.status_code == 200, reply.text
        told = reply.json()["limner"]
        assert (told["operation"], told["model"]) == (operation.value, model)
    assert [request.operation for request in backend.requests] == [operation] * 2
    assert backend.requests[0].params == backend.requests[1].params


@pytest.mark.parametrize(("route", "fields", "operation", "model"), CALLS)
async def test_edits_and_jobs_reach_the_same_operations(
    client: httpx2.AsyncClient,
    backend: AbleBackend,
    route: str,
    fields: dict[str, Any],
    operation: Operation,
    model: str,
) -> None:
    asked = {**fields, "operation": operation.value, "image": data_url(LARGE)}
    reply = await client.post("/v1/images/edits", json=asked)
    assert reply.status_code == 200, reply.text
    accepted = await client.post("/v1/jobs", json=asked)
    assert accepted.status_code == 202, accepted.text
    job = (await client.get(f"/v1/jobs/{accepted.json()['id']}?wait=30")).json()
    assert (job["status"], job["operation"], job["model"]) == ("finished", operation.value, model)
    assert [request.operation for request in backend.requests] == [operation] * 2
    assert backend.requests[0].params == backend.requests[1].params


async def test_an_answer_in_words_is_one_wherever_it_is_asked_for(client: httpx2.AsyncClient) -> None:
    reply = (await client.post("/v1/images/describe", json={"image": data_url(RED)})).json()
    assert set(reply) == {"created", "text", "usage", "limner"}
    assert reply["text"] == "a red square"
    assert reply["usage"] == {
        "input_tokens": 70,
        "input_tokens_details": {"text_tokens": 66, "image_tokens": 4},
        "output_tokens": 4,
        "total_tokens": 74,
    }
    assert reply["limner"]["files"] == []
    job = await client.post("/v1/jobs", json={"operation": "describe", "image": data_url(RED), "question": "what?"})
    done = (await client.get(f"/v1/jobs/{job.json()['id']}?wait=30")).json()
    assert (done["result"]["text"], done["result"]["usage"]) == ("a red square", reply["usage"])
    again = (await client.get(f"/v1/jobs/{job.json()['id']}")).json()
    assert again["result"]["text"] == "a red square"


async def test_a_job_tells_its_words_as_they_come(client: httpx2.AsyncClient) -> None:
    job = (await client.post("/v1/jobs", json={"operation": "describe", "image": data_url(RED)})).json()
    events = (await client.get(f"/v1/jobs/{job['id']}/events")).text
    assert events.index('"text":"a red "') < events.index('"text":"square"') < events.index("event: finished")


async def test_questions_are_prompts(client: httpx2.AsyncClient, backend: AbleBackend) -> None:
    for fields in (
        {"question": "how many?"},
        {"prompt": "how many?"},
        {"question": "how many?", "prompt": "how many?"},
    ):
        assert (await client.post("/v1/images/describe", data=fields, files={"image": RED})).status_code == 200
        assert backend.requests[-1].prompt == "how many?"
    assert (await client.post("/v1/images/describe", files={"image": RED})).status_code == 200
    assert backend.requests[-1].prompt == "What is in this picture?"
    two = await client.post("/v1/images/describe", json={"image": data_url(RED), "question": "a?", "prompt": "b?"})
    assert (two.status_code, two.json()["error"]["param"]) == (400, "question")


async def test_several_pictures_are_described_together(client: httpx2.AsyncClient, backend: AbleBackend) -> None:
    files = [("image[]", ("a.png", RED, "image/png")), ("image[]", ("b.png", BLUE, "image/png"))]
    assert (await client.post("/v1/images/describe", files=files)).status_code == 200
    assert len(backend.requests[-1].inputs) == 2


async def test_an_answer_in_words_is_not_streamed_here(client: httpx2.AsyncClient) -> None:
    reply = await client.post("/v1/images/describe", json={"image": data_url(RED), "stream": True})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "stream")


@pytest.mark.parametrize(("color", "kept"), [((255, 0, 0, 99), "transparent"), ((255, 0, 0), "opaque")])
async def test_what_is_enlarged_is_as_transparent_as_before(
    settings: Settings, backend: FakeBackend, color: tuple[int, ...], kept: str
) -> None:
    app = create_app(settings, opener(backend, "resample"))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        picture = data_url(png(color))
        reply = await http.post("/v1/images/upscale", json={"image": picture, "background": "transparent"})
    assert reply.status_code == 200, reply.text
    assert backend.requests[-1].output.background == kept
    warned = [warning["param"] for warning in reply.json()["limner"]["warnings"]]
    assert warned == ([] if kept == "transparent" else ["background"])


@pytest.mark.parametrize("output_format", ["png", "webp"])
async def test_what_is_cut_out_stays_transparent(client: httpx2.AsyncClient, output_format: str) -> None:
    fields = {"output_format": output_format}
    reply = await client.post("/v1/images/remove-background", data=fields, files={"image": LARGE})
    assert reply.json()["background"] == "transparent"
    assert reply.json()["limner"]["warnings"] == []
    picture = made(reply)
    assert (picture.mode, picture.size, picture.getchannel("A").getextrema()) == ("RGBA", (256, 256), (0, 0))
    linked = await client.post(
        "/v1/images/remove-background", data={**fields, "response_format": "url"}, files={"image": RED}
    )
    file = (await client.get(linked.json()["data"][0]["url"])).content
    assert Image.open(io.BytesIO(file)).getchannel("A").getextrema() == (0, 0)


async def test_what_is_cut_out_lies_on_white_where_that_is_asked_for(client: httpx2.AsyncClient) -> None:
    fields = {"background": "opaque", "output_format": "jpeg"}
    reply = await client.post("/v1/images/remove-background", data=fields, files={"image": RED})
    assert reply.json()["background"] == "opaque"
    assert made(reply).getpixel((5, 5)) == (255, 255, 255)
    plain = await client.post("/v1/images/remove-background", data={"output_format": "jpeg"}, files={"image": RED})
    assert (plain.status_code, plain.json()["error"]["param"]) == (400, "output_format")


@pytest.mark.parametrize("scale", [2, "2"])
async def test_upscaling_says_how_large_it_became(client: httpx2.AsyncClient, scale: int | str) -> None:
    reply = await client.post("/v1/images/upscale", json={"image": data_url(RED), "scale": scale})
    assert reply.json()["size"] == "128x128"
    assert made(reply).size == (128, 128)


@pytest.mark.parametrize(
    ("name", "operation", "model"),
    [
        ("protolabs/qwen-image-outpaint", Operation.OUTPAINT, "sketch"),
        ("limner/vary", Operation.VARY, "sketch"),
        ("protolabs/qwen-image-bgremove", Operation.REMOVE_BACKGROUND, "cutout"),
        ("limner/upscale", Operation.UPSCALE, "resample"),
        ("Limner/Describe", Operation.DESCRIBE, "reader"),
    ],
)
async def test_a_name_that_asks_for_something_does_it_on_any_route(
    client: httpx2.AsyncClient, backend: AbleBackend, name: str, operation: Operation, model: str
) -> None:
    fields = {"model": name, "image": data_url(RED)} | ({"left": 9} if operation is Operation.OUTPAINT else {})
    for route in ("/v1/images/edits", "/v1/images/generations"):
        reply = await client.post(route, json=fields)
        assert reply.status_code == 200, reply.text
        assert (reply.json()["limner"]["operation"], reply.json()["limner"]["model"]) == (operation.value, model)
    assert (await client.post("/v1/jobs", json=fields)).json()["operation"] == operation.value
    assert {request.operation for request in backend.requests} == {operation}


async def test_a_name_for_inpainting_needs_its_mask(client: httpx2.AsyncClient, backend: AbleBackend) -> None:
    fields = {"model": "limner/inpaint", "prompt": "a hat", "image": data_url(RED)}
    reply = await client.post("/v1/images/edits", json=fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "mask")
    assert (
        await client.post("/v1/images/edits", json={**fields, "mask": data_url(png((255,) * 3))})
    ).status_code == 200
    assert backend.requests[-1].operation is Operation.INPAINT


@pytest.mark.parametrize(
    ("route", "fields"),
    [("outpaint", {"model": "limner/upscale"}), ("edits", {"model": "limner/upscale", "operation": "edit"})],
)
async def test_two_operations_at_once_are_refused(
    client: httpx2.AsyncClient, route: str, fields: dict[str, str]
) -> None:
    reply = await client.post(f"/v1/images/{route}", json={**fields, "image": data_url(RED), "prompt": "x"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")
    assert "means upscale" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("route", "fields", "param", "words"),
    [
        ("outpaint", {}, "left", "outpaint adds pixels on a side"),
        ("outpaint", {"left": -5}, "left", "integer from 0 to 4096"),
        ("outpaint", {"left": "wide"}, "left", "integer from 0 to 4096"),
        ("region-edit", {"prompt": "a cap"}, "region", "region"),
        ("region-edit", {"region": "the hat"}, "prompt", "prompt"),
        ("upscale", {"scale": "3"}, "scale", "'2' or '4' or '8'"),
        ("edits", {"operation": "explode"}, "operation", "outpaint, region_edit, remove_background"),
        ("variations", {"model": "reader"}, "operation", "models served here that can: sketch, Tongyi-MAI/Z-Image"),
        ("describe", {"model": "sketch"}, "operation", "sketch cannot describe. Allowed: generate, edit"),
        ("describe", {"model": "sketch"}, "operation", "models served here that can: reader"),
    ],
)
async def test_what_is_wrong_is_named(
    client: httpx2.AsyncClient, backend: AbleBackend, route: str, fields: dict[str, Any], param: str, words: str
) -> None:
    reply = await client.post(f"/v1/images/{route}", json={**fields, "image": data_url(RED)})
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert backend.requests == []


async def test_without_pictures_nothing_is_changed(client: httpx2.AsyncClient) -> None:
    for route, fields, *_ in CALLS[:-1]:
        reply = await client.post(f"/v1/images/{route}", json=fields)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "image")


async def test_what_nobody_served_here_can_do_is_said_so(settings: Settings) -> None:
    app = create_app(settings, opener(FakeBackend(), "sketch"))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        for fields in ({}, {"model": "limner/auto"}, {"model": "limner/upscale"}):
            reply = await http.post("/v1/images/upscale", json={**fields, "image": data_url(RED)})
            assert reply.status_code == 404
            assert "no model served here can upscale; served: sketch" in reply.json()["error"]["message"]
        named = await http.post("/v1/images/upscale", json={"model": "sketch", "image": data_url(RED)})
        assert named.status_code == 400
        assert named.json()["error"]["message"].endswith("; no model served here can")


async def test_openais_variations_take_their_form(client: httpx2.AsyncClient, backend: AbleBackend) -> None:
    fields = {"n": "2", "size": "256x256", "response_format": "url", "user": "me"}
    reply = await client.post("/v1/images/variations", data=fields, files={"image": LARGE})
    assert reply.status_code == 200, reply.text
    assert [set(one) for one in reply.json()["data"]] == [{"url"}] * 2
    assert (backend.requests[-1].n, backend.requests[-1].prompt) == (2, "")


async def test_pictures_made_so_are_streamed_and_drawn_again(client: httpx2.AsyncClient, backend: AbleBackend) -> None:
    asked = {"image": data_url(LARGE), "left": 32, "seed": 5}
    streamed = await client.post("/v1/images/outpaint", json={**asked, "stream": True})
    assert "event: image_edit.completed" in streamed.text
    reply = await client.post("/v1/images/outpaint", json=asked)
    [file] = reply.json()["limner"]["files"]
    again = await client.post(f"/v1/files/{file}/rerun", json={"image": data_url(LARGE)})
    assert again.status_code == 200, again.text
    first, second = backend.requests[-2:]
    assert (first.operation, first.params, first.size, first.seed) == (
        second.operation, second.params, second.size, second.seed,
    )  # fmt: skip
    assert again.json()["data"] == reply.json()["data"]
