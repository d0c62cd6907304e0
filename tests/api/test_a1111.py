"""A1111's txt2img and options: what its clients send, and what they read."""

import base64
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.api.a1111.fields import TextFields, parse
from limner.api.a1111.params import Settled, read_prompt
from limner.api.app import create_app
from limner.config import Settings, load_settings
from limner.core import Operation
from tests.fakes import FakeBackend, builtin, opener

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
TURBO = "Tongyi-MAI/Z-Image-Turbo"
QWEN = "Qwen/Qwen-Image"
FLUX = "black-forest-labs/FLUX.1-dev"
MODELS = (SD15, "sketch", TURBO, QWEN, FLUX)
# What SillyTavern sends, with nothing special asked for: the address and its own settings are among it.
SILLY_TAVERN = {
    "url": "http://127.0.0.1:7860",
    "auth": "user:password",
    "prompt": "a cat",
    "negative_prompt": "",
    "sampler_name": "DDIM",
    "scheduler": "normal",
    "steps": 20,
    "cfg_scale": 7,
    "width": 512,
    "height": 512,
    "restore_faces": False,
    "enable_hr": False,
    "hr_upscaler": "Latent",
    "hr_scale": 1.0,
    "hr_additional_modules": [],
    "denoising_strength": 0.7,
    "hr_second_pass_steps": 0,
    "seed": None,
    "override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic"},
    "override_settings_restore_afterwards": True,
    "clip_skip": 1,
    "save_images": True,
    "send_images": True,
    "do_not_save_grid": False,
    "do_not_save_samples": False,
}


@pytest.fixture
async def client(settings: Settings, backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings, opener(backend, *MODELS))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test/sdapi/v1") as http,
    ):
        yield http


