"""txt2img with ``enable_hr``: how often, how large and with what each picture is drawn over."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Request
from limner.errors import InternalError
from tests.api.test_a1111 import FLUX, SD15, drawn, opened, warned
from tests.api.test_a1111_running import STEPS, SteppingBackend, until
from tests.fakes import FakeBackend, opener

XL = "stabilityai/stable-diffusion-xl-base-1.0"
HR: dict[str, Any] = {"enable_hr": True, "width": 256, "height": 192, "seed": 5}


@pytest.fixture
async def client(settings: Settings, backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings, opener(backend, SD15, XL, FLUX, "sketch", "resample"))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test/sdapi/v1") as http,
    ):
        yield http


def told(request: Request) -> tuple[str, str, int | None]:
    return request.operation.value, str(request.size), request.seed


async def test_every_picture_is_drawn_over_at_twice_the_size(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client, **HR, batch_size=2, steps=20, denoising_strength=0.4, negative_prompt="blue")
    assert [told(one) for one in backend.requests] == [
        ("generate", "256x192", 5),
        ("edit", "512x384", 5),
        ("edit", "512x384", 6),
    ]
    first, second, _ = backend.requests
    assert "strength" not in first.params
    assert dict(second.params) == {**first.params, "strength": 0.4}
    assert second.prompt == first.prompt
    (begun_from,) = second.inputs
    assert (str(begun_from.size), begun_from.pixels[:3]) == ("512x384", opened(body["images"][0]).tobytes()[:3])
    assert [opened(image).size for image in body["images"]] == [(512, 384)] * 2
    info = body["info"]
    assert (info["all_seeds"], info["width"], info["height"], info["denoising_strength"]) == ([5, 6], 256, 192, 0.4)
    assert info["extra_generation_params"] == {"Hires upscale": 2.0, "Hires upscaler": "Lanczos", "Hires steps": 20}
    assert (warned(body), len(body["limner"]["jobs"])) == ([], 3)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"hr_scale": 1.5}, "384x288"),
        ({"hr_resize_x": 512}, "512x384"),
        ({"hr_resize_y": 288}, "384x288"),
        ({"hr_resize_x": 384, "hr_resize_y": 384}, "384x384"),
        ({"firstphase_width": 128, "firstphase_height": 96}, "256x192"),
        ({"hr_scale": 2, "hr_upscaler": "Nearest"}, "512x384"),
    ],
)
async def test_the_second_size(client: httpx2.AsyncClient, backend: FakeBackend, fields: Any, size: str) -> None:
    body = await drawn(client, **HR, **fields)
    assert str(backend.requests[-1].size) == size == str(backend.requests[-1].inputs[0].size)
    assert warned(body) == []
    if "firstphase_width" in fields:
        assert (str(backend.requests[0].size), body["info"]["extra_generation_params"]["Hires resize"]) == (
            "128x96",
            size,
        )


async def test_the_second_pass_has_its_own_words_steps_sampler_and_model(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    words = {"hr_prompt": "a blue star", "hr_negative_prompt": "red"}
    ways = {"hr_second_pass_steps": 7, "hr_sampler_name": "DDIM", "hr_checkpoint_name": XL}
    await drawn(client, **HR, **words, **ways, steps=20, sampler_name="Euler a", hr_scale=4)
    first, second = backend.requests
    assert (first.model, first.params["sampler"], first.params["num_inference_steps"]) == (SD15, "Euler a", 20)
    assert (second.model, second.params["sampler"], second.params["num_inference_steps"]) == (XL, "DDIM", 7)
    assert (second.prompt, second.params["negative_prompt"], second.params["strength"]) == ("a blue star", "red", 0.75)
    same = {"hr_checkpoint_name": "Use same checkpoint", "hr_sampler_name": "Use same sampler"}
    await drawn(client, **HR, **same, sampler_name="Euler a")
    assert (backend.requests[-1].model, backend.requests[-1].params["sampler"]) == (SD15, "Euler a")


async def test_upscalers(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    """By name as extras know them; those that work on latents are resampled, and that is said."""
    assert warned(await drawn(client, **HR, hr_upscaler="Latent (nearest-exact)")) == ["hr_upscaler"]
    body = await drawn(client, **HR, hr_upscaler="resample")
    assert [told(one)[:2] for one in backend.requests[2:]] == [
        ("generate", "256x192"),
        ("upscale", "512x384"),
        ("edit", "512x384"),
    ]
    await drawn(client, **HR, hr_upscaler="resample", hr_scale=1.5)
    assert [told(one)[:2] for one in backend.requests[6:]] == [("upscale", "512x384"), ("edit", "384x288")]
    assert body["info"]["extra_generation_params"]["Hires upscaler"] == "resample"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "sketch"}, "enable_hr"),
        ({"hr_checkpoint_name": "sketch"}, "enable_hr"),
        ({"hr_checkpoint_name": "nobody"}, "model"),
        ({"hr_upscaler": "4x-UltraSharp"}, "hr_upscaler"),
        ({"hr_scale": 0.5}, "hr_scale"),
        ({"hr_resize_x": "9" * 400}, "hr_resize_x"),
        ({"hr_resize_y": 16_384}, "hr_resize_y"),
        ({"hr_resize_x": 16_384, "hr_resize_y": 1}, "hr_resize_x"),
        ({"hr_scale": 8}, "size"),
        ({"width": 10**6, "height": 10**6}, "size"),
        ({"hr_resize_x": 8192, "hr_resize_y": 6144}, "size"),
        ({"hr_sampler_name": "Eulr"}, "sampler_name"),
    ],
)
async def test_what_the_second_pass_cannot_do_is_refused_before_the_first(
    client: httpx2.AsyncClient, backend: FakeBackend, fields: dict[str, Any], param: str
) -> None:
    reply = await client.post("/txt2img", json={"prompt": "x", **HR, **fields})
    assert (reply.status_code, reply.json()["param"]) in ((422, param), (404, param)), reply.text
    assert backend.requests == []


async def test_what_nobody_waits_for_has_one_pass(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    reply = await client.post("/txt2img", json={"prompt": "x", **HR}, headers={"Prefer": "respond-async"})
    assert (reply.status_code, reply.json()["param"]) == (422, "enable_hr")


@asynccontextmanager
async def stepping(settings: Settings, *models: str) -> AsyncIterator[tuple[SteppingBackend, httpx2.AsyncClient]]:
    backend = SteppingBackend()
    app = create_app(settings, opener(backend, *models))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test/sdapi/v1") as client,
    ):
        yield backend, client


async def test_an_interrupted_second_pass_leaves_the_first_ones_pictures(settings: Settings) -> None:
    async with stepping(settings, SD15) as (backend, client):
        backend.allow(2 * STEPS + 1)
        call = asyncio.ensure_future(client.post("/txt2img", json={"prompt": "x", **HR, "batch_size": 2}))
        state = (await until(client, 2.25 / 3))["state"]
        assert (state["job_count"], state["job_no"]) == (3, 2)
        await client.post("/interrupt")
        body = (await call).json()
    assert [opened(image).size for image in body["images"]] == [(512, 384), (256, 192)]
    assert json.loads(body["info"])["all_seeds"] == [5, 6]


async def test_what_is_skipped_does_not_move_the_jobs_after_it(settings: Settings) -> None:
    """Their idempotency keys are those of their places, and so is the progress."""
    asked = {"prompt": "x", **HR, "n_iter": 2, "hr_upscaler": "resample"}
    async with stepping(settings, SD15, "resample") as (backend, client):
        client.headers["Idempotency-Key"] = "k"
        backend.allow(STEPS + 1)
        call = asyncio.ensure_future(client.post("/txt2img", json=asked))
        assert (await until(client, 1.2 / 6))["state"]["job_no"] == 1
        await client.post("/skip")
        backend.allow(1)
        assert (await until(client, 3.2 / 6))["state"]["job_no"] == 3
        backend.allow(9 * STEPS)
        body = (await call).json()
        assert [opened(image).size for image in body["images"]] == [(256, 192), (512, 384)]
        again = (await client.post("/txt2img", json=asked)).json()
    assert [opened(image).size for image in again["images"]] == [(512, 384), (512, 384)]
    assert again["images"][1] == body["images"][1]


async def test_a_second_pass_that_fails_says_what_was_drawn(settings: Settings) -> None:
    async with stepping(settings, SD15) as (backend, client):
        backend.allow(9 * STEPS)
        asked = {"prompt": "x", **HR, "n_iter": 2}
        backend.fails_over = 5
        failed = (await client.post("/txt2img", json={**asked, "n_iter": 1})).json()["detail"]
        assert failed.startswith("no more paint (part 1 of 1; drawn before it and kept as files: img_")
        backend.fails_over = 6
        failed = (await client.post("/txt2img", json=asked)).json()["detail"]
        assert failed.startswith("no more paint (part 2 of 2; drawn before it and kept as files: img_")
        assert failed.count("img_") == 2


async def test_a_second_model_that_is_not_ready_is_refused_before_the_first_draws(
    settings: Settings, backend: FakeBackend
) -> None:
    app = create_app(settings, opener(backend, SD15, XL))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test/sdapi/v1") as client,
    ):
        app.state.gateway.service.roster.find(XL).failed(InternalError("no memory"))
        reply = await client.post("/txt2img", json={"prompt": "x", **HR, "hr_checkpoint_name": XL})
    assert (reply.status_code, backend.requests) == (503, [])


async def test_a_size_that_the_words_give_counts(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    asked = {"prompt": "a cat, 16:9", "model": FLUX, "enable_hr": True, "hr_scale": 1.25}
    reply = await client.post("/txt2img", json=asked)
    assert reply.status_code == 200, reply.text
    first, second = backend.requests
    assert first.size is not None
    assert first.size.width_px > 1.5 * first.size.height_px
    assert second.inputs[0].size.width_px == round(1.25 * first.size.width_px)
