"""The official Python SDK against the running server."""

import base64
import io
from collections.abc import Iterator

import httpx2
import openai
import pytest
from PIL import Image

from tests.e2e.conftest import Server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.api, api_key="unused", max_retries=0) as opened:
        yield opened


def image_of(b64: str | None) -> Image.Image:
    assert b64 is not None
    return Image.open(io.BytesIO(base64.b64decode(b64)))


def png(color: tuple[int, int, int]) -> tuple[str, bytes, str]:
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), color).save(buffer, "PNG")
    return ("x.png", buffer.getvalue(), "image/png")


def test_generate(client: openai.OpenAI) -> None:
    reply = client.images.generate(
        model="sketch", prompt="a blue square", n=2, size="256x256", quality="high", user="somebody",
        extra_body={"seed": 9, "num_inference_steps": 4, "negative_prompt": "red"},
    )  # fmt: skip
    assert reply.data is not None
    assert [image_of(item.b64_json).size for item in reply.data] == [(256, 256)] * 2
    assert reply.usage is not None
    assert reply.usage.total_tokens > 0
    extra = reply.model_extra
    assert extra is not None
    assert extra["limner"]["effective"]["seeds"] == [9, 10]
    assert [warning["param"] for warning in extra["limner"]["warnings"]] == ["quality"]


def test_url_reply_is_fetchable(client: openai.OpenAI) -> None:
    reply = client.images.generate(prompt="a star", response_format="url", output_format="webp")
    assert reply.data is not None
    assert reply.data[0].url is not None
    served = httpx2.get(reply.data[0].url)
    assert served.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(served.content)).format == "WEBP"


def test_edit_with_references_and_with_a_mask(client: openai.OpenAI) -> None:
    one = client.images.edit(image=png((255, 0, 0)), prompt="make it blue")
    two = client.images.edit(image=[png((255, 0, 0)), png((0, 255, 0))], prompt="put them together", n=1)
    masked = client.images.edit(image=png((255, 0, 0)), mask=png((255, 255, 255)), prompt="a yellow circle")
    for reply in (one, two, masked):
        assert reply.data is not None
        assert image_of(reply.data[0].b64_json).format == "PNG"


def test_stream_has_partial_pictures_then_the_whole_one(client: openai.OpenAI) -> None:
    stream = client.images.generate(prompt="a red circle", stream=True, partial_images=2, model="sketch")
    events = list(stream)
    kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    last = events[-1]
    assert last.type == "image_generation.completed"
    assert last.usage.output_tokens > 0
    pictures = [image_of(event.b64_json).convert("RGB").tobytes() for event in events]
    assert len(set(pictures)) == 3  # true partial pictures, not copies of the last


def test_errors_name_the_parameter(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(prompt="x", n=11)
    assert refused.value.param == "n"
    with pytest.raises(openai.NotFoundError):
        client.images.generate(prompt="x", model="no-such-model")
    with pytest.raises(openai.BadRequestError, match="no_such_parameter"):
        client.images.generate(prompt="x", extra_body={"no_such_parameter": 1})
    with pytest.raises(openai.APIStatusError) as late:
        client.images.generate(prompt="x", extra_body={"timeout": 0.001})
    assert late.value.status_code == 408


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()][:4] == ["sketch", "reader", "cutout", "resample"]
    assert client.models.retrieve("sketch").id == "sketch"
