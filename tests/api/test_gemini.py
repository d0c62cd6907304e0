"""Gemini's generateContent and streamGenerateContent through the app, on a fake backend."""

import base64
import io
from typing import Any

import httpx2
import orjson
import pytest
from PIL import Image

from limner.api import calls
from limner.config import Settings
from limner.core import Operation, Size
from limner.errors import PolicyDeclined, UpstreamFailed
from tests.fakes import FakeBackend

URL = "/v1beta/models/sketch:generateContent"
STREAM = "/v1beta/models/sketch:streamGenerateContent"


def png(color: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (64, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def inline(data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}}


def said(*parts: dict[str, Any] | str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def asking(*contents: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {"contents": list(contents), "generationConfig": config}


def pictures(reply: dict[str, Any]) -> list[Image.Image]:
    parts = [part for candidate in reply["candidates"] for part in candidate["content"]["parts"]]
    return [Image.open(io.BytesIO(base64.b64decode(part["inlineData"]["data"]))) for part in parts]


RED, BLUE = png(), png((0, 0, 255))


@pytest.mark.parametrize(
    "prefix", ["/v1/models/", "/v1beta/models/", "/v1beta1/publishers/google/models/",
               "/v1beta1/projects/p/locations/global/publishers/google/models/"],
)  # fmt: skip
async def test_text_to_picture_wherever_clients_look_for_it(
    client: httpx2.AsyncClient, backend: FakeBackend, prefix: str
) -> None:
    reply = await client.post(f"{prefix}sketch:generateContent", json=asking(said("a red circle"), seed=7))
    assert reply.status_code == 200, reply.text
    body = reply.json()
    (candidate,) = body["candidates"]
    assert (candidate["finishReason"], candidate["index"], candidate["content"]["role"]) == ("STOP", 0, "model")
    assert candidate["content"]["parts"][0]["inlineData"]["mimeType"] == "image/png"
    assert pictures(body)[0].size == (256, 256)
    assert body["modelVersion"] == "sketch"
    assert body["responseId"] == body["limner"]["job_id"] == reply.headers["x-limner-job"]
    request = backend.requests[-1]
    assert (request.operation, request.prompt, request.seed) == (Operation.GENERATE, "a red circle", 7)


async def test_a_model_whose_id_has_a_slash(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    for name in ("Qwen/Qwen-Image", "Qwen%2FQwen-Image", "qwen-image"):
        reply = await client.post(f"/v1/models/{name}:generateContent", json=asking(said("x")))
        assert reply.status_code == 200, reply.text
        assert reply.json()["modelVersion"] == "Qwen/Qwen-Image"


async def test_tokens_add_up(client: httpx2.AsyncClient) -> None:
    counts = (await client.post(URL, json=asking(said("make it blue", inline(RED))))).json()["usageMetadata"]
    assert counts["promptTokenCount"] + counts["candidatesTokenCount"] == counts["totalTokenCount"]
    assert {entry["modality"] for entry in counts["promptTokensDetails"]} == {"TEXT", "IMAGE"}
    assert counts["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": counts["candidatesTokenCount"]}]


async def test_snake_case_means_the_same(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    blob = {"mime_type": "image/png", "data": base64.urlsafe_b64encode(RED).decode().rstrip("=")}
    body = {
        "contents": {"parts": [{"text": "make it blue"}, {"inline_data": blob}]},
        "generation_config": {
            "candidate_count": "2",
            "seed": 5.0,
            "response_modalities": ["Image"],
            "image_config": {"aspect_ratio": "16:9", "output_mime_type": "image/jpeg"},
        },
    }
    reply = await client.post(URL, json=body)
    assert reply.status_code == 200, reply.text
    request = backend.requests[-1]
    assert (request.n, request.seed, request.output.format) == (2, 5, "jpeg")
    assert request.size is not None
    assert request.size.width_px / request.size.height_px == pytest.approx(16 / 9, rel=0.1)
    assert "promptTokenCount" in reply.json()["usageMetadata"]


async def test_one_key_in_both_cases_must_have_one_value(client: httpx2.AsyncClient) -> None:
    body = {"contents": [said("x")], "generationConfig": {"candidateCount": 1, "candidate_count": 2}}
    refused = (await client.post(URL, json=body)).json()["error"]
    assert refused["status"] == "INVALID_ARGUMENT"
    assert "candidateCount" in refused["message"]


async def test_candidates_are_pictures(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = (await client.post(URL, json=asking(said("x"), candidateCount=3, seed=1))).json()
    assert [candidate["index"] for candidate in body["candidates"]] == [0, 1, 2]
    assert len(pictures(body)) == backend.requests[-1].n == 3
    assert body["limner"]["effective"]["seeds"] == [1, 2, 3]


async def test_resolution_and_format(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    options = {"mimeType": "image/webp", "compressionQuality": 40}
    config = {"aspectRatio": "1:1", "imageSize": "2k", "imageOutputOptions": options}
    reply = await client.post(URL, json=asking(said("x"), imageConfig=config))
    assert reply.status_code == 200, reply.text
    request = backend.requests[-1]
    assert request.size == Size(512, 512)
    assert (request.output.format, request.output.compression) == ("webp", 40)
    assert pictures(reply.json())[0].format == "WEBP"


async def test_a_resolution_alone_keeps_the_pictures_proportions(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    for tier, size in (("1K", Size(288, 192)), ("2K", Size(512, 352))):
        parts = [*said("make it blue")["parts"], inline(png(size=(96, 64)))]
        reply = await client.post(URL, json=asking({"parts": parts}, imageConfig={"imageSize": tier}))
        assert reply.status_code == 200, reply.text
        assert backend.requests[-1].size == size


async def test_the_models_own_parameters(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    config = {"numInferenceSteps": 4, "imageConfig": {"negative_prompt": "green"}}
    reply = await client.post(URL, json=asking(said("x"), **config))
    assert reply.status_code == 200, reply.text
    params = backend.requests[-1].params
    assert (params["num_inference_steps"], params["negative_prompt"]) == (4, "green")


async def test_what_does_nothing_for_drawing_is_told(client: httpx2.AsyncClient) -> None:
    body = asking(
        said("x"), temperature=0.5, topK=3, stopSequences=["a"], imageConfig={"personGeneration": "ALLOW_ALL"}
    )
    body |= {
        "safetySettings": [{"category": "A", "threshold": "B"}],
        "tools": [],
        "systemInstruction": said("be brief"),
    }
    told = (await client.post(URL, json=body)).json()["limner"]["warnings"]
    assert {(warning["param"], warning["code"]) for warning in told} == {
        (param, "ignored")
        for param in (
            "safetySettings", "systemInstruction", "generationConfig.temperature", "generationConfig.topK",
            "generationConfig.stopSequences", "generationConfig.imageConfig.personGeneration",
        )
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": "x"}, "contents"),
        (asking(said("x", role="system")), "contents[0].role"),
        (asking({"role": "user", "parts": [{}]}), "contents[0].parts[0]"),
        (asking({"role": "user", "parts": [{"functionCall": {"name": "f"}}]}), "contents[0].parts[0].functionCall"),
        (asking({"role": "user", "parts": [{"text": 1}]}), "contents[0].parts[0].text"),
        (asking({"role": "user", "parts": [{"text": "x", "thought": 1}]}), "contents[0].parts[0].thought"),
        (asking(said({"inlineData": {"mimeType": "video/mp4"}})), "contents[0].parts[0].inlineData.mimeType"),
        (asking(said({"inlineData": {"mimeType": "image/png"}})), "contents[0].parts[0].inlineData"),
        (asking(said("x", {"inlineData": {"mimeType": "image/png", "data": "!!"}})), "contents[0].parts[1]"),
        (asking(said(inline(RED))), "contents"),
        (asking(said("words of the model", role="model")), "contents"),
        (asking(said("x"), candidateCount=0), "generationConfig.candidateCount"),
        (asking(said("x"), candidateCount=99), "generationConfig.candidateCount"),
        (asking(said("x"), candidateCount=True), "generationConfig.candidateCount"),
        (asking(said("x"), seed=-1), "generationConfig.seed"),
        (asking(said("x"), seed="many"), "generationConfig.seed"),
        (asking(said("x"), colour="red"), "generationConfig.colour"),
        (asking(said("x"), responseModalities=["TEXT"]), "generationConfig.responseModalities"),
        (asking(said("x"), responseModalities=["IMAGE", "AUDIO"]), "generationConfig.responseModalities"),
        (asking(said("x"), imageConfig={"aspectRatio": "wide"}), "generationConfig.imageConfig.aspectRatio"),
        (asking(said("x"), imageConfig={"imageSize": "8K"}), "generationConfig.imageConfig.imageSize"),
        (asking(said("x"), imageSize=1), "generationConfig.imageSize"),
        (asking(said("x"), imageConfig={"outputMimeType": "x"}), "generationConfig.imageConfig.outputMimeType"),
        (
            asking(said("x"), imageConfig={"outputCompressionQuality": 101}),
            "generationConfig.imageConfig.outputCompressionQuality",
        ),
        (asking(said("x"), imageConfig={"colour": 1}), "generationConfig.imageConfig.colour"),
        ({"contents": [said("x")], "cachedContent": "cachedContents/x"}, "cachedContent"),
        ({"contents": [said("x")], "model": "models/other"}, "model"),
        ({"contents": [said("x")], "colour": None}, "colour"),
        ({"contents": [said("x")], "systemInstruction": 5}, "systemInstruction"),
        ({"contents": [said("x")], "systemInstruction": {"parts": [{"text": 1}]}}, "systemInstruction.parts[0].text"),
        ({"contents": [said("x")], "systemInstruction": {"text": "brief"}}, "systemInstruction.text"),
    ],
)  # fmt: skip
async def test_refusals_name_the_place(client: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    reply = await client.post(URL, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT"), reply.text
    (violation,) = [violation for detail in error["details"] for violation in detail.get("fieldViolations", ())]
    assert violation["field"] == field, error["message"]


async def test_what_is_no_picture(client: httpx2.AsyncClient) -> None:
    for uri in ("gs://bucket/x.png", "files/x"):
        reply = await client.post(URL, json=asking(said("x", {"fileData": {"fileUri": uri}})))
        assert (reply.status_code, reply.json()["error"]["status"]) == (415, "INVALID_ARGUMENT")


async def test_pictures_in_every_way(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    made = (await client.post("/v1/images/generations", json={"prompt": "x", "response_format": "url"})).json()
    for link in (made["data"][0]["url"], made["limner"]["files"][0], f"/v1/files/{made['limner']['files'][0]}"):
        reply = await client.post(URL, json=asking(said("make it blue", {"fileData": {"fileUri": link}})))
        assert reply.status_code == 200, reply.text
        assert backend.requests[-1].inputs[0].size == Size(256, 256)
    inlined = "data:image/png;base64," + base64.b64encode(BLUE).decode()
    for part in (inline(BLUE), {"inlineData": {"data": inlined}}, {"fileData": {"fileUri": inlined}}):
        assert (await client.post(URL, json=asking(said("x", part)))).status_code == 200
        assert backend.requests[-1].inputs[0].pixels[:3] == b"\x00\x00\xff"


async def test_a_forged_link_of_ours_is_not_opened(client: httpx2.AsyncClient) -> None:
    link = "http://limner.test/v1/files/img_0_0.png?expires=9999999999&signature=0"
    reply = await client.post(URL, json=asking(said("x", {"fileData": {"fileUri": link}})))
    assert (reply.status_code, reply.json()["error"]["status"]) == (404, "NOT_FOUND")


async def test_a_conversation_goes_on_from_the_newest_picture(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    first = (await client.post(URL, json=asking(said("a red circle"), seed=3))).json()["candidates"][0]["content"]
    thought = {"thought": True, "inlineData": {"mimeType": "image/png", "data": "never read"}}
    first["parts"] = [thought, {"text": "", "thoughtSignature": "c2lnbmVk"}, *first["parts"]]
    reply = await client.post(URL, json=asking(said("a red circle", inline(BLUE)), first, said("make it blue")))
    assert reply.status_code == 200, reply.text
    request = backend.requests[-1]
    assert (request.operation, request.prompt) == (Operation.EDIT, "make it blue")
    (picture,) = request.inputs
    assert picture.size == Size(256, 256)
    assert reply.json()["limner"]["reason"]


@pytest.mark.parametrize(("config", "count"), [({}, 3), ({"candidateCount": 2}, 2)])
async def test_words_say_how_many_where_no_number_does(
    client: httpx2.AsyncClient, backend: FakeBackend, config: dict[str, Any], count: int
) -> None:
    url = "/v1beta/models/limner/auto:generateContent"
    reply = await client.post(url, json=asking(said("draw three pictures of a red star"), **config))
    assert (backend.requests[-1].n, len(reply.json()["candidates"])) == (count, count)


async def test_what_part_settings_do_not_do_is_told(client: httpx2.AsyncClient) -> None:
    part = {**inline(RED), "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}
    told = (await client.post(URL, json=asking(said("x", part)))).json()["limner"]["warnings"]
    assert [warning["param"] for warning in told] == ["contents[0].parts[1].mediaResolution"]


def events(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


async def test_a_stream_has_a_chunk_a_picture(client: httpx2.AsyncClient) -> None:
    reply = await client.post(f"{STREAM}?alt=sse", json=asking(said("x"), candidateCount=2))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert all(line == "" or line.startswith("data: ") for line in reply.text.splitlines())
    first, last = events(reply.text)
    assert [chunk["candidates"][0]["index"] for chunk in (first, last)] == [0, 1]
    assert "usageMetadata" not in first
    assert last["usageMetadata"]["totalTokenCount"] > 0
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["limner"]["warnings"] == []
    assert first["responseId"] == last["responseId"]


async def test_without_alt_the_stream_is_a_json_array(client: httpx2.AsyncClient) -> None:
    for query in ("", "?alt=json"):
        reply = await client.post(STREAM + query, json=asking(said("x"), candidateCount=2))
        assert reply.headers["content-type"] == "application/json"
        assert [chunk["candidates"][0]["index"] for chunk in reply.json()] == [0, 1]
    assert (await client.post(f"{STREAM}?alt=proto", json=asking(said("x")))).status_code == 400


@pytest.fixture
def impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "KEEP_ALIVE_S", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_slow_stream_is_kept_open_by_nothing_that_a_client_reads(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    backend.delay_s = 0.05
    sse = (await client.post(f"{STREAM}?alt=sse", json=asking(said("x"), numInferenceSteps=2))).text
    assert sse.startswith("\n\n")
    assert len(events(sse)) == 1
    array = await client.post(STREAM, json=asking(said("x"), numInferenceSteps=2))
    assert array.text.startswith("\n")
    assert len(array.json()) == 1


async def test_an_error_in_the_middle_of_a_stream(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = UpstreamFailed("it broke")
    for query in ("?alt=sse", ""):
        reply = await client.post(STREAM + query, json=asking(said("x")))
        (chunk,) = events(reply.text) if query else reply.json()
        assert (chunk["error"]["code"], chunk["error"]["status"]) == (502, "UNAVAILABLE")
        assert next(iter(chunk)) == "error"  # by which the SDK knows it


async def test_a_refusal_by_policy_is_a_finish_reason(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = PolicyDeclined("not this picture")
    for body in (
        (await client.post(URL, json=asking(said("x")))).json(),
        events((await client.post(f"{STREAM}?alt=sse", json=asking(said("x")))).text)[0],
    ):
        (candidate,) = body["candidates"]
        assert (candidate["finishReason"], candidate["finishMessage"]) == ("IMAGE_SAFETY", "not this picture")
        assert body["usageMetadata"]["candidatesTokenCount"] == 0


async def test_a_refused_prompt_is_feedback_on_it(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = PolicyDeclined("not these words", param="prompt")
    body = (await client.post(URL, json=asking(said("x")))).json()
    assert body["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"
    assert "candidates" not in body


@pytest.mark.parametrize(("asked", "taken"), [("5", 5.0), ("999999", 3600.0)])
async def test_the_sdks_timeout_is_the_jobs(
    client: httpx2.AsyncClient, backend: FakeBackend, asked: str, taken: float
) -> None:
    reply = await client.post(URL, json=asking(said("x")), headers={"X-Server-Timeout": asked})
    assert reply.status_code == 200, reply.text
    assert backend.requests[-1].timeout_s == taken


async def test_a_timeout_that_is_none(client: httpx2.AsyncClient) -> None:
    assert (await client.post(URL, json=asking(said("x")), headers={"X-Server-Timeout": "soon"})).status_code == 400


async def test_the_manners_of_every_dialect(client: httpx2.AsyncClient) -> None:
    later = await client.post(URL, json=asking(said("x")), headers={"Prefer": "respond-async"})
    assert (later.status_code, later.json()["object"]) == (202, "job")
    cost = await client.post(f"{URL}?estimate=true", json=asking(said("x")))
    assert cost.json()["object"] == "estimate"
    keyed = {"Idempotency-Key": "one"}
    replies = [await client.post(URL, json=asking(said("x"), seed=1), headers=keyed) for _ in range(2)]
    assert replies[0].json()["responseId"] == replies[1].json()["responseId"]
