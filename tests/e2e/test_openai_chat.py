"""Chat and Responses with the official SDKs, against a running server."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from tests.e2e.conftest import Server

HERE = Path(__file__).parent / "node"
ASKED: Any = [{"role": "user", "content": "a red circle on a white background"}]
TOOL: Any = {"type": "image_generation"}
SMALL: Any = {**TOOL, "size": "256x256"}
PICTURES_TOO: Any = ["image", "text"]  # the SDK's own list has no pictures


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.api, api_key="unused", max_retries=0) as sdk:
        yield sdk


def opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2] or url)))


def test_markdown_and_the_next_turn(client: openai.OpenAI) -> None:
    drawn = client.chat.completions.create(model="sketch", messages=ASKED, seed=3).choices[0].message
    assert drawn.content is not None
    first = opened(drawn.content.partition("](")[2].removesuffix(")"))
    assert first.size == (256, 256)
    again = [*ASKED, {"role": "assistant", "content": drawn.content}, {"role": "user", "content": "make it blue"}]
    edited: Any = client.chat.completions.create(model="sketch", messages=again, seed=3)
    assert edited.limner["operation"] == "edit"
    assert edited.limner["reason"] == "the picture shown last, by the assistant"


def test_a_stream_as_openrouters_clients_read_it(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="sketch",
        messages=ASKED,
        modalities=PICTURES_TOO,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks: list[Any] = list(stream)
    images = [image for chunk in chunks for choice in chunk.choices for image in getattr(choice.delta, "images", [])]
    assert [opened(image["image_url"]["url"]).size for image in images] == [(256, 256)]
    assert chunks[-1].usage.completion_tokens_details.image_tokens == 64
    assert chunks[-1].limner["model"] == "sketch"


def test_responses(client: openai.OpenAI) -> None:
    first = client.responses.create(model="sketch", input="a red circle", tools=[SMALL])
    assert first.status == "completed"
    (call,) = first.output
    assert call.type == "image_generation_call"
    assert opened(call.result or "").size == (256, 256)
    assert first.usage is not None
    assert first.usage.total_tokens > 0
    second = client.responses.create(model="sketch", input="make it blue", tools=[TOOL], previous_response_id=first.id)
    (edit,) = second.output
    assert edit.type == "image_generation_call"
    assert edit.action == "edit"
    assert client.responses.retrieve(second.id).output == second.output


def test_responses_as_a_stream(client: openai.OpenAI) -> None:
    tool: Any = {**TOOL, "partial_images": 2, "output_format": "webp"}
    events = list(client.responses.create(model="sketch", input="a red circle", tools=[tool], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    partial = [event for event in events if event.type == "response.image_generation_call.partial_image"]
    assert len({event.partial_image_b64 for event in partial}) == 2
    assert opened(partial[0].partial_image_b64).format == "WEBP"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output[0].type == "image_generation_call"


def test_responses_in_the_background(client: openai.OpenAI) -> None:
    begun = client.responses.create(model="sketch", input="a star", tools=[TOOL], background=True)
    assert begun.status in ("queued", "in_progress")
    assert client.responses.cancel(begun.id).status in ("cancelled", "completed")


def test_errors_name_the_parameter(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="sketch", messages=ASKED, n=11)
    assert refused.value.param == "n"
    with pytest.raises(openai.BadRequestError) as without:
        client.responses.create(model="sketch", input="a red circle")
    assert without.value.param == "tools"
    with pytest.raises(openai.APIError, match="timeout"):
        for _ in client.chat.completions.create(
            model="sketch", messages=ASKED, stream=True, extra_body={"timeout": 0.001}
        ):
            pass


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node(server: Server) -> None:
    assert (HERE / "node_modules").exists(), "run npm ci in tests/e2e/node (make test does)"
    run = subprocess.run(
        ["node", "chat.mjs", server.api], cwd=HERE, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert [opened(url).size for url in seen["images"]] == [(256, 256)]
    assert (seen["seed"], seen["action"]) == (3, "edit")
    assert seen["usage"]["total_tokens"] > 0
    assert seen["events"][0] == "response.created"
    assert seen["events"].count("response.image_generation_call.partial_image") == 1
    assert seen["events"][-1] == "response.completed"
    assert opened(seen["response"]["output"][0]["result"]).size == (256, 256)
    assert seen["errors"] == [
        [400, "n", "BadRequestError"],
        [400, "modalities", "BadRequestError"],
        [404, "model", "NotFoundError"],
    ]
