"""What Google's clients ask beside generateContent: Imagen's predict, tokens, models, and how they are refused."""

import base64
import io
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.api.gemini.errors import STATUS, owns
from limner.errors import LimnerError, PolicyDeclined
from tests.api.test_gemini import RED, asking, inline, said
from tests.fakes import FakeBackend
from tests.test_docs import all_errors

PREDICT = "/v1beta/models/sketch:predict"
COUNT = "/v1beta/models/sketch:countTokens"
SDK = {"x-goog-api-client": "google-genai-sdk/3.4.0 gl-python/3.11"}


def prediction(**parameters: Any) -> dict[str, Any]:
    return {"instances": [{"prompt": "a red circle"}], "parameters": parameters}


async def test_predict(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    parameters = {
        "sampleCount": 2,
        "aspectRatio": "4:3",
        "seed": 11,
        "negativePrompt": "green",
        "guidanceScale": 4.5,
        "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 60},
        "includeRaiReason": True,
    }
    reply = await client.post(PREDICT, json=prediction(**parameters))
    assert reply.status_code == 200, reply.text
    body = reply.json()
    files = [base64.b64decode(one["bytesBase64Encoded"]) for one in body["predictions"]]
    assert [Image.open(io.BytesIO(file)).format for file in files] == ["JPEG"] * 2
    assert {one["mimeType"] for one in body["predictions"]} == {"image/jpeg"}
    request = backend.requests[-1]
    assert (request.n, request.seed, request.output.compression) == (2, 11, 60)
    assert (request.params["negative_prompt"], request.params["guidance_scale"]) == ("green", 4.5)
    assert request.size is not None
    assert request.size.width_px > request.size.height_px
    assert all("brought to" in warning["message"] for warning in body["limner"]["warnings"])


async def test_imagen_draws_four_when_not_told(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    assert len((await client.post(PREDICT, json=prediction())).json()["predictions"]) == 4


async def test_guidance_under_the_models_own_name(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    reply = await client.post("/v1/models/z-image-turbo:predict", json=prediction(sampleCount=1, guidance_scale=1.0))
    assert [warning["param"] for warning in reply.json()["limner"]["warnings"]] == ["parameters.guidanceScale"]


async def test_what_imagen_has_and_nobody_here_has_is_told(client: httpx2.AsyncClient) -> None:
    parameters = {"personGeneration": "ALLOW_ADULT", "safetySetting": "BLOCK_NONE", "addWatermark": True}
    quiet = {"language": "auto", "includeSafetyAttributes": False}
    body = prediction(sampleCount=1, enhancePrompt=True, **parameters, **quiet)
    told = (await client.post(PREDICT, json=body | {"labels": {"a": "b"}})).json()["limner"]["warnings"]
    assert {warning["param"] for warning in told} == {
        "labels", "parameters.enhancePrompt", *(f"parameters.{name}" for name in parameters)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "instances"),
        ({"instances": []}, "instances"),
        ({"instances": [{"prompt": "a"}, {"prompt": "b"}]}, "instances"),
        ({"instances": [{}]}, "instances[0].prompt"),
        ({"instances": [{"prompt": " "}]}, "instances[0].prompt"),
        ({"instances": [{"prompt": "a", "image": {}}]}, "instances[0].image"),
        (prediction(sampleCount=0), "parameters.sampleCount"),
        (prediction(sampleCount=99), "parameters.sampleCount"),
        (prediction(aspectRatio="x"), "parameters.aspectRatio"),
        (prediction(sampleImageSize="9K"), "parameters.sampleImageSize"),
        (prediction(storageUri="gs://x"), "parameters.storageUri"),
        (prediction(outputOptions={"mimeType": "image/gif"}), "parameters.outputOptions.mimeType"),
    ],
)
async def test_predict_refuses_by_name(client: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    reply = await client.post(PREDICT, json=body)
    assert reply.status_code == 400, reply.text
    assert field in violations(reply.json())


def violations(body: dict[str, Any]) -> list[str]:
    details = body["error"]["details"]
    return [violation["field"] for detail in details for violation in detail.get("fieldViolations", ())]


async def test_a_prediction_that_policy_filters(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = PolicyDeclined("not this")
    assert (await client.post(PREDICT, json=prediction())).json() == {
        "predictions": [{"raiFilteredReason": "not this"}]
    }


async def test_count_tokens_counts_as_drawing_does(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = asking(said("make it blue", inline(RED)))
    drawn = (await client.post("/v1/models/sketch:generateContent", json=body)).json()["usageMetadata"]
    drawings = len(backend.requests)
    for counted in (body, {"generateContentRequest": {"model": "models/sketch", **body}}):
        reply = (await client.post(COUNT, json=counted)).json()
        assert reply["totalTokens"] == drawn["promptTokenCount"]
        assert reply["promptTokensDetails"] == drawn["promptTokensDetails"]
    assert len(backend.requests) == drawings
    refused = [
        ({}, "contents"),
        ({"generateContentRequest": None}, "contents"),
        ({"generateContentRequest": 1}, "generateContentRequest"),
        ({"generateContentRequest": body, "contents": []}, "contents"),
    ]
    for wrong, field in refused:
        assert violations((await client.post(COUNT, json=wrong)).json()) == [field]


async def test_models_are_listed_in_pages(client: httpx2.AsyncClient) -> None:
    names, token = [], ""
    while True:
        page = (await client.get("/v1beta/models", params={"pageSize": 2, "pageToken": token})).json()
        names += [model["name"] for model in page["models"]]
        token = page.get("nextPageToken")
        if token is None:
            break
    assert names == ["models/sketch", "models/Tongyi-MAI/Z-Image-Turbo", "models/Qwen/Qwen-Image"]
    assert (await client.get("/v1beta/models?pageSize=few")).json()["error"]["status"] == "INVALID_ARGUMENT"


async def test_one_model_by_id_or_alias(client: httpx2.AsyncClient) -> None:
    model = (await client.get("/v1beta/models/qwen-image")).json()
    assert model["name"] == "models/Qwen/Qwen-Image"
    assert "generateContent" in model["supportedGenerationMethods"]
    missing = await client.get("/v1beta/models/none")
    assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")


async def test_v1_models_is_openais_list_but_for_googles_sdks(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/v1/models")).json()["object"] == "list"
    assert "nextPageToken" not in (await client.get("/v1/models", headers=SDK)).json()
    assert (await client.get("/v1/models/sketch", headers=SDK)).json()["name"] == "models/sketch"
    assert (await client.get("/v1/models/sketch")).json()["id"] == "sketch"


@pytest.mark.parametrize(
    ("path", "googles"),
    [
        ("/v1beta/models", True),
        ("/v1beta/anything", True),
        ("/v1beta1/publishers/google/models/x:predict", True),
        ("/v1/models/sketch:generateContent", True),
        ("/v1/models/Qwen/Qwen-Image:predict", True),
        ("/v1/models", False),
        ("/v1/models/embedded:sketch", False),
        ("/v1/images/generations", False),
    ],
)
def test_which_paths_are_googles(path: str, googles: bool) -> None:
    assert owns(path) is googles


@pytest.mark.parametrize("error", sorted(all_errors(LimnerError), key=str))
def test_every_error_has_a_canonical_status(error: type[LimnerError]) -> None:
    assert STATUS[error.status]


async def test_errors_outside_the_handlers_have_the_same_shape(client: httpx2.AsyncClient) -> None:
    replies = {
        "NOT_FOUND": await client.post("/v1/models/nope:generateContent", json=asking(said("x"))),
        "UNIMPLEMENTED": await client.post("/v1/models/sketch:embedContent", json={}),
        "INVALID_ARGUMENT": await client.post(COUNT, content=b"{", headers={"Content-Type": "application/json"}),
    }
    for status, reply in replies.items():
        error = reply.json()["error"]
        assert (error["code"], error["status"]) == (reply.status_code, status)
        assert error["details"][0]["@type"].endswith("ErrorInfo")
