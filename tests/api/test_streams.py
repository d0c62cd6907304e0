"""stream=true on the Images routes."""

from typing import Any

import httpx2
import orjson

from limner.errors import UpstreamFailed
from tests.fakes import FakeBackend

URL = "/v1/images/generations"


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [(lines[0].removeprefix("event: "), orjson.loads(lines[1].removeprefix("data: "))) for lines in blocks]


async def test_partial_pictures_then_completed_with_usage(client: httpx2.AsyncClient) -> None:
    body = {"prompt": "a red circle", "stream": True, "partial_images": 2, "seed": 1}
    reply = await client.post(URL, json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    seen = events(reply.text)
    assert [name for name, _ in seen] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [event["partial_image_index"] for _, event in seen[:2]] == [0, 1]
    last = seen[-1][1]
    assert last["type"] == "image_generation.completed"
    assert {"b64_json", "created_at", "size", "quality", "background", "output_format", "usage"} <= set(last)
    assert last["limner"]["effective"]["seed"] == 1


async def test_steps_are_told_in_comments(client: httpx2.AsyncClient) -> None:
    text = (await client.post(URL, json={"prompt": "x", "stream": True, "num_inference_steps": 3})).text
    assert [line for line in text.splitlines() if line.startswith(": progress")] == [
        ": progress 1/3",
        ": progress 2/3",
        ": progress 3/3",
    ]


async def test_one_completed_event_a_picture(client: httpx2.AsyncClient) -> None:
    seen = events((await client.post(URL, json={"prompt": "x", "stream": True, "n": 3})).text)
    assert [event["image_index"] for _, event in seen] == [0, 1, 2]
    assert ["limner" in event for _, event in seen] == [False, False, True]


async def test_an_error_in_the_middle_is_the_last_event(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.error = UpstreamFailed("it broke")
    seen = events((await client.post(URL, json={"prompt": "x", "stream": True})).text)
    assert [name for name, _ in seen] == ["error"]
    assert seen[0][1]["error"]["message"] == "it broke"


async def again(client: httpx2.AsyncClient, n: int, removed: set[int]) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream that is asked for once more, by its key, after some of its pictures have been removed."""
    body, headers = {"prompt": "x", "stream": True, "n": n}, {"Idempotency-Key": "again"}
    first = events((await client.post(URL, json=body, headers=headers)).text)
    files = first[-1][1]["limner"]["files"]
    for index in removed:
        assert (await client.delete(f"/v1/files/{files[index]}")).status_code == 204
    reply = await client.post(URL, json=body, headers=headers)
    assert reply.headers["idempotent-replayed"] == "true"
    return events(reply.text)


async def test_a_repeated_stream_whose_pictures_are_gone_says_so(client: httpx2.AsyncClient) -> None:
    ((name, event),) = await again(client, 1, {0})
    assert (name, event["error"]["code"]) == ("error", "not_found")
    assert "no longer kept" in event["error"]["message"]


async def test_pictures_of_a_repeated_stream_keep_their_places(client: httpx2.AsyncClient) -> None:
    seen = await again(client, 3, {1})
    assert [event["image_index"] for _, event in seen] == [0, 2]
    assert ["limner" in event for _, event in seen] == [False, True]


async def test_an_error_before_the_stream_is_an_ordinary_reply(client: httpx2.AsyncClient) -> None:
    assert (await client.post(URL, json={"prompt": "x", "stream": True, "n": 11})).status_code == 400
