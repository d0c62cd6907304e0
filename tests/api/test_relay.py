"""OpenGPU Relay's API: its endpoints with their tables, tasks, and what a key may ask."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from PIL import Image

from limner.accounts.keys import NewKey
from limner.api.app import create_app
from limner.api.relay.errors import KINDS, status_and_code
from limner.config import Settings, load_settings
from limner.core import Operation, Size
from limner.errors import LimnerError, PolicyDeclined, UpstreamFailed
from limner.store.rows import MICRO
from tests.api.test_edits import data_url, png
from tests.fakes import FakeBackend, opener, until
from tests.test_docs import all_errors

RED = base64.b64encode(png()).decode()
FLUX, GEMINI = "/v2/image/flux/generate", "/v2/image/gemini-3/generate"
GPT, GPT_EDIT = "/v2/image/gpt-image/generate", "/v2/image/gpt-image/edit"
QWEN, QWEN_EDIT = "/v2/image/qwen/generate", "/v2/image/qwen/edit"
SD = "/v2/automatic1111/sdapi/v1/txt2img"
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
SIZES = ("1024x1024", "1536x1024", "1024x1536", "auto")
QUALITIES = ("auto", "low", "medium", "high")


@pytest.fixture
async def app(settings: Settings, backend: FakeBackend) -> AsyncIterator[FastAPI]:
    application = create_app(settings, opener(backend, "sketch", stand_in=True))
    async with application.router.lifespan_context(application):
        yield application


async def drawn(client: httpx2.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    edits: dict[str, Any] = {"image": RED} if path.endswith("edit") else {}
    reply = await client.post(path, json={"prompt": "a red circle", **edits, **fields})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def begun(backend: FakeBackend, count: int) -> None:
    """Return once that many requests have reached the backend."""
    await until(lambda: len(backend.requests) >= count)


async def size_of(client: httpx2.AsyncClient, picture: str) -> tuple[int, int]:
    """Of a picture as a link or as base64."""
    data = (await client.get(picture)).content if picture.startswith("http") else base64.b64decode(picture)
    return Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize(
    ("path", "model", "key", "size"),
    [
        (FLUX, "black-forest-labs/FLUX-2-pro", "images", (1024, 1024)),
        (GEMINI, "google/gemini-3-pro-T2I", "images", (1024, 1024)),
        (GPT, "openai/gpt-image-1.5-T2I", "images", (1024, 1024)),
        (GPT_EDIT, "openai/gpt-image-1.5-I2I", "images", (1024, 1024)),
        (QWEN, "Qwen/Qwen-Image", "urls", (1024, 1024)),
        (QWEN_EDIT, "Qwen/Qwen-Image-Edit", "urls", (1024, 1024)),
        (SD, "Realistic_Vision_V5.1.safetensors", "images", (512, 512)),
    ],
)
async def test_a_prompt_is_enough_for_every_endpoint(
    client: httpx2.AsyncClient, backend: FakeBackend, path: str, model: str, key: str, size: tuple[int, int]
) -> None:
    body = await drawn(client, path)
    (picture,) = body[key]
    assert picture.startswith("http") == (path in (GPT, GPT_EDIT, QWEN, QWEN_EDIT))
    assert await size_of(client, picture) == size
    assert backend.requests[0].model == body["limner"]["model"] == model
    assert backend.requests[0].operation is (Operation.EDIT if path.endswith("edit") else Operation.GENERATE)
    if path != SD:
        assert (body["model"], body["task_id"]) == (model, body["limner"]["job_id"])


@pytest.mark.parametrize(
    ("path", "fields", "size"),
    [
        (FLUX, {"width": 512, "height": 768, "seed": 3, "safety_tolerance": 6, "output_format": "jpeg"}, "512x768"),
        (FLUX, {"width": 64, "height": 64, "safety_tolerance": 0}, "64x64"),
        *((GEMINI, {"aspect_ratio": ratio}, None) for ratio in RATIOS),
        (GEMINI, {"image_size": "2K"}, "2048x2048"),
        (GEMINI, {"image_size": "4K"}, "4096x4096"),
        *((GPT, {"size": size, "n": 4}, None if size == "auto" else size) for size in SIZES),
        *((GPT, {"quality": quality}, "1024x1024") for quality in QUALITIES),
        *((GPT_EDIT, {"quality": quality, "size": "1536x1024"}, "1536x1024") for quality in QUALITIES),
        (QWEN, {"size": "512x768", "seed": 3}, "512x768"),
        (QWEN_EDIT, {"size": "512x768", "seed": 3, "image": data_url(png())}, "512x768"),
        (SD, {"steps": 30, "width": 768, "height": 512, "cfg_scale": 12.5, "negative_prompt": "blue"}, "768x512"),
        (SD, {"model": "illustriousRealismBy_v10VAE.safetensors"}, "512x512"),
        (SD, {"model": "stable-diffusion-v1-5-pruned.safetensors"}, "512x512"),
    ],
)
async def test_every_value_of_the_tables_is_taken(
    client: httpx2.AsyncClient, backend: FakeBackend, path: str, fields: dict[str, Any], size: str | None
) -> None:
    body = await drawn(client, path, **fields)
    (request,) = backend.requests
    assert size in (None, str(request.size))
    assert request.seed == fields.get("seed", request.seed)
    assert request.n == fields.get("n", 1)
    assert body["limner"]["warnings"] == []
    for name in ("safety_tolerance", "quality", "aspect_ratio", "image_size", "negative_prompt"):
        assert fields.get(name) in (None, request.params.get(name))


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        *((path, {"prompt": prompt}, "prompt") for path in (FLUX, GEMINI, GPT, QWEN, SD) for prompt in (None, " ")),
        (FLUX, {"width": 32}, "width"),
        (FLUX, {"height": 1000}, "height"),
        (FLUX, {"width": "wide"}, "width"),
        (FLUX, {"safety_tolerance": 7}, "safety_tolerance"),
        (FLUX, {"safety_tolerance": -1}, "safety_tolerance"),
        (FLUX, {"output_format": "webp"}, "output_format"),
        (FLUX, {"seed": "three"}, "seed"),
        (FLUX, {"input_image": 7}, "input_image"),
        (FLUX, {"input_image_5": RED}, "input_image_5"),
        (GEMINI, {"aspect_ratio": "1:2"}, "aspect_ratio"),
        (GEMINI, {"image_size": "8K"}, "image_size"),
        (GPT, {"size": "512x512"}, "size"),
        (GPT, {"quality": "hd"}, "quality"),
        (GPT, {"n": 0}, "n"),
        (GPT, {"n": 5}, "n"),
        (GPT, {"n": "two"}, "n"),
        (GPT_EDIT, {"image": None}, "image"),
        (GPT_EDIT, {"image": ""}, "image"),
        (GPT_EDIT, {"mask": 1}, "mask"),
        (QWEN, {"size": "large"}, "size"),
        (QWEN, {"seed": -1}, "seed"),
        (QWEN, {"never_heard_of": 1}, "never_heard_of"),
        (QWEN_EDIT, {"image": None}, "image"),
        (SD, {"steps": 0}, "steps"),
        (SD, {"cfg_scale": "high"}, "cfg_scale"),
        (QWEN, {"async": "yes"}, "async"),
        (QWEN, {"webhook_url": "http://10.0.0.1/"}, "webhook_url"),
        (SD, {"webhook_url": "nowhere"}, "webhook_url"),
    ],
)
async def test_what_the_tables_do_not_have_is_refused(
    client: httpx2.AsyncClient, backend: FakeBackend, path: str, fields: dict[str, Any], param: str
) -> None:
    edits = {"image": RED} if path.endswith("edit") else {}
    reply = await client.post(path, json={"prompt": "x", **edits, **fields})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (422, "VALIDATION_ERROR", param), reply.text
    assert error["message"] == reply.json()["detail"]
    assert error["request_id"] == reply.headers["x-request-id"]
    assert error["source"] == "client"
    assert backend.requests == []


async def test_references_come_in_their_order(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    blue, green = (base64.b64encode(png(colour)).decode() for colour in ((0, 0, 255), (0, 255, 0)))
    await drawn(client, FLUX, input_image_3=green, input_image=RED, input_image_2=data_url(base64.b64decode(blue)))
    (request,) = backend.requests
    assert request.operation is Operation.EDIT
    assert [picture.pixels[:3] for picture in request.inputs] == [b"\xff\0\0", b"\0\0\xff", b"\0\xff\0"]


async def test_white_is_the_masks_area(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    await drawn(client, GPT_EDIT, mask=base64.b64encode(buffer.getvalue()).decode())
    (request,) = backend.requests
    assert request.operation is Operation.INPAINT
    assert request.mask is not None
    assert (request.mask.pixels[0], request.mask.pixels[40]) == (255, 0)


async def test_another_served_model_may_be_named(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = await drawn(client, QWEN, model="sketch", size="256x256")
    assert body["model"] == "sketch"
    await drawn(client, FLUX, model="sketch", input_image=RED, width=256, height=256)
    assert len(backend.requests[1].inputs) == 1
    reply = await client.post(QWEN, json={"prompt": "x", "model": "nobody"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "MODEL_NOT_FOUND")


async def test_another_models_own_size_holds(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    """The size that the document gives the endpoint is its model's, however that is named."""
    await drawn(client, QWEN, model="sketch")
    await drawn(client, QWEN_EDIT, model="sketch")
    await drawn(client, QWEN, model="qwen/QWEN-image")
    assert [str(request.size) for request in backend.requests[::2]] == ["256x256", "1024x1024"]


