"""What bounds the server's memory, whatever clients send at once."""

import asyncio
import gc

import httpx2
import pytest

from limner.api.app import ENVELOPES, create_app
from limner.api.pictures import PixelBudget
from limner.config import Settings
from limner.core import Picture, Size
from limner.errors import Overloaded
from tests.api.test_edits import png
from tests.fakes import FakeBackend, opener


def test_a_picture_gives_its_pixels_back_when_nobody_holds_it() -> None:
    budget = PixelBudget(100)
    first = budget.hold(Picture("L", Size(8, 8), bytes(64)))
    with pytest.raises(Overloaded):
        budget.hold(Picture("L", Size(8, 8), bytes(64)))
    del first
    gc.collect()
    budget.hold(Picture("L", Size(8, 8), bytes(64)))


async def test_many_large_bodies_at_once_get_429_and_the_rest_goes_on(settings: Settings) -> None:
    small = settings.model_copy(update={"max_bodies_bytes": 300_000, "queue_limit": 100})
    backend = FakeBackend(delay_s=0.02)
    app = create_app(small, opener(backend))
    padding = "x" * 20_000
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client,
    ):
        body = {"prompt": padding, "num_inference_steps": 2}
        replies = await asyncio.gather(*(client.post("/v1/images/generations", json=body) for _ in range(40)))
        assert {reply.status_code for reply in replies} == {200, 429}
        assert (await client.post("/v1/images/generations", json=body)).status_code == 200


async def test_requests_being_read_count_as_queued(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"queue_limit": 1}), opener(FakeBackend()))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as client,
    ):
        files = {"image": ("x.png", png(size=(900, 900)), "image/png")}
        posts = (client.post("/v1/images/edits", data={"prompt": "x"}, files=files) for _ in range(6))
        statuses = sorted(reply.status_code for reply in await asyncio.gather(*posts))
        assert statuses[0] == 200
        assert statuses[-1] == 429


@pytest.mark.parametrize(("wait_s", "told"), [(0.1, "1"), (2.4, "3"), (3.0, "3")])
@pytest.mark.parametrize("path", ["/v1/images/generations", "/sdapi/v1/txt2img", "/v2/images", "/v1beta/models/x"])
def test_nobody_is_told_to_come_back_too_early(path: str, wait_s: float, told: str) -> None:
    reply = ENVELOPES.response(path, Overloaded("full", retry_after_s=wait_s), {"X-Limner-Job": "job_1"})
    assert (reply.headers["retry-after"], reply.headers["x-limner-job"]) == (told, "job_1")
