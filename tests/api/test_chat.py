"""POST /v1/chat/completions through the app, on a fake backend."""

import base64
import io
import json
import re
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.api.app import create_app
from limner.config import Settings
from limner.core import Operation
from limner.errors import UpstreamFailed
from tests.fakes import FakeBackend, opener

URL = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "a red circle"}]}
ROUTELLM = {**HELLO, "modalities": ["image"], "image_config": {"num_images": 1}}
OPENROUTER = {**HELLO, "modalities": ["image", "text"]}


def png(color: tuple[int, ...] = (255, 0, 0), size: tuple[int, int] = (64, 64)) -> str:
    buffer = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


RED, GREEN, BLUE = png(), png((0, 255, 0)), png((0, 0, 255))


def shows(*urls: str, text: str = "make it blue", role: str = "user") -> dict[str, Any]:
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": role, "content": [{"type": "text", "text": text}, *pictures]}


def opened(data_url: str) -> Image.Image:
    head, _, payload = data_url.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(payload)))


def message_of(reply: httpx2.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    message: dict[str, Any] = reply.json()["choices"][0]["message"]
    return message


def chunks_of(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def first_colors(backend: FakeBackend) -> list[bytes]:
    return [picture.pixels[:3] for picture in backend.requests[-1].inputs]


async def test_routellms_reply(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json={**ROUTELLM, "image_config": {"num_images": 2, "seed": 5}})
    message = message_of(reply)
    assert message["content"] == ""
    assert [image["type"] for image in message["images"]] == ["image_url"] * 2
    body = reply.json()
    assert body["object"] == "chat.completion"
    assert body["id"] == "chatcmpl-" + body["limner"]["job_id"].removeprefix("job_")
    assert body["model"] == "sketch"
    assert 1_700_000_000 < body["created"] < 10_000_000_000
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["limner"]["effective"]["seeds"] == [5, 6]
    assert body["limner"]["reason"] == "the words describe a picture"
    assert reply.headers["x-limner-job"] == body["limner"]["job_id"]
    for image in message["images"]:
        served = await client.get(image["image_url"]["url"])
        assert Image.open(io.BytesIO(served.content)).size == (256, 256)


async def test_usage_counts_tokens_and_points(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.timings_s = {"denoise": 0.123}
    usage = (await client.post(URL, json={**ROUTELLM, "messages": [shows(RED)]})).json()["usage"]
    assert usage == {
        "prompt_tokens": 3 + 4,
        "completion_tokens": 64,
        "total_tokens": 71,
        "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 3, "image_tokens": 4},
        "completion_tokens_details": {"image_tokens": 64, "reasoning_tokens": 0},
        "compute_points_used": 13,  # 0.123 credits, rounded up
    }


async def test_openrouters_reply_has_the_pictures_in_it(client: httpx2.AsyncClient) -> None:
    for path, body in ((URL, OPENROUTER), ("/api" + URL, {**ROUTELLM, "image_config": {"num_images": 1, "seed": 3}})):
        message = message_of(await client.post(path, json=body))
        assert message["content"] == ""
        assert [image["index"] for image in message["images"]] == [0]
        assert opened(message["images"][0]["image_url"]["url"]).size == (256, 256)


async def test_without_modalities_a_model_that_draws_answers_in_markdown(client: httpx2.AsyncClient) -> None:
    message = message_of(await client.post(URL, json={**HELLO, "model": "sketch", "seed": 1, "n": 2}))
    assert "images" not in message
    first, second = message["content"].split("\n\n")
    for text in (first, second):
        assert text.startswith("![img_")
        assert opened(text.partition("](")[2].removesuffix(")")).size == (256, 256)


@pytest.mark.parametrize("nested", [False, True])
async def test_vllm_omnis_fields_and_content_list(
    client: httpx2.AsyncClient, backend: FakeBackend, nested: bool
) -> None:
    fields: dict[str, Any] = {"height": 128, "width": 192, "num_inference_steps": 3, "true_cfg_scale": 2.5, "seed": 0}
    fields |= {"num_outputs_per_prompt": 2, "negative_prompt": "blurry"}
    asked = {"extra_body": fields} if nested else fields
    message = message_of(await client.post(URL, json={**HELLO, "model": "Qwen/Qwen-Image", **asked}))
    assert [part["type"] for part in message["content"]] == ["image_url"] * 2
    assert opened(message["content"][0]["image_url"]["url"]).size == (192, 128)
    assert len(message["images"]) == 2
    request = backend.requests[-1]
    assert (request.n, request.seed, str(request.size)) == (2, 0, "192x128")
    assert request.params["num_inference_steps"] == 3
    assert request.params["true_cfg_scale"] == 2.5
    assert request.params["negative_prompt"] == "blurry"


async def test_vllm_omnis_comfyui_nodes(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    body = {"model": "sketch", "modalities": ["image"], "messages": [shows(RED)]}
    message = message_of(await client.post(URL, json=body))
    for part in message["content"]:
        assert opened(part["image_url"]["url"]).size == (256, 256)
    assert first_colors(backend) == [b"\xff\x00\x00"]


async def test_the_form_of_the_reply_can_be_said(client: httpx2.AsyncClient) -> None:
    parts = message_of(await client.post(URL, json={**ROUTELLM, "reply_form": "parts"}))
    assert [part["type"] for part in parts["content"]] == ["image_url"]
    assert parts["content"][0]["image_url"]["url"] == parts["images"][0]["image_url"]["url"]
    assert parts["images"][0]["image_url"]["url"].startswith("http://limner.test/v1/files/img_")
    markdown = message_of(await client.post(f"{URL}?reply_form=markdown&reply_urls=link", json=ROUTELLM))
    assert re.match(r"!\[(img_\w+_0)\]\(http://limner\.test/v1/files/\1\.png", markdown["content"])
    refused = await client.post(URL, json={**ROUTELLM, "reply_form": "xml"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reply_form")
    assert "images, parts, markdown" in refused.json()["error"]["message"]


async def test_the_server_can_say_the_form(settings: Settings, backend: FakeBackend) -> None:
    said = settings.model_copy(update={"chat_reply_form": "parts", "chat_reply_urls": "link"})
    app = create_app(said, opener(backend))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://x") as http:
        parts = message_of(await http.post(URL, json=HELLO))["content"]
        assert parts[0]["image_url"]["url"].startswith("http://x/v1/files/img_")
        asked = message_of(await http.post(URL, json={**HELLO, "reply_form": "markdown"}))
        assert "](http://x/v1/files/img_" in asked["content"]


async def test_stream_for_openrouters_clients(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json={**OPENROUTER, "stream": True, "num_inference_steps": 2, "n": 2})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert [line for line in reply.text.splitlines() if line.startswith(":")] == [
        f": progress {step}/4" for step in range(1, 5)
    ]
    first, *middle, last = chunks_of(reply.text)
    assert {chunk["object"] for chunk in (first, *middle, last)} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in (first, *middle, last)}) == 1
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    for index, chunk in enumerate(middle):
        (image,) = chunk["choices"][0]["delta"]["images"]
        assert image["index"] == index
        assert opened(image["image_url"]["url"]).size == (256, 256)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens_details"]["image_tokens"] == 128
    assert last["limner"]["effective"]["num_inference_steps"] == 2


async def test_stream_with_usage_apart(client: httpx2.AsyncClient) -> None:
    body = {**OPENROUTER, "stream": True, "stream_options": {"include_usage": True}}
    chunks = chunks_of((await client.post(URL, json=body)).text)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 67
    assert "limner" in chunks[-1]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in chunks[-2]


async def test_stream_for_chat_clients_is_markdown(client: httpx2.AsyncClient) -> None:
    chunks = chunks_of((await client.post(URL, json={**HELLO, "stream": True, "n": 2, "reply_urls": "link"})).text)
    content = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert content.count("](http://limner.test/v1/files/img_") == 2
    assert ")\n\n![" in content


async def test_an_error_in_the_middle_of_a_stream_is_its_last_chunk(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    backend.error = UpstreamFailed("it broke")
    chunks = chunks_of((await client.post(URL, json={**OPENROUTER, "stream": True})).text)
    assert chunks[-1]["error"]["message"] == "it broke"
    assert chunks[-1]["choices"][0]["finish_reason"] == "error"
    before = await client.post(URL, json={**OPENROUTER, "stream": True, "n": 11})
    assert (before.status_code, before.json()["error"]["param"]) == (400, "n")


@pytest.mark.parametrize(
    "image_prompt",
    [RED, {"url": RED}, {"image_url": {"url": RED}}, [RED], [{"url": RED}], [{"type": "image_url", "image_url": RED}]],
)
async def test_references_as_image_prompt(client: httpx2.AsyncClient, backend: FakeBackend, image_prompt: Any) -> None:
    body = {**ROUTELLM, "image_config": {"image_prompt": image_prompt}}
    assert (await client.post(URL, json=body)).status_code == 200
    assert backend.requests[-1].operation is Operation.EDIT
    assert first_colors(backend) == [b"\xff\x00\x00"]


async def test_references_in_the_message_come_before_image_prompt_and_repeats_count_once(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    body = {**ROUTELLM, "messages": [shows(GREEN)], "image_config": {"image_prompt": [BLUE, GREEN]}}
    message_of(await client.post(URL, json=body))
    assert first_colors(backend) == [b"\x00\xff\x00", b"\x00\x00\xff"]


async def test_the_configured_prompt_replaces_the_messages_words(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    message_of(await client.post(URL, json={**ROUTELLM, "image_config": {"prompt": "a blue square"}}))
    assert backend.requests[-1].prompt == "a blue square"


async def test_a_mask_makes_it_an_inpaint(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    config = {"image_prompt": RED, "mask": png((255, 255, 255))}
    message_of(await client.post(URL, json={**ROUTELLM, "image_config": config}))
    assert backend.requests[-1].operation is Operation.INPAINT
    alone = await client.post(URL, json={**ROUTELLM, "image_config": {"mask": RED}})
    assert (alone.status_code, alone.json()["error"]["param"]) == (400, "image_prompt")


async def test_an_earlier_picture_is_edited_when_the_turn_has_none(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    history = [*HELLO["messages"], {"role": "assistant", "content": f"![image]({GREEN})"}]
    reply = await client.post(URL, json={"messages": [*history, {"role": "user", "content": "now make it blue"}]})
    assert reply.json()["limner"]["reason"] == "the words change the picture: the picture shown last, by the assistant"
    assert backend.requests[-1].operation is Operation.EDIT
    assert backend.requests[-1].prompt == "make it blue"
    assert first_colors(backend) == [b"\x00\xff\x00"]


@pytest.mark.parametrize(
    "body", [ROUTELLM, OPENROUTER, HELLO, {**HELLO, "reply_urls": "link"}, {**HELLO, "num_inference_steps": 2}]
)
async def test_a_reply_sent_back_as_history_is_understood(
    client: httpx2.AsyncClient, backend: FakeBackend, body: dict[str, Any]
) -> None:
    """Links to the server's own pictures are read from its store: nothing listens at http://limner.test."""
    drawn = message_of(await client.post(URL, json={**body, "seed": 3}))
    again = [*HELLO["messages"], drawn, {"role": "user", "content": "now make it blue"}]
    message_of(await client.post(URL, json={**HELLO, "messages": again}))
    request = backend.requests[-1]
    assert request.operation is Operation.EDIT
    assert len(request.inputs) == 1


async def test_own_pictures_by_link_path_and_id(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    link = message_of(await client.post(URL, json=ROUTELLM))["images"][0]["image_url"]["url"]
    path = link.removeprefix("http://limner.test")
    image_id = path.rpartition("/")[2].partition(".")[0]
    elsewhere = link.replace("limner.test", "behind-a-proxy.example")
    for source in (link, path, image_id, elsewhere):
        message_of(await client.post(URL, json={**ROUTELLM, "image_config": {"image_prompt": source}}))
        assert len(backend.requests[-1].inputs) == 1
    forged = elsewhere.replace("signature=", "signature=0")
    refused = await client.post(URL, json={**ROUTELLM, "image_config": {"image_prompt": forged}})
    assert refused.status_code == 400  # like any other address that cannot be fetched
    gone = await client.post(URL, json={**ROUTELLM, "image_config": {"image_prompt": "img_0000_0"}})
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "image_prompt")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"model": "sketch", "messages": [{"role": "user", "content": " "}]}, "prompt"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [shows("ftp://x/y.png")]}, "messages[0].content[1]"),
        ({"messages": [shows("data:image/png;base64,AAAA")]}, "messages[0].content[1]"),
        ({"messages": [shows("http://127.0.0.1:9/x.png")]}, "messages[0].content[1]"),
        ({"model": "sketch", "messages": [shows(RED, GREEN, BLUE)]}, "messages[0].content[3]"),
        ({"modalities": ["text"]}, "modalities"),
        ({"modalities": ["audio"]}, "modalities[0]"),
        ({"modalities": []}, "modalities"),
        ({"modalities": "image"}, "modalities"),
        ({"image_config": "16:9"}, "image_config"),
        ({"image_config": {"num_images": 0}}, "num_images"),
        ({"image_config": {"num_images": "2"}}, "num_images"),
        ({"image_config": {"num_images": 11}}, "num_images"),
        ({"image_config": {"num_images": 2}, "n": 3}, "num_images"),
        ({"image_config": {"seed": -1}}, "seed"),
        ({"image_config": {"seed": "7"}}, "seed"),
        ({"image_config": {"size": "big"}}, "size"),
        ({"image_config": {"size": "99999x99999"}}, "size"),
        ({"image_config": {"aspect_ratio": "wide"}}, "aspect_ratio"),
        ({"image_config": {"image_size": "8K"}}, "image_size"),
        ({"image_config": {"image_size": "4K"}}, "image_size"),
        ({"image_config": {"aspect_ratio": "16:9", "size": "256x256"}}, "size"),
        ({"image_config": {"aspect_ratio": "16:9", "image_size": "256x256"}}, "aspect_ratio"),
        ({"image_config": {"resolution": "256x256", "image_size": "256x384"}}, "image_size"),
        ({"image_config": {"resolution": "1K", "image_size": "2K"}}, "image_size"),
        ({"image_config": {"quality": "high"}}, "quality"),
        ({"image_config": {"no_such_parameter": 1}}, "no_such_parameter"),
        ({"image_config": {"image_prompt": 5}}, "image_prompt"),
        ({"image_config": {"image_prompt": [RED, {"uri": RED}]}}, "image_prompt"),
        ({"image_config": {"prompt": 5}}, "prompt"),
        ({"image_config": {"guidance_scale": 99}}, "guidance_scale"),
        ({"no_such_parameter": 1}, "no_such_parameter"),
        ({"seed": 1, "extra_body": {"seed": 2}}, "seed"),
        ({"seed": 1, "image_config": {"seed": 2}}, "seed"),
        ({"width": 256}, "height"),
        ({"width": 256, "height": 128, "size": "256x256"}, "size"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"timeout": 0}, "timeout"),
        ({"output_format": "tiff"}, "output_format"),
        ({"reply_urls": "ftp"}, "reply_urls"),
        ({"model": 5}, "model"),
    ],
)
async def test_a_bad_value_is_refused_by_name(
    client: httpx2.AsyncClient, backend: FakeBackend, fields: dict[str, Any], param: str
) -> None:
    reply = await client.post(URL, json={**HELLO, **fields})
    assert reply.status_code in (400, 415), reply.text
    error = reply.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param.partition("[")[0] in error["message"]
    assert backend.requests == []


async def test_an_unknown_model_is_not_found(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json={**HELLO, "model": "no-such-model"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")


async def test_what_chat_clients_always_send_is_taken_and_told(
    client: httpx2.AsyncClient, backend: FakeBackend
) -> None:
    chatter = {"temperature": 0.7, "max_tokens": 100, "tools": [], "stop": None, "response_format": {"type": "text"}}
    chatter |= {
        "user": "somebody",
        "usage": {"include": True},
        "stream": False,
        "frequency_penalty": 0,
        "quality": "hd",
    }
    messages = [{"role": "system", "content": "You are helpful."}, *HELLO["messages"]]
    reply = await client.post(URL, json={**OPENROUTER, **chatter, "messages": messages, "output_compression": 50})
    warnings = reply.json()["limner"]["warnings"]
    told = {warning["param"] for warning in warnings}
    assert told == {"temperature", "max_tokens", "frequency_penalty", "messages", "quality", "output_compression"}
    assert {warning["code"] for warning in warnings} == {"ignored"}
    assert backend.requests[-1].prompt == "a red circle"


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({}, "256x256"),
        ({"aspect_ratio": "1:1"}, "256x256"),
        ({"aspect_ratio": "auto"}, "256x256"),
        ({"aspect_ratio": "1:1", "image_size": "1K"}, "256x256"),
        ({"aspect_ratio": "1:1", "image_size": "2K"}, "512x512"),
        ({"aspect_ratio": "1:1", "image_size": "0.5K"}, "128x128"),
        ({"aspect_ratio": "2:1", "image_size": "2K"}, "512x256"),
        ({"aspect_ratio": "9:16", "resolution": "1k"}, "192x320"),
        ({"aspect_ratio": "2:3", "image_size": "256x384", "resolution": "1K"}, "256x384"),
        ({"aspect_ratio": "16:9", "image_size": "448x256"}, "448x256"),
        ({"resolution": "2k", "image_size": "2K"}, "512x512"),
    ],
)
async def test_proportions_and_tiers_for_a_model_of_any_size(
    client: httpx2.AsyncClient, backend: FakeBackend, config: dict[str, Any], size: str
) -> None:
    message_of(await client.post(URL, json={**OPENROUTER, "image_config": config}))
    assert str(backend.requests[-1].size) == size


async def test_a_chat_can_be_a_job(client: httpx2.AsyncClient) -> None:
    accepted = await client.post(URL, json=OPENROUTER, headers={"Prefer": "respond-async"})
    assert (accepted.status_code, accepted.json()["object"]) == (202, "job")
    estimate = await client.post(f"{URL}?estimate=true", json=OPENROUTER)
    assert estimate.json()["object"] == "estimate"
    twice = [await client.post(URL, json={**ROUTELLM, "seed": 1}, headers={"Idempotency-Key": "a"}) for _ in range(2)]
    assert twice[0].json() == twice[1].json() | {"limner": twice[0].json()["limner"]}
    assert twice[1].headers["idempotent-replayed"] == "true"


async def test_the_body_must_be_json(client: httpx2.AsyncClient) -> None:
    assert (await client.post(URL, data={"messages": "x"})).status_code == 415
    assert (await client.post(URL, content=b"[]", headers={"content-type": "application/json"})).status_code == 400
