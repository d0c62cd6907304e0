"""The Vercel AI SDK against a running server: ``generateImage`` through OpenAI's, Google's and the open provider."""

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Server
from tests.e2e.test_meaning import pixels

HERE = Path(__file__).parent / "node"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
Pictures = list[tuple[str, tuple[int, int]]]


@pytest.fixture(scope="module")
def seen(emulator: Server) -> dict[str, Any]:
    """What the script saw; one run for all tests."""
    assert (HERE / "node_modules" / "ai").exists(), "run npm ci in tests/e2e/node (make test does)"
    run = subprocess.run(
        ["node", "aisdk.mjs", emulator.url], cwd=HERE, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def pictures(seen: list[list[str]]) -> Pictures:
    """Their media types, which must be true, and sizes."""
    found: Pictures = []
    for kind, b64 in seen:
        image = Image.open(io.BytesIO(base64.b64decode(b64)))
        assert Image.MIME[image.format or ""] == kind
        found.append((kind, image.size))
    return found


@pytest.mark.parametrize(
    ("name", "kind", "size", "count", "calls"),
    [
        ("openai", "image/png", (256, 256), 3, 3),  # a picture a call: the SDK knows of no more for such a model
        ("gptImage", "image/webp", (1024, 1024), 2, 1),
        ("dalle", "image/png", (1024, 1024), 1, 1),
        ("edited", "image/png", (256, 256), 1, 1),
        ("compatible", "image/png", (256, 256), 2, 1),
        ("compatibleEdited", "image/png", (256, 256), 1, 1),
        ("gemini", "image/png", (896, 1152), 1, 1),
        ("geminiEdited", "image/png", (1536, 672), 1, 1),
    ],
)
def test_generate_image(
    seen: dict[str, Any], name: str, kind: str, size: tuple[int, int], count: int, calls: int
) -> None:
    told = seen[name]
    assert pictures(told["images"]) == [(kind, size)] * count
    assert told["warnings"] == []
    assert len(set(told["jobs"])) == calls
    assert told["outputTokens"] == count * -(-size[0] // 32) * -(-size[1] // 32)


def test_provider_options_reach_the_model(seen: dict[str, Any]) -> None:
    """The same seed and steps: the first picture of two and the one alone are the same, up to rounding in a batch."""
    first, second, alone = (pixels(b64) for _, b64 in (*seen["compatible"]["images"], seen["again"]["images"][0]))
    assert np.abs(first - alone).max() <= 1
    assert np.abs(first - second).max() > 1


def test_generate_text_brings_pictures(seen: dict[str, Any]) -> None:
    assert pictures(seen["inWords"]["files"]) == [("image/png", (1344, 768))]
    assert seen["inWords"]["end"] == "stop"
    ((tool, result),) = seen["tool"]
    assert (tool, pictures([["image/webp", result]])) == ("image_generation", [("image/webp", (256, 256))])


def test_errors_keep_status_parameter_and_words(seen: dict[str, Any]) -> None:
    unknown, too_small, unknown_to_google = seen["errors"]
    assert unknown[:2] == [404, "model"]
    told = "Invalid value for 'size': '1x1'. Allowed: sides from 128 to 512 pixels for sketch"
    assert too_small == [400, "size", told]
    assert unknown_to_google[0] == 404
    assert "gemini-no-such-model" in unknown_to_google[2]
