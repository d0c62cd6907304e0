"""GET /api/v1/images/models through the app, on a fake that stands in for every model."""

from typing import Any

import httpx2
import pytest

from tests.api.test_gemini_models import client as client  # a fixture
from tests.fakes import FakeBackend

URL = "/api/v1/images"
RATIO = {"1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "21:9"}


async def listed(client: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    reply = await client.get(f"{URL}/models")
    assert reply.status_code == 200, reply.text
    return {entry["id"]: entry for entry in reply.json()["data"]}


async def test_an_entry_is_as_openrouters_clients_read_it(client: httpx2.AsyncClient) -> None:
    entry = (await listed(client))["nano_banana_pro"]
    taken = entry.pop("supported_parameters")
    assert entry == {
        "id": "nano_banana_pro",
        "name": "Nano Banana Pro",
        "created": 0,
        "description": "",
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["image"]},
        "supports_streaming": True,
        "endpoints": "/api/v1/images/models/nano_banana_pro/endpoints",
    }
    assert set(taken["aspect_ratio"].pop("values")) == RATIO
    assert taken["aspect_ratio"] == {"type": "enum"}
    assert taken["resolution"] == {"type": "enum", "values": ["1K", "2K", "4K"]}
    assert taken["n"] == {"type": "range", "min": 1, "max": 4}
    assert taken["input_references"] == {"type": "range", "min": 0, "max": 4}
    assert taken["seed"] == {"type": "boolean"}
    assert "rewrite_prompt" not in taken  # has no effect here


async def test_models_without_words_for_sizes_take_tiers_and_proportions(client: httpx2.AsyncClient) -> None:
    taken = (await listed(client))["sketch"]["supported_parameters"]
    assert taken["resolution"] == {"type": "enum", "values": ["512", "0.5K", "1K", "2K"]}
    assert set(taken["aspect_ratio"]["values"]) == RATIO
    assert taken["num_inference_steps"] == {"type": "range", "min": 1, "max": 50}


async def test_only_models_that_draw_are_listed(client: httpx2.AsyncClient) -> None:
    assert "magnific" not in await listed(client)
    reply = await client.get(f"{URL}/models/magnific/endpoints")
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize("name", ["google/gemini-3-pro-T2I", "black-forest-labs/FLUX-2-pro", "gpt_image15", "seedream"])
async def test_what_is_listed_is_what_is_taken(client: httpx2.AsyncClient, backend: FakeBackend, name: str) -> None:
    """Every value of every enum, and both ends of every range."""
    taken = (await listed(client))[name]["supported_parameters"]
    asked: list[tuple[str, Any]] = []
    for param, capability in taken.items():
        match capability["type"]:
            case "enum":
                asked += [(param, value) for value in capability["values"]]
            case "range" if param != "input_references":
                asked += [(param, capability["min"]), (param, capability["max"])]
    assert len(asked) >= 8
    for param, value in asked:
        reply = await client.post(URL, json={"model": name, "prompt": "x", param: value})
        assert reply.status_code == 200, (param, value, reply.text)


async def test_a_model_has_one_endpoint_found_by_any_of_its_names(client: httpx2.AsyncClient) -> None:
    entry = (await listed(client))["nano_banana_pro"]
    body = (await client.get(f"{URL}/models/google/gemini-3-pro-image/endpoints")).json()
    (endpoint,) = body["endpoints"]
    assert (body["id"], endpoint["provider_slug"]) == ("nano_banana_pro", "limner")
    assert endpoint["supported_parameters"] == entry["supported_parameters"]
    assert (await client.get(f"{URL}/models/moon/endpoints")).status_code == 404
