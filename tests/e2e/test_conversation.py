"""A conversation about one picture with the embedded models: every step is looked at, and read by the reader."""

import base64
import io
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from google import genai
from google.genai import types
from openai import OpenAI
from PIL import Image

from tests.e2e.conftest import Server
from tests.e2e.test_meaning import Pixels, patch
from training.judge import judge
from training.scenes import POSITIONS, Scene, make_thing, plain

STEPS = (
    "draw a red circle on white",
    "make it blue",
    "add a yellow star above it",
    "remove the background",
    "what is in the image?",
)
OPERATIONS = ["generate", "edit", "edit", "remove_background", "describe"]
SEED = 2
NODE = Path(__file__).parent / "node"


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGB"), float)


def corners(picture: Pixels) -> Iterator[Pixels]:
    return (patch(picture, x, y) for x, y in ((0.05, 0.05), (0.95, 0.05), (0.05, 0.95), (0.95, 0.95)))


def is_blue(color: Pixels) -> bool:
    return bool(color[2] > 150 and color[0] < 110)


def judged(picture: Image.Image, color: str) -> dict[str, bool]:
    """What the judge of the embedded model's training says of it as a circle in the middle of white."""
    rng = random.Random(0)
    background = plain(rng, "white")
    circle = make_thing(rng, "circle", color, POSITIONS["center"], behind=background.behind)
    drawn = np.asarray(picture.convert("RGB"))
    return judge(drawn, Scene("one", background, (circle,), position="center"))


def check(pictures: list[Image.Image], answer: str) -> None:
    """What every step must have come to."""
    red, blue, starred, cut = pictures
    for picture, color in ((red, "red"), (blue, "blue")):
        verdict = judged(picture, color)
        assert verdict["all"], verdict
    assert patch(pixels(red), 0.5, 0.5)[0] > 150 > patch(pixels(red), 0.5, 0.5)[2]
    assert is_blue(patch(pixels(blue), 0.5, 0.6))
    assert is_blue(patch(pixels(starred), 0.5, 0.6))
    for picture in (red, blue, starred):
        assert all(corner.min() > 215 for corner in corners(pixels(picture)))
    above = pixels(starred)[: starred.height // 2]
    assert ((above[..., 0] > 180) & (above[..., 1] > 140) & (above[..., 2] < 130)).mean() > 0.005, "no yellow above"
    alpha = np.asarray(cut.getchannel("A"))
    assert cut.mode == "RGBA"
    assert alpha[:8].max() == alpha[:, :8].max() == 0
    assert alpha[int(cut.height * 0.6), cut.width // 2] == 255
    assert "blue" in answer


def read(server: Server, picture: Image.Image) -> str:
    """What the embedded reader sees."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    reply = httpx2.post(f"{server.api}/images/describe", files={"image": file.getvalue()}, timeout=60)
    assert reply.status_code == 200, reply.text
    text: str = reply.json()["text"]
    return text.lower()


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.api, api_key="none", max_retries=0) as opened:
        yield opened


def test_with_the_openai_sdk(server: Server, client: OpenAI) -> None:
    messages: list[Any] = []
    pictures, operations, answer = [], [], ""
    for words in STEPS:
        messages.append({"role": "user", "content": words})
        made = client.chat.completions.create(model="limner/auto", messages=messages, seed=SEED)
        answer = made.choices[0].message.content or ""
        messages.append({"role": "assistant", "content": answer})
        operations.append((made.model_extra or {})["limner"]["operation"])
        pictures += [opened(base64.b64decode(data)) for data in re.findall(r"base64,([^)]+)\)", answer)]
    assert operations == OPERATIONS
    check(pictures, answer)
    assert "red circle" in read(server, pictures[0])
    assert "blue circle" in read(server, pictures[1])


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_with_the_node_sdk(server: Server) -> None:
    run = subprocess.run(
        ["node", "conversation.mjs", server.api, str(SEED), *STEPS],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["operations"] == OPERATIONS
    check([opened(base64.b64decode(data)) for data in seen["pictures"]], seen["answer"])


@pytest.fixture
def gemini(server: Server) -> Iterator[genai.Client]:
    with genai.Client(api_key="none", http_options=types.HttpOptions(base_url=server.url)) as opened:
        yield opened


def test_with_gemini(gemini: genai.Client) -> None:
    contents: list[Any] = []
    pictures, answer = [], ""
    for words in STEPS:
        contents.append(types.UserContent(parts=[types.Part(text=words)]))
        config = types.GenerateContentConfig(seed=SEED)
        reply = gemini.models.generate_content(model="limner/auto", contents=contents, config=config)
        content = (reply.candidates or [])[0].content
        assert content is not None
        contents.append(content)
        for part in content.parts or []:
            if part.inline_data is not None and part.inline_data.data is not None:
                pictures.append(opened(part.inline_data.data))
            answer = part.text or answer
    check(pictures, answer)


@pytest.mark.parametrize("words", ["hello", "what can you do?", "make it blue"])
def test_words_get_words(client: OpenAI, words: str) -> None:
    made = client.chat.completions.create(model="limner/auto", messages=[{"role": "user", "content": words}])
    assert "![" not in (made.choices[0].message.content or "![")
    assert (made.model_extra or {})["limner"]["job_id"] is None