async def drawn(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    reply = await client.post("/txt2img", json={"prompt": "a red circle", **fields})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    body["info"] = json.loads(body["info"])
    return body


def warned(body: dict[str, Any]) -> list[str]:
    return [warning["param"] for warning in body["info"]["limner_warnings"]]


def opened(b64: str) -> Image.Image:
    assert not b64.startswith("data:")
    return Image.open(io.BytesIO(base64.b64decode(b64)))


async def test_a_prompt_is_enough(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client)
    (image,) = body["images"]
    assert opened(image).size == (512, 512)
    (request,) = backend.requests
    assert request.params["num_inference_steps"] == 50
    assert request.params["guidance_scale"] == 7.0
    assert request.params["sampler"] == "Euler"
    assert warned(body) == []
    info = body["info"]
    assert info["seed"] == request.seed == info["all_seeds"][0]
    assert (info["width"], info["height"], info["steps"], info["cfg_scale"]) == (512, 512, 50, 7.0)
    assert (info["sampler_name"], info["sd_model_name"]) == ("Euler", SD15)
    assert info["infotexts"] == [opened(image).info["parameters"]]
    assert body["parameters"]["steps"] == 50
    assert body["limner"]["effective"]["seed"] == info["seed"]


async def test_models_of_another_kind_keep_their_own_defaults(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client, model="sketch")
    (request,) = backend.requests
    assert (request.params["num_inference_steps"], request.params["guidance_scale"]) == (12, 3.0)
    assert str(request.size) == "256x256"
    assert request.params["sampler"] == "Euler a"
    assert warned(body) == []
    await drawn(client, model="sketch", sampler_name="Euler")
    assert backend.requests[-1].params["sampler"] == "Euler"


async def test_what_a_client_always_sends_needs_no_warning(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client, **SILLY_TAVERN)
    assert sorted(warned(body)) == ["auth", "hr_additional_modules", "scheduler", "url"]
    assert "password" not in json.dumps(body["parameters"])
    assert backend.requests[0].params["sampler"] == "DDIM"


async def test_seeds_go_on_through_all_batches(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client, seed=5, batch_size=2, n_iter=3)
    assert body["info"]["all_seeds"] == [5, 6, 7, 8, 9, 10]
    assert [(request.n, request.seed) for request in backend.requests] == [(2, 5), (2, 7), (2, 9)]
    assert len(set(body["images"])) == 6
    assert [text.split("Seed: ")[1].split(",")[0] for text in body["info"]["infotexts"]] == [*"56789", "10"]
    assert len(body["limner"]["jobs"]) == 3
    assert len(body["limner"]["files"]) == 6
    again = await drawn(client, seed=-1, n_iter=2)
    first, second = again["info"]["all_seeds"]
    assert second == first + 1


async def test_a_batch_is_as_large_as_the_model_allows(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client, batch_size=23, width=64, height=64)
    assert [request.n for request in backend.requests] == [10, 10, 3]
    assert len(body["images"]) == 23
    refused = await client.post("/txt2img", json={"prompt": "x", "batch_size": 11, "n_iter": 10})
    assert (refused.status_code, refused.json()["param"]) == (422, "n_iter")


@pytest.mark.parametrize(
    ("model", "cfg", "params", "warnings"),
    [
        (SD15, 7, {"guidance_scale": 7.0, "num_inference_steps": 30}, []),
        (SD15, 28, {"guidance_scale": 20.0}, ["cfg_scale"]),
        (QWEN, 5, {"true_cfg_scale": 5.0, "guidance_scale": 1.0}, []),
        (FLUX, 3, {"guidance_scale": 3.0, "true_cfg_scale": 1.0}, []),
        (TURBO, 7, {"guidance_scale": 0.0, "num_inference_steps": 16}, ["steps", "guidance_scale"]),
    ],
)
async def test_steps_and_guidance_become_the_models_own(
    client: httpx2.AsyncClient,
    backend: FakeBackend,
    model: str,
    cfg: float,
    params: dict[str, Any],
    warnings: list[str],
) -> None:
    body = await drawn(client, model=model, cfg_scale=cfg, steps=30, width=512, height=512)
    assert params.items() <= backend.requests[0].params.items()
    assert sorted(warned(body)) == sorted(warnings)


@pytest.mark.parametrize(
    ("fields", "warnings"),
    [
        ({"subseed_strength": 0.5}, ["subseed_strength"]),
        ({"restore_faces": True, "tiling": True}, ["restore_faces", "tiling"]),
        ({"styles": ["anime"]}, ["styles"]),
        ({"eta": 0.3, "s_churn": 2, "s_noise": 1.0}, ["eta", "s_churn"]),
        ({"refiner_checkpoint": "sdxl-refiner"}, ["refiner_checkpoint"]),
        ({"do_not_save_samples": True}, ["do_not_save_samples"]),
        ({"override_settings": {"sd_vae": "x.pt", "eta_noise_seed_delta": 0}}, ["sd_vae"]),
        ({"prompt": "a (red:1.3) circle"}, ["prompt"]),
        ({"scheduler": "Align Your Steps"}, ["scheduler"]),
        ({"async": True, "webhook_url": "https://example.org"}, ["async", "webhook_url"]),
        ({"never_heard_of": 1}, ["never_heard_of"]),
        ({"model": "sketch", "sampler_name": "DPM++ 2M", "scheduler": "karras"}, ["sampler_name", "scheduler"]),
        ({"model": "sketch", "sampler_name": "Euler", "scheduler": "Automatic"}, []),
        ({"model": "sketch", "sampler_name": "k_euler_a", "scheduler": "karras"}, ["scheduler"]),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_is_named(
    client: httpx2.AsyncClient, fields: dict[str, Any], warnings: list[str]
) -> None:
    assert sorted(warned(await drawn(client, **fields))) == sorted(warnings)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"steps": "many"}, "steps"),
        ({"width": 0}, "width"),
        ({"width": 4096}, "size"),
        ({"seed": -2}, "seed"),
        ({"seed": 2**63 - 3, "n_iter": 2, "batch_size": 2}, "seed"),
        ({"sampler_name": "Eulr"}, "sampler_name"),
        ({"script_name": "X/Y/Z plot"}, "script_name"),
        ({"alwayson_scripts": {"ControlNet": {"args": [{"enabled": True, "image": "..."}]}}}, "alwayson_scripts"),
        ({"override_settings": {"samples_format": "tiff"}}, "samples_format"),
    ],
)
async def test_what_would_be_plainly_wrong_is_refused(
    client: httpx2.AsyncClient, backend: FakeBackend, fields: dict[str, Any], param: str
) -> None:
    reply = await client.post("/txt2img", json={"prompt": "x", **fields})
    body = reply.json()
    assert reply.status_code == 422, body
    assert set(body) == {"error", "detail", "body", "errors", "param"}
    assert body["param"] == param
    assert body["detail"] == body["errors"]
    assert backend.requests == []


async def test_extensions_that_are_off_ask_for_nothing(client: httpx2.AsyncClient) -> None:
    off = {"ADetailer": {"args": [False]}, "ControlNet": {"args": []}, "Tiled": {"args": [{"enabled": False}]}}
    assert warned(await drawn(client, alwayson_scripts=off)) == []