@pytest.mark.parametrize("path", [FLUX, GPT, QWEN, SD, GPT_EDIT])
async def test_a_task_is_accepted_and_found_again(client: httpx2.AsyncClient, path: str) -> None:
    edits = {"image": RED} if path.endswith("edit") else {}
    ask = {"prompt": "x", "seed": 3, "async": True, **edits}
    if path in (GPT, GPT_EDIT):
        del ask["seed"]
    reply = await client.post(path, json=ask)
    accepted = reply.json()
    assert reply.status_code == 202, reply.text
    assert set(accepted) == {"task_id", "task_address", "status", "poll_url", "message"}
    assert accepted["status"] in ("queued", "running")
    assert accepted["poll_url"] == f"/v2/tasks/{accepted['task_address']}"
    task = (await client.get(accepted["poll_url"], params={"wait": 10})).json()
    assert task["status"] == "completed", task
    assert (task["task_id"], task["task_address"]) == (accepted["task_id"], accepted["task_address"])
    assert task["elapsed_seconds"] >= 0
    assert (task["error"], task["error_code"], task["error_detail"]) == (None, None, None)
    sync = await drawn(client, path, **{name: value for name, value in ask.items() if name == "seed"})
    assert task["result"].keys() == sync.keys()
    assert task["model"] == sync["limner"]["model"]
    by_id = (await client.get(f"/v2/tasks/{accepted['task_id']}")).json()
    assert by_id["status"] == "completed"


