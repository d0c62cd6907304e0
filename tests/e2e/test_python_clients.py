"""LiteLLM and LangChain as clients of a running server, each a script that the clients' own interpreter runs."""

import base64
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.e2e.conftest import Server

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not PYTHON.exists(), reason="the clients are not installed: run make test-clients"),
]


def told(script: str, server: Server) -> dict[str, Any]:
    """The line that a client's script prints."""
    line = [str(PYTHON), str(Path(__file__).parent / "python" / script), server.url]
    run = subprocess.run(line, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def litellm(emulator: Server) -> dict[str, Any]:
    return told("litellm_client.py", emulator)


@pytest.fixture(scope="module")
def langchain(emulator: Server) -> dict[str, Any]:
    return told("langchain_client.py", emulator)


def size(picture: str) -> tuple[int, int]:
    """Of a picture as base64, a data: URL or a link."""
    if picture.startswith("http"):
        return Image.open(io.BytesIO(httpx2.get(picture).raise_for_status().content)).size
    return Image.open(io.BytesIO(base64.b64decode(picture.rpartition(",")[2]))).size


@pytest.mark.parametrize(
    ("call", "sizes"),
    [
        ("generated", [(256, 256)] * 2),
        ("gpt_image", [(1024, 1024)]),
        ("edited", [(256, 256)]),
        ("edited_two", [(1024, 1024)]),
        ("masked", [(256, 256)]),
        ("openrouter_image", [(1024, 1024)]),
        ("gemini_image", [(1024, 1024)]),
        ("imagen", [(1024, 1024)] * 2),
    ],
)
def test_litellm_draws_and_edits(litellm: dict[str, Any], call: str, sizes: list[tuple[int, int]]) -> None:
    assert [size(picture) for picture in litellm[call]["pictures"]] == sizes
    assert set(litellm[call]["urls"]) == {None}


def test_litellm_gets_links_where_openais_model_gives_links(litellm: dict[str, Any]) -> None:
    assert litellm["dalle"]["pictures"] == [None]
    assert [size(url) for url in litellm["dalle"]["urls"]] == [(1024, 1024)]


@pytest.mark.parametrize(
    ("call", "expected"),
    [("chat", (256, 256)), ("stream", (256, 256)), ("openrouter", (1536, 672)), ("gemini", (1024, 1024))],
)
def test_litellm_finds_pictures_in_chat(litellm: dict[str, Any], call: str, expected: tuple[int, int]) -> None:
    seen = litellm[call]
    assert [size(url) for url in seen["images"]] == [expected]
    assert seen["tokens"] == -(-expected[0] // 32) * -(-expected[1] // 32)
    assert not seen.get("content")


def test_litellm_gets_markdown_without_modalities(litellm: dict[str, Any]) -> None:
    content = litellm["markdown"]["content"]
    assert size(content.partition("](")[2].removesuffix(")")) == (256, 256)


def test_litellm_speaks_responses(litellm: dict[str, Any]) -> None:
    assert litellm["responses"] == ["image_generation_call"]


def test_litellm_raises_what_was_refused(litellm: dict[str, Any]) -> None:
    (unknown, status, words), (refused, bad, why) = litellm["errors"]
    assert (unknown, status) == ("NotFoundError", 404)
    assert "no-such-model" in words
    assert (refused, bad) == ("BadRequestError", 400)
    assert "Allowed: integer from 1 to 10" in why


@pytest.mark.parametrize(
    ("call", "sizes"),
    [("dall-e-2", [(1024, 1024)]), ("dall-e-3", [(1024, 1024)]), ("two", [(256, 256)] * 2)],
)
def test_langchains_wrapper_gets_links(langchain: dict[str, Any], call: str, sizes: list[tuple[int, int]]) -> None:
    assert [size(url) for url in langchain[call]] == sizes
    assert all(url.startswith("http") for url in langchain[call])


def test_langchain_chats_and_raises_what_was_refused(langchain: dict[str, Any]) -> None:
    assert size(langchain["chat"].partition("](")[2].removesuffix(")")) == (256, 256)
    kind, words = langchain["error"]
    assert kind == "BadRequestError"
    assert "1x1" in words