async def test_an_unknown_model_is_not_found(client: httpx2.AsyncClient) -> None:
    for path, body in (
        ("/txt2img", {"prompt": "x", "override_settings": {"sd_model_checkpoint": "nobody"}}),
        ("/options", {"sd_model_checkpoint": "nobody"}),
    ):
        reply = await client.post(path, json=body)
        assert (reply.status_code, reply.json()["error"]) == (404, "model_not_found")


async def test_loras_in_the_prompt_become_adapters(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    await drawn(client, prompt="a cat <lora:fluffy:0.5> on a sofa <lora:org/name>")
    request = backend.requests[0]
    assert request.prompt == "a cat on a sofa"
    loras = request.params["lora"]
    assert isinstance(loras, tuple)
    assert [(lora.path, lora.scale) for lora in loras] == [("fluffy", 0.5), ("org/name", 1.0)]
    body = await drawn(client, prompt="a cat <lora:fluffy>", model="sketch")
    assert backend.requests[1].prompt == "a cat"
    assert warned(body) == ["prompt"]


@pytest.mark.parametrize(
    ("beginning", "rest"), [("<lora:a:", "1"), ("<lora:", "a"), ("(:", "1"), ("", " "), ("<lora:", ":1"), ("(", "(:1")]
)
def test_no_prompt_takes_long_to_read(beginning: str, rest: str) -> None:
    prompt = f"a cat{beginning}{rest * 20_000}"
    settled = Settled(builtin().get("sketch"), Operation.GENERATE)
    started_s = time.perf_counter()
    assert read_prompt(settled, parse(TextFields, {"prompt": prompt})) == prompt.strip()
    assert settled.warnings == []
    assert time.perf_counter() - started_s < 1


async def test_an_infotext_fills_in_what_is_left_out(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    first = await drawn(client, prompt="a dog", negative_prompt="cats", steps=9, cfg_scale=4, seed=3, width=64,
                        height=128, sampler_name="Euler a")  # fmt: skip
    text = first["info"]["infotexts"][0]
    reply = await client.post("/txt2img", json={"infotext": text, "steps": 11})
    assert reply.status_code == 200, reply.text
    one, two = backend.requests
    assert two.prompt == "a dog"
    assert (two.seed, two.size) == (one.seed, one.size)
    assert {**one.params, "num_inference_steps": 11} == two.params


async def test_each_key_has_its_own_model(settings: Settings, backend: FakeBackend) -> None:
    closed = load_settings(None, {"data": settings.data, "open": "no"})
    app = create_app(closed, opener(backend, *MODELS))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test/sdapi/v1") as client,
    ):
        from limner.accounts.keys import NewKey

        keys = [(await app.state.gateway.keyring.create(NewKey(name)))[0] for name in ("one", "two")]
        one, two = (httpx2.BasicAuth("user", key) for key in keys)
        refused = await client.get("/options")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic")
        assert (await client.post("/options", json={"sd_model_checkpoint": "sketch"}, auth=one)).json() is None
        shown = [(await client.get("/options", auth=auth)).json()["sd_model_checkpoint"] for auth in (one, two)]
        assert shown == ["sketch", SD15]
        for auth in (one, two):
            await client.post("/txt2img", json={"prompt": "x"}, auth=auth)
        assert [request.model for request in backend.requests] == ["sketch", SD15]


async def test_options_hold_until_they_are_changed(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    told = (await client.post("/options", json={"samples_format": "jpg", "jpeg_quality": 60, "sd_vae": "x"})).json()
    assert [warning["param"] for warning in told["limner_warnings"]] == ["sd_vae"]
    assert opened((await drawn(client))["images"][0]).format == "JPEG"
    override = {"sd_model_checkpoint": f"{QWEN} [abc123]", "samples_format": "webp"}
    body = await drawn(client, override_settings=override)
    assert opened(body["images"][0]).format == "WEBP"
    assert body["info"]["sd_model_name"] == QWEN
    assert opened((await drawn(client))["images"][0]).format == "JPEG"
    await drawn(client, override_settings=override, override_settings_restore_afterwards=False)
    options = (await client.get("/options")).json()
    assert (options["sd_model_checkpoint"], options["samples_format"]) == (QWEN, "webp")
    assert (await client.post("/options", json=options)).json() is None  # some clients send all of it back
    await client.post("/options", json={"live_previews_enable": False})
    await drawn(client)
    assert [request.previews for request in backend.requests] == [3, 3, 3, 3, 0]


@pytest.mark.parametrize("value", ["false", 0, None])
async def test_previews_are_on_or_off(client: httpx2.AsyncClient, value: object) -> None:
    reply = await client.post("/options", json={"live_previews_enable": value})
    assert (reply.status_code, reply.json()["param"]) == (422, "live_previews_enable")
    assert (await client.get("/options")).json()["live_previews_enable"] is True


async def test_pictures_may_be_left_out(client: httpx2.AsyncClient) -> None:
    body = await drawn(client, send_images=False, n_iter=2)
    assert body["images"] == []
    assert len(body["info"]["all_seeds"]) == 2


async def test_what_clients_list(client: httpx2.AsyncClient) -> None:
    models = (await client.get("/sd-models")).json()
    assert [model["title"] for model in models] == list(MODELS)
    assert set(models[0]) == {"title", "model_name", "hash", "sha256", "filename", "config"}
    samplers = (await client.get("/samplers")).json()
    assert {"name": "DPM++ 2M", "aliases": ["k_dpmpp_2m"], "options": {"scheduler": "karras"}} in samplers
    schedulers = [schedule["name"] for schedule in (await client.get("/schedulers")).json()]
    assert schedulers == ["automatic", "uniform", "karras", "exponential", "sgm_uniform"]
    assert [one["name"] for one in (await client.get("/upscalers")).json()] == ["None", "Lanczos", "Nearest"]
    memory = (await client.get("/memory")).json()
    assert memory["ram"]["total"] > memory["ram"]["used"] > 0
    for path in ("latent-upscale-modes", "sd-vae", "loras", "hypernetworks", "face-restorers", "prompt-styles"):
        assert (await client.get(f"/{path}")).json() == []
    assert (await client.get("/embeddings")).json() == {"loaded": {}, "skipped": {}}
    assert (await client.get("/cmd-flags")).json()["api"] is True
    assert (await client.post("/refresh-checkpoints")).json() is None


async def test_every_listed_sampler_can_be_asked_for(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    for sampler in (await client.get("/samplers")).json():
        for name in (sampler["name"], *sampler["aliases"]):
            assert warned(await drawn(client, sampler_name=name, width=64, height=64)) == []
        assert str(backend.requests[-1].params["sampler"]).startswith(sampler["name"])


@pytest.mark.parametrize(
    ("name", "schedule", "sampler"),
    [
        ("DPM++ 2M", None, "DPM++ 2M Karras"),
        ("DPM++ 2M", "Automatic", "DPM++ 2M Karras"),
        ("DPM++ 2M", "uniform", "DPM++ 2M"),
        ("DPM++ 2M Karras", None, "DPM++ 2M Karras"),
        ("dpm++ 2m karras", "Exponential", "DPM++ 2M Exponential"),
        ("k_dpmpp_2m_sde_ka", None, "DPM++ 2M SDE Karras"),
        ("DPM++ 2M SDE", None, "DPM++ 2M SDE Exponential"),
        ("Euler", "SGM Uniform", "Euler SGM Uniform"),
        ("Euler a", "Automatic", "Euler a"),
        ("UniPC", None, "UniPC"),
    ],
)
async def test_samplers_and_schedules_go_together(
    client: httpx2.AsyncClient, backend: FakeBackend, name: str, schedule: str | None, sampler: str
) -> None:
    body = await drawn(client, sampler_name=name, scheduler=schedule)
    assert backend.requests[0].params["sampler"] == sampler
    assert warned(body) == []


async def test_an_idempotency_key_covers_every_batch(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    asked: dict[str, Any] = {"json": {"prompt": "x", "n_iter": 2}, "headers": {"Idempotency-Key": "once"}}
    one, two = [(await client.post("/txt2img", **asked)).json() for _ in range(2)]
    assert one["images"] == two["images"]
    assert len(backend.requests) == 2


async def test_a_job_may_be_asked_for_instead(client: httpx2.AsyncClient) -> None:
    ask = {"prompt": "x", "batch_size": 2, "n_iter": 2}
    reply = await client.post("/txt2img", json=ask, headers={"Prefer": "respond-async"})
    assert (reply.status_code, reply.json()["object"]) == (202, "job")
    estimate = (await client.post("/txt2img?estimate=true", json=ask)).json()
    assert estimate["object"] == "estimate"
    refused = await client.post("/txt2img", json={**ask, "n_iter": 9}, headers={"Prefer": "respond-async"})
    assert (refused.status_code, refused.json()["param"]) == (422, "n_iter")


async def test_what_is_left_out_of_a_distilled_models_call_is_its_own(settings: Settings, backend: FakeBackend) -> None:
    app = create_app(settings, opener(backend, "sdxl-turbo"))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test/sdapi/v1") as http,
    ):
        assert warned(await drawn(http)) == []
        assert backend.requests[0].params["num_inference_steps"] == 1
        assert sorted(warned(await drawn(http, steps=20, cfg_scale=7))) == ["guidance_scale", "steps"]