async def test_a_task_that_failed_says_why(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = UpstreamFailed("no more paint")
    accepted = (await client.post(QWEN, json={"prompt": "x", "async": True})).json()
    task = (await client.get(accepted["poll_url"], params={"wait": 10})).json()
    assert (task["status"], task["result"]) == ("failed", None)
    assert (task["error"], task["error_code"]) == ("no more paint", "UPSTREAM_ERROR")
    assert task["error_detail"]["source"] == "provider"
    reply = await client.post(QWEN, json={"prompt": "x"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "UPSTREAM_ERROR")


@pytest.mark.parametrize("address", ["x", "job_" + "0" * 32, "job_" + "0" * 32 + ".b64", "job_1.zip"])
async def test_unknown_tasks_are_not_found(client: httpx2.AsyncClient, address: str) -> None:
    reply = await client.get(f"/v2/tasks/{address}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "TASK_NOT_FOUND")


@pytest.mark.parametrize("wait", ["0", "31", "soon"])
async def test_waiting_has_bounds(client: httpx2.AsyncClient, wait: str) -> None:
    reply = await client.get(f"/v2/tasks/job_{'0' * 32}", params={"wait": wait})
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "wait")


async def test_a_repeated_request_is_answered_again_but_not_twice_at_once(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    backend.delay_s = 0.02
    asked: dict[str, Any] = {"json": {"prompt": "x"}, "headers": {"Idempotency-Key": "once"}}
    first = asyncio.create_task(client.post(QWEN, **asked))
    await begun(backend, 1)
    second = await client.post(QWEN, **asked)
    assert (second.status_code, second.json()["error"]["code"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert int(second.headers["retry-after"]) >= 1
    body = (await first).json()
    third = await client.post(QWEN, **asked)
    assert third.json() == body
    assert third.headers["idempotent-replayed"] == "true"
    assert len(backend.requests) == 1
    other = await client.post(QWEN, json={"prompt": "y"}, headers=asked["headers"])
    assert (other.status_code, other.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    sd: dict[str, Any] = {"json": {"prompt": "x", "seed": 1}, "headers": {"Idempotency-Key": "twice"}}
    running = asyncio.create_task(client.post(SD, **sd))
    await begun(backend, 2)
    assert (await client.post(SD, **sd)).json()["error"]["code"] == "IDEMPOTENCY_IN_PROGRESS"
    assert (await running).status_code == 200


async def test_waiting_ends_after_five_minutes(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    for path in (QWEN, SD):
        await drawn(client, path)
        await client.post(path, json={"prompt": "x", "async": True})
    await begun(backend, 4)
    assert [request.timeout_s for request in backend.requests] == [300, 3600, 300, 3600]


async def test_a_call_that_took_too_long(settings: Settings) -> None:
    late = settings.model_copy(update={"max_timeout_s": 0.2, "default_timeout_s": 0.2})
    app = create_app(late, opener(FakeBackend(delay_s=1), "sketch", stand_in=True))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        reply = await client.post(QWEN, json={"prompt": "x"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "UPSTREAM_TIMEOUT")


async def test_nothing_configured_says_what_to_do(settings: Settings, backend: FakeBackend) -> None:
    app = create_app(settings, opener(backend, "sketch"))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        for path in (FLUX, SD):
            reply = await client.post(path, json={"prompt": "x"})
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "MODEL_NOT_FOUND")
            assert "--stand-in sketch" in reply.json()["detail"]


async def test_keys_are_taken_in_both_headers_and_pay_when_it_is_done(settings: Settings) -> None:
    closed = load_settings(None, {"data": settings.data, "open": "no", "credits_per_device_s": 2.0})
    backend = FakeBackend(timings_s={"denoise": 0.5})
    app = create_app(closed, opener(backend, "sketch", stand_in=True))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        refused = await client.post(QWEN, json={"prompt": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "INVALID_API_KEY")
        key, _ = await app.state.gateway.keyring.create(NewKey("one", credits_micro=10_000 * MICRO))
        other, _ = await app.state.gateway.keyring.create(NewKey("two"))
        for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
            before = (await client.get("/v2/customer/credits", headers=headers)).json()
            assert before["total_allocated"] == 10_000
            assert (await client.post(QWEN, json={"prompt": "x"}, headers=headers)).status_code == 200
            after = (await client.get("/v2/customer/credits", headers=headers)).json()
            assert after["balance"] == before["balance"] - 1.0
            assert after["total_consumed"] == before["total_consumed"] + 1.0
        unmetered = (await client.get("/v2/customer/credits", headers={"X-API-Key": other})).json()
        assert (unmetered["balance"], unmetered["total_consumed"]) == (None, 0.0)
        mine = (await client.post(QWEN, json={"prompt": "x", "async": True}, headers={"X-API-Key": key})).json()
        others = await client.get(mine["poll_url"], headers={"X-API-Key": other})
        assert (others.status_code, others.json()["error"]["code"]) == (404, "TASK_NOT_FOUND")
        poor, _ = await app.state.gateway.keyring.create(NewKey("three", credits_micro=0))
        reply = await client.post(QWEN, json={"prompt": "x"}, headers={"X-API-Key": poor})
        assert (reply.status_code, reply.json()["error"]["code"]) == (402, "INSUFFICIENT_CREDITS")


async def test_models_and_prices(client: httpx2.AsyncClient) -> None:
    models = {model["id"]: model for model in (await client.get("/v2/models")).json()["models"]}
    assert models["black-forest-labs/FLUX-2-pro"]["endpoint"] == FLUX
    assert models["sketch"]["endpoint"] is None
    assert models["Qwen/Qwen-Image-Edit"]["endpoint"] == QWEN_EDIT
    assert models["Realistic_Vision_V5.1.safetensors"]["endpoint"] == SD
    assert models["openai/gpt-image-1.5-I2I"]["type"] == "I2I"
    assert models["openai/gpt-image-1.5-I2I"]["stand_in"] == "sketch"
    prices = (await client.get("/v2/pricing")).json()
    assert prices["currency"] == "credits"
    assert {price["model"] for price in prices["models"]} == set(models)
    assert all(
        (one["credits_per_image"] is None) != (one["credits_per_device_second"] is None) for one in prices["models"]
    )


@pytest.mark.parametrize("kind", sorted(all_errors(LimnerError), key=str))
def test_every_error_has_a_code_of_the_relays(kind: type[LimnerError]) -> None:
    status, code = status_and_code(kind("told"))
    assert code in {code for _, _, code in KINDS}
    assert 400 <= status < 600
    assert (code == "INTERNAL_ERROR") == (kind.code == "internal_error")


async def test_declined_prompts_are_told_apart(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = PolicyDeclined("not that")
    reply = await client.post(FLUX, json={"prompt": "x"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "CONTENT_POLICY_DECLINED")


async def test_a_full_queue_says_when_to_come_back(settings: Settings) -> None:
    app = create_app(
        settings.model_copy(update={"queue_limit": 1}), opener(FakeBackend(delay_s=0.2), "sketch", stand_in=True)
    )
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client,
    ):
        first = asyncio.create_task(client.post(GEMINI, json={"prompt": "x"}))
        await asyncio.sleep(0.1)
        reply = await client.post(GEMINI, json={"prompt": "x"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "RATE_LIMITED")
        assert int(reply.headers["retry-after"]) >= 1
        first.cancel()


async def test_the_mount_is_all_of_a1111s_api(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    root = SD.removesuffix("/txt2img")
    options = (await client.get(f"{root}/options")).json()
    assert options["sd_model_checkpoint"] == "Realistic_Vision_V5.1.safetensors"
    body = await drawn(client, SD)
    request = backend.requests[0]
    assert request.params["num_inference_steps"] == 20
    assert request.params["guidance_scale"] == 7.0
    assert json.loads(body["info"])["steps"] == 20
    assert str(request.size) == str(Size(512, 512))
    img2img = await client.post(f"{root}/img2img", json={"prompt": "x", "init_images": [RED]})
    assert img2img.status_code == 200
    assert (await client.get(f"{root}/progress")).json()["state"]["job_count"] == 0
    wrong = await client.get(f"{root}/nothing")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_what_nobody_waits_for_is_one_job(client: httpx2.AsyncClient) -> None:
    accepted = (await client.post(SD, json={"prompt": "x", "async": True, "n_iter": 2, "batch_size": 2})).json()
    task = (await client.get(accepted["poll_url"], params={"wait": 10})).json()
    assert len(task["result"]["images"]) == 4
    reply = await client.post(SD, json={"prompt": "x", "async": True, "n_iter": 20})
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "n_iter")
