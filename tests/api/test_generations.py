"""POST /v1/images/generations through the app, on a fake backend."""

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.api.app import create_app
from limner.config import Settings
from tests.fakes import FakeBackend, opener

URL = "/v1/images/generations"
PROMPT = {"prompt": "a red circle"}


def picture(item: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item["b64_json"])))


async def test_a_prompt_alone_gets_a_picture_and_the_effective_values(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json=PROMPT)
    assert reply.status_code == 200
    body = reply.json()
    assert picture(body["data"][0]).size == (256, 256)
    assert "url" not in body["data"][0]
    assert body["size"] == "256x256"
    effective = body["limner"]["effective"]
    assert effective["size"] == "256x256"
    assert effective["seeds"] == [effective["seed"]]
    assert isinstance(effective["num_inference_steps"], int)
    assert body["limner"]["model_revision"] == "fake-revision"
    assert body["limner"]["warnings"] == []
    assert set(body["usage"]) == {"input_tokens", "input_tokens_details", "output_tokens", "total_tokens"}
    assert reply.headers["x-limner-job"] == body["limner"]["job_id"]
    assert reply.headers["x-request-id"].startswith("req_")


async def test_n_pictures_have_consecutive_seeds(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={**PROMPT, "n": 3, "seed": 0})).json()
    assert body["limner"]["effective"]["seeds"] == [0, 1, 2]
    assert len({item["b64_json"] for item in body["data"]}) == 3


async def test_json_has_one_kind_of_number(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    asked = {"n": 2.0, "seed": 7.0, "timeout": 60, "num_inference_steps": 3.0, "guidance_scale": 2}
    assert (await client.post(URL, json={**PROMPT, **asked})).status_code == 200
    request = backend.requests[-1]
    assert (request.n, request.seed, request.timeout_s) == (2, 7, 60.0)
    assert (request.params["num_inference_steps"], request.params["guidance_scale"]) == (3, 2.0)


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("n", 0, "n"),
        ("n", 11, "n"),
        ("n", "2", "n"),
        ("n", True, "n"),
        ("n", 1.5, "n"),
        ("size", "invalid", "size"),
        ("size", "1024", "size"),
        ("size", "1024x", "size"),
        ("size", "1024xabc", "size"),
        ("size", "0x1024", "size"),
        ("size", "99999x99999", "size"),
        ("size", 256, "size"),
        ("seed", -1, "seed"),
        ("seed", 2**63, "seed"),
        ("seed", 1.5, "seed"),
        ("seed", "7", "seed"),
        ("output_format", "tiff", "output_format"),
        ("output_compression", 101, "output_compression"),
        ("response_format", "file", "response_format"),
        ("background", "pink", "background"),
        ("quality", "superb", "quality"),
        ("partial_images", 4, "partial_images"),
        ("timeout", 0, "timeout"),
        ("timeout", "soon", "timeout"),
        ("prompt", "", "prompt"),
        ("prompt", "  \n", "prompt"),
        ("prompt", 5, "prompt"),
        ("prompt", None, "prompt"),
        ("num_inference_steps", 0, "num_inference_steps"),
        ("num_inference_steps", 1000, "num_inference_steps"),
        ("num_inference_steps", "many", "num_inference_steps"),
        ("guidance_scale", 21, "guidance_scale"),
        ("guidance_scale", -0.1, "guidance_scale"),
        ("no_such_parameter", 1, "no_such_parameter"),
        ("lora", 5, "lora"),
        ("lora", {"scale": 1}, "lora"),
        ("extra_body", 5, "extra_body"),
        ("model", "no-such-model", "model"),
    ],
)
async def test_a_bad_value_is_refused_by_name(
    client: httpx2.AsyncClient, backend: FakeBackend, field: str, value: object, param: str
) -> None:
    reply = await client.post(URL, json={**PROMPT, field: value})
    assert reply.status_code == (404 if field == "model" else 400)
    error = reply.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]
    assert reply.json()["detail"] == error["message"]
    assert backend.requests == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(client: httpx2.AsyncClient, body: bytes) -> None:
    reply = await client.post(URL, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_extra_body_may_be_nested_or_flat(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    for extra in ({"seed": 5, "num_inference_steps": 3}, {"extra_body": {"seed": 5, "num_inference_steps": 3}}):
        assert (await client.post(URL, json={**PROMPT, **extra})).status_code == 200
        assert backend.requests[-1].seed == 5
        assert backend.requests[-1].params["num_inference_steps"] == 3


async def test_the_same_key_in_both_places_must_agree(client: httpx2.AsyncClient) -> None:
    agreed = await client.post(URL, json={**PROMPT, "seed": 5, "extra_body": {"seed": 5}})
    assert agreed.status_code == 200
    refused = await client.post(URL, json={**PROMPT, "seed": 5, "extra_body": {"seed": 6}})
    assert refused.status_code == 400
    assert "5" in refused.json()["error"]["message"]
    assert "6" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("quality", "high"), ("style", "vivid"), ("moderation", "low"), ("partial_images", 2)],
)
async def test_openai_parameters_without_effect_are_named(
    client: httpx2.AsyncClient, field: str, value: object
) -> None:
    body = (await client.post(URL, json={**PROMPT, field: value})).json()
    assert [w["param"] for w in body["limner"]["warnings"]] == [field]


