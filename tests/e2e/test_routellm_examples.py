"""The code examples of RouteLLM's document with the official SDKs and curl, against an emulator.

Its schema has the pictures in ``message.images``, beside an empty ``content``; its examples walk the parts of
``content``. Both ways must find them: the second with ``reply_form=parts``, which a client can say once for all calls.
"""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion
from PIL import Image, ImageDraw

from tests.e2e.conftest import Server

NODE = Path(__file__).parent / "node"


@dataclass(frozen=True)
class Example:
    """One example's request, and the size that its parameters mean (None where the document leaves it open)."""

    name: str
    model: str
    prompt: str
    config: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    @property
    def body(self) -> dict[str, Any]:
        messages = [{"role": "user", "content": self.prompt}]
        return {"model": self.model, "messages": messages, "modalities": ["image"], "image_config": self.config}


SUNSET = "A beautiful sunset over mountains"
EXAMPLES = [
    Example("basic", "gemini-2.5-pro", SUNSET, {"num_images": 1}, (1024, 1024)),
    Example("basic, another model", "flux2_pro", SUNSET, {"num_images": 1}),
    Example(
        "several",
        "flux2_pro",
        "A futuristic cityscape at night with neon lights and flying cars",
        {"num_images": 3, "aspect_ratio": "1:1"},
    ),
    Example(
        "portrait",
        "flux2_pro",
        "A full-body portrait of a fashion model in elegant evening wear",
        {"num_images": 1, "aspect_ratio": "2:3"},
    ),
    Example(
        "quality",
        "gpt-5.1",
        "A whimsical illustration of a magical forest with glowing mushrooms",
        {"num_images": 1, "aspect_ratio": "1:1", "quality": "high"},
        (1024, 1024),
    ),
    Example(
        "size and resolution",
        "gemini-2.5-pro",
        "A professional headshot of a business executive",
        {"num_images": 1, "aspect_ratio": "2:3", "image_size": "1024x1536", "resolution": "2K"},
    ),
]


def check(urls: list[str], example: Example) -> None:
    assert len(urls) == example.config["num_images"]
    assert len(set(urls)) == len(urls)
    for url in urls:
        served = httpx2.get(url)
        assert served.status_code == 200
        with Image.open(io.BytesIO(served.content)) as picture:
            assert example.size in (None, picture.size)
            ratio = example.config.get("aspect_ratio", "1:1")
            width, height = map(int, ratio.split(":"))
            assert abs(picture.width * height / (picture.height * width) - 1) < 0.05


@pytest.fixture
def sdk(emulator: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=emulator.api, api_key="unused", max_retries=0) as client:
        yield client


def create(sdk: openai.OpenAI, example: Example) -> Any:
    """The SDK has no argument for ``image_config``; what it does not know goes through ``extra_body``."""
    body = example.body
    return sdk.chat.completions.create(
        model=body["model"],
        messages=body["messages"],
        modalities=body["modalities"],
        extra_body={"image_config": body["image_config"]},
    )


def as_objects(value: Any) -> Any:
    """What the SDK leaves as dictionaries, since it expects text there, in the objects that the examples walk."""
    return json.loads(json.dumps(value), object_hook=lambda fields: SimpleNamespace(**fields))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_python_by_the_schema(sdk: openai.OpenAI, example: Example) -> None:
    response = create(sdk, example)
    message = response.choices[0].message
    assert message.content == ""
    check([item["image_url"]["url"] for item in message.images if item["type"] == "image_url"], example)
    assert response.usage.compute_points_used >= 1
    assert response.model == example.model
    assert response.created > 1_700_000_000


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_python_by_the_examples(sdk: openai.OpenAI, example: Example) -> None:
    response = create(sdk.with_options(default_query={"reply_form": "parts"}), example)
    check(
        [
            content_item.image_url.url
            for content_item in as_objects(response.choices[0].message.content)
            if content_item.type == "image_url"
        ],
        example,
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_by_the_schema_and_by_the_examples(emulator: Server) -> None:
    assert (NODE / "node_modules").exists(), "run npm ci in tests/e2e/node (make test does)"
    asked = json.dumps([{"model": one.model, "prompt": one.prompt, "config": one.config} for one in EXAMPLES])
    run = subprocess.run(
        ["node", "routellm.mjs", emulator.api, asked],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for example, seen in zip(EXAMPLES, json.loads(run.stdout), strict=True):
        assert (seen["content"], seen["model"]) == ("", example.model)
        assert seen["points"] >= 1
        check(seen["images"], example)
        check(seen["parts"], example)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_curl(emulator: Server, example: Example) -> None:
    headers = ["-H", "Authorization: Bearer anything", "-H", "Content-Type: application/json"]
    command = [
        "curl",
        "-sf",
        "-X",
        "POST",
        f"{emulator.api}/chat/completions",
        *headers,
        "-d",
        json.dumps(example.body),
    ]
    reply = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    check([image["image_url"]["url"] for image in reply["choices"][0]["message"]["images"]], example)


def test_a_question_about_a_picture_is_answered_in_words(sdk: openai.OpenAI) -> None:
    buffer = io.BytesIO()
    picture = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(picture).ellipse((70, 70, 186, 186), fill="red")
    picture.save(buffer, "PNG")
    answer = asked(sdk, "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    assert "red circle" in (answer.choices[0].message.content or "")
    assert answer.model == "reader"


def test_a_picture_that_cannot_be_fetched_is_named(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"messages\[0\].content\[1\]"):
        asked(sdk, "https://example.com/image.jpg")


def asked(sdk: openai.OpenAI, url: str) -> ChatCompletion:
    parts: list[Any] = [
        {"type": "text", "text": "Describe the image"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return sdk.chat.completions.create(model="route-llm", messages=[{"role": "user", "content": parts}])


@pytest.mark.parametrize("name", ["route-llm", "limner/auto"])
def test_a_name_for_whichever_model_fits_is_answered_by_the_one_that_drew(sdk: openai.OpenAI, name: str) -> None:
    response = create(sdk, Example("routed", name, SUNSET, {"num_images": 1}))
    assert response.model != name
    assert response.model in {model.id for model in sdk.models.list()}


@pytest.mark.parametrize("bad", [{"num_images": 5}, {"aspect_ratio": "7:5"}, {"no_such_parameter": 1}])
def test_a_value_outside_the_table_is_a_400_naming_it(sdk: openai.OpenAI, bad: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(sdk, Example("bad", "flux_kontext", SUNSET, bad))
    assert refused.value.param == next(iter(bad))