async def test_what_has_no_effect_is_not_among_the_effective_values(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={**PROMPT, "output_compression": 50})).json()
    assert [w["param"] for w in body["limner"]["warnings"]] == ["output_compression"]
    assert body["limner"]["effective"]["output_compression"] is None
    body = (await client.post(URL, json={**PROMPT, "output_compression": 50, "output_format": "webp"})).json()
    assert body["limner"]["effective"]["output_compression"] == 50


async def test_layers_are_named_as_not_drawn(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={**PROMPT, "layers": 4})).json()
    assert [(one["param"], one["code"]) for one in body["limner"]["warnings"]] == [("layers", "ignored")]
    refused = await client.post(URL, json={**PROMPT, "layers": 0})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "layers")


async def test_a_turbo_model_forces_and_ignores(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    asked = {**PROMPT, "model": "Tongyi-MAI/Z-Image-Turbo", "guidance_scale": 7.5, "true_cfg_scale": 4.0}
    body = (await client.post(URL, json=asked)).json()
    assert body["limner"]["effective"]["guidance_scale"] == 0.0
    assert body["limner"]["effective"]["num_inference_steps"] == 9
    assert {(w["param"], w["code"]) for w in body["limner"]["warnings"]} == {
        ("guidance_scale", "forced"),
        ("true_cfg_scale", "ignored"),
    }
    too_many = await client.post(URL, json={**asked, "num_inference_steps": 17})
    assert too_many.status_code == 400
    assert "16" in too_many.json()["detail"]


@pytest.mark.parametrize(("given", "kind"), [("png", "PNG"), ("PNG", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
async def test_output_formats(client: httpx2.AsyncClient, given: str, kind: str) -> None:
    body = (await client.post(URL, json={**PROMPT, "output_format": given})).json()
    assert picture(body["data"][0]).format == kind
    assert body["output_format"] == given.lower()


async def test_transparent_jpeg_is_refused_and_transparent_png_is_honest(client: httpx2.AsyncClient) -> None:
    refused = await client.post(URL, json={**PROMPT, "background": "transparent", "output_format": "jpeg"})
    assert refused.status_code == 400
    body = (await client.post(URL, json={**PROMPT, "background": "transparent"})).json()
    assert [w["param"] for w in body["limner"]["warnings"]] == ["background"]
    assert body["background"] == "opaque"


async def test_a_url_reply_is_served_and_signed(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={**PROMPT, "response_format": "url"})).json()
    assert "b64_json" not in body["data"][0]
    url = body["data"][0]["url"]
    assert url.startswith("http://limner.test/v1/files/img_")
    served = await client.get(url)
    assert served.status_code == 200
    assert served.headers["content-type"] == "image/png"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(served.content)).size == (256, 256)
    assert (await client.get(url[:-4] + "0000")).status_code == 403


@pytest.mark.parametrize(
    ("query", "fields", "form"),
    [
        ({}, {}, "b64_json"),
        ({"response_format": "url"}, {}, "url"),
        ({"response_format": "url"}, {"response_format": "b64_json"}, "b64_json"),
        ({"response_format": "b64_json"}, {"response_format": "url"}, "url"),
    ],
)
async def test_the_reply_form_may_stand_in_the_query_and_the_body_wins(
    client: httpx2.AsyncClient, query: dict[str, str], fields: dict[str, str], form: str
) -> None:
    body = (await client.post(URL, params=query, json={**PROMPT, **fields})).json()
    assert list(body["data"][0]) == [form]


async def test_an_unknown_reply_form_in_the_query_is_refused(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    reply = await client.post(URL, params={"response_format": "file"}, json=PROMPT)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "response_format")
    assert "Allowed: b64_json, url" in reply.json()["detail"]
    assert backend.requests == []


@pytest.mark.parametrize(
    ("model", "fields", "form"),
    [
        ("dall-e-3", {}, "url"),
        ("openai/dall-e-2", {}, "url"),
        ("DALL-E-3", {"response_format": "b64_json"}, "b64_json"),
        ("dalle", {}, "b64_json"),  # RouteLLM's name of it
        ("gpt-image-1", {}, "b64_json"),
    ],
)
async def test_openais_models_answer_as_their_clients_expect(
    settings: Settings, backend: FakeBackend, model: str, fields: dict[str, str], form: str
) -> None:
    app = create_app(settings, opener(backend, stand_in=True))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        body = (await http.post(URL, json={**PROMPT, "model": model, **fields})).json()
    assert list(body["data"][0]) == [form]


@pytest.fixture
async def standing_in(settings: Settings, backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings, opener(backend, stand_in=True))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        yield http


@pytest.mark.parametrize(
    ("model", "asked", "took"),
    [
        ("dall-e-3", {}, {"quality": "standard", "style": "vivid"}),
        ("dall-e-3", {"quality": "hd", "style": "natural"}, {"quality": "hd", "style": "natural"}),
        ("dall-e-3", {"quality": "auto"}, {"quality": "standard"}),
        ("gpt-image-1", {"quality": "low"}, {"quality": "low"}),
        ("gpt-5.4", {"quality": "high"}, {"quality": "high"}),
        ("ideogram", {"style": "REALISTIC"}, {"style": "REALISTIC"}),
        ("recraft_svg", {"style": "line_art"}, {"style": "line_art"}),
    ],
)
async def test_a_models_own_quality_and_style_take_effect(
    standing_in: httpx2.AsyncClient, backend: FakeBackend, model: str, asked: dict[str, str], took: dict[str, str]
) -> None:
    reply = await standing_in.post(URL, json={**PROMPT, "model": model, **asked})
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert took.items() <= body["limner"]["effective"].items()
    assert took.items() <= backend.requests[-1].params.items()
    assert not {"quality", "style"} & {warning["param"] for warning in body["limner"]["warnings"]}
    assert body["quality"] == took.get("quality", "auto")
    again = await standing_in.post(f"/v1/files/{body['limner']['files'][0]}/rerun")
    assert took.items() <= again.json()["limner"]["effective"].items()


@pytest.mark.parametrize(
    ("model", "field", "value", "allowed"),
    [
        ("dall-e-3", "quality", "low", "'standard' or 'hd'"),
        ("ideogram", "style", "vivid", "'AUTO' or 'GENERAL'"),
        ("sketch", "style", "REALISTIC", "vivid, natural"),
        ("sketch", "quality", "superb", "auto, low"),
    ],
)
async def test_a_quality_or_style_of_another_model_is_refused(
    standing_in: httpx2.AsyncClient, model: str, field: str, value: str, allowed: str
) -> None:
    reply = await standing_in.post(URL, json={**PROMPT, "model": model, field: value})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)
    assert repr(value) in reply.json()["detail"]
    assert allowed in reply.json()["detail"]


async def test_the_timeout_is_a_408(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.delay_s = 10
    reply = await client.post(URL, json={**PROMPT, "timeout": 0.05})
    assert reply.status_code == 408
    assert reply.json()["error"]["param"] == "timeout"
    assert backend.cancelled == 1


async def test_a_backend_that_breaks_is_a_500_without_its_secrets(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    backend.error = RuntimeError("secret of the backend")
    reply = await client.post(URL, json=PROMPT)
    assert reply.status_code == 500
    assert "secret" not in reply.text


async def test_unknown_path_and_method(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/nowhere")).json()["error"]["code"] == "not_found"
    wrong = await client.get(URL)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert (await client.options(URL)).status_code == 204


async def test_a_body_over_the_limit_is_a_413(client: httpx2.AsyncClient) -> None:
    async def endless() -> Any:
        while True:
            yield b" " * (1 << 20)

    declared = await client.post(URL, content=b"", headers={"content-length": str(10**12)})
    assert declared.status_code == 413
    streamed = await client.post(URL, content=endless(), headers={"content-type": "application/json"})
    assert streamed.status_code == 413


async def test_a_setting_turns_unknown_parameters_into_warnings(settings: Settings, backend: FakeBackend) -> None:
    lenient = settings.model_copy(update={"unknown_parameters": "warn", "public_url": "https://pictures.example"})
    app = create_app(lenient, opener(backend))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client,
    ):
        reply = await client.post(URL, json={**PROMPT, "no_such_parameter": 1, "response_format": "url"})
    assert reply.status_code == 200
    assert [(w["param"], w["code"]) for w in reply.json()["limner"]["warnings"]] == [("no_such_parameter", "ignored")]
    assert reply.json()["data"][0]["url"].startswith("https://pictures.example/v1/files/img_")
    assert "no_such_parameter" not in backend.requests[-1].params
