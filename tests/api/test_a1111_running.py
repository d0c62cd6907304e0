"""A1111's calls while they are being drawn: how far they are, what they look like, and stopping them."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from PIL import Image

from limner.api.app import create_app
from limner.config import Settings, load_settings
from limner.core import Event, Finished, Preview, Progress, Request
from limner.errors import UpstreamFailed
from tests.fakes import FakeBackend, flat, opener

STEPS = 4


@dataclass
class SteppingBackend(FakeBackend):
    """Takes a step whenever it is allowed to, and shows a preview after the second; fails at a seed, or where that is
    drawn over."""

    fails_at: int | None = None
    fails_over: int | None = None

    def __post_init__(self) -> None:
        self.allowed = asyncio.Semaphore(0)
        self.stepped = asyncio.Event()

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        assert request.size is not None
        assert request.seed is not None
        try:
            for step in range(1, STEPS + 1):
                await self.allowed.acquire()
                if request.seed == (self.fails_over if request.inputs else self.fails_at):
                    raise UpstreamFailed("no more paint")
                yield Progress(step, STEPS)
                if step == 2 and request.previews:
                    yield Preview(0, 0, flat(request.size, request.seed))
                self.stepped.set()
            yield Finished(tuple(flat(request.size, request.seed + i) for i in range(request.n)), "r", {})
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise

    def allow(self, steps: int) -> None:
        for _ in range(steps):
            self.allowed.release()


@pytest.fixture
def backend() -> SteppingBackend:
    return SteppingBackend()


@pytest.fixture
async def client(settings: Settings, backend: SteppingBackend) -> AsyncIterator[httpx2.AsyncClient]:
    async with running(settings, backend) as http:
        yield http


class running:  # noqa: N801 - reads as a context
    """A server on ``backend``."""

    def __init__(self, settings: Settings, backend: FakeBackend) -> None:
        self._app = create_app(settings, opener(backend, "sketch"))
        self._lifespan = self._app.router.lifespan_context(self._app)
        self._http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self._app), base_url="http://limner.test/sdapi/v1"
        )

    async def __aenter__(self) -> httpx2.AsyncClient:
        await self._lifespan.__aenter__()
        self.gateway = self._app.state.gateway
        return self._http

    async def __aexit__(self, *error: Any) -> None:
        await self._http.aclose()
        await self._lifespan.__aexit__(*error)


def begin(client: httpx2.AsyncClient, **fields: Any) -> "asyncio.Task[httpx2.Response]":
    body = {"prompt": "x", "steps": STEPS, "width": 128, "height": 128, "seed": 1, **fields}
    return asyncio.create_task(client.post("/txt2img", json=body))


async def until(client: httpx2.AsyncClient, progress: float) -> dict[str, Any]:
    """The progress, as soon as it is that far."""
    async with asyncio.timeout(20):
        while True:
            told: dict[str, Any] = (await client.get("/progress")).json()
            if told["progress"] >= progress:
                return told
            await asyncio.sleep(0.01)


async def test_progress_is_that_of_the_call(client: httpx2.AsyncClient, backend: SteppingBackend) -> None:
    idle = (await client.get("/progress")).json()
    assert (idle["progress"], idle["state"]["job_count"], idle["current_image"]) == (0.0, 0, None)
    call = begin(client, n_iter=2)
    backend.allow(1)
    told = await until(client, 0.125)
    assert told["progress"] == 0.125
    assert told["current_image"] is None
    state = told["state"]
    assert (state["job_count"], state["job_no"], state["sampling_step"], state["sampling_steps"]) == (2, 0, 1, STEPS)
    backend.allow(1)
    told = await until(client, 0.25)
    assert told["eta_relative"] > 0
    preview = Image.open(io.BytesIO(base64.b64decode(told["current_image"])))
    assert preview.convert("RGB").getpixel((0, 0)) == tuple(flat(backend.requests[0].size, 1).pixels[:3])  # type: ignore[arg-type]
    assert (await client.get("/progress?skip_current_image=true")).json()["current_image"] is None
    backend.allow(3)
    told = await until(client, 0.625)
    assert (told["state"]["job_no"], told["state"]["job"]) == (1, "Batch 2 out of 2")
    backend.allow(3)
    assert len((await call).json()["images"]) == 2
    assert (await client.get("/progress")).json()["progress"] == 0.0


async def test_an_interrupted_call_answers_with_what_it_has(
    client: httpx2.AsyncClient, backend: SteppingBackend
) -> None:
    call = begin(client, n_iter=3)
    backend.allow(STEPS + 2)
    await until(client, 0.5)
    assert (await client.post("/interrupt")).json() == {}
    reply = await call
    assert reply.status_code == 200
    info = json.loads(reply.json()["info"])
    assert info["all_seeds"] == [1]
    assert len(reply.json()["images"]) == 1
    assert len(backend.requests) == 2
    jobs = (await client.get("http://limner.test/v1/jobs")).json()["data"]
    assert [job["status"] for job in jobs] == ["cancelled", "finished"]


async def test_an_interruption_at_once_leaves_nothing(client: httpx2.AsyncClient, backend: SteppingBackend) -> None:
    call = begin(client)
    backend.allow(1)
    await until(client, 0.2)
    await client.post("/interrupt")
    reply = await call
    assert (reply.status_code, reply.json()["images"]) == (200, [])
    assert json.loads(reply.json()["info"])["seed"] == 1
    assert (await client.post("/interrupt")).json() == {}  # nothing is being drawn


async def test_skipping_goes_on_with_the_next(client: httpx2.AsyncClient, backend: SteppingBackend) -> None:
    assert (await client.post("/skip")).json() is None
    call = begin(client, n_iter=3)
    backend.allow(STEPS + 1)
    await until(client, 0.4)
    await client.post("/skip")
    backend.allow(STEPS)
    reply = await call
    assert json.loads(reply.json()["info"])["all_seeds"] == [1, 3]
    assert len(reply.json()["limner"]["jobs"]) == 2


async def test_a_failing_part_says_what_was_drawn_before(client: httpx2.AsyncClient, backend: SteppingBackend) -> None:
    backend.fails_at = 2
    call = begin(client, n_iter=2)
    backend.allow(STEPS + 1)
    reply = await call
    assert reply.status_code == 502
    assert reply.json()["detail"].startswith("no more paint (part 2 of 2; drawn before it and kept as files: img_")
    assert (await client.get("/progress")).json()["state"]["job_count"] == 0


async def test_a_job_that_somebody_else_cancels_is_an_error(
    client: httpx2.AsyncClient, backend: SteppingBackend
) -> None:
    call = begin(client)
    backend.allow(1)
    await until(client, 0.2)
    (job,) = (await client.get("http://limner.test/v1/jobs")).json()["data"]
    await client.delete(f"http://limner.test/v1/jobs/{job['id']}")
    assert (await call).status_code == 499


async def test_a_client_that_leaves_stops_its_present_part(
    client: httpx2.AsyncClient, backend: SteppingBackend
) -> None:
    call = begin(client, n_iter=3)
    backend.allow(STEPS + 1)
    await until(client, 0.4)
    call.cancel()
    await asyncio.sleep(0.5)  # whoever waits for the job, even to hear of its end, keeps it going
    jobs = (await client.get("http://limner.test/v1/jobs")).json()["data"]
    assert [job["status"] for job in jobs] == ["cancelled", "finished"]
    assert len(backend.requests) == 2
    assert (await client.get("/progress")).json()["state"]["job_count"] == 0


async def test_keys_do_not_see_or_stop_each_other(settings: Settings, backend: SteppingBackend) -> None:
    from limner.accounts.keys import NewKey

    server = running(load_settings(None, {"data": settings.data, "open": "no"}), backend)
    async with server as client:
        one, two = [
            httpx2.BasicAuth("u", (await server.gateway.keyring.create(NewKey(name)))[0]) for name in ("one", "two")
        ]
        client.auth = one
        call = begin(client)
        backend.allow(1)
        await until(client, 0.2)
        assert (await client.get("/progress", auth=two)).json()["state"]["job_count"] == 0
        await client.post("/interrupt", auth=two)
        backend.allow(STEPS - 1)
        assert len((await call).json()["images"]) == 1


async def test_a_client_that_leaves_while_a_part_is_accepted_leaves_no_job(
    settings: Settings, backend: SteppingBackend
) -> None:
    server = running(settings, backend)
    async with server as client:
        store = server.gateway.service.store
        enqueue, entered = store.enqueue, asyncio.Event()

        async def slow(new: Any, **more: Any) -> Any:
            accepted = await enqueue(new, **more)
            if backend.requests:
                entered.set()
                await asyncio.sleep(0.2)
            return accepted

        store.enqueue = slow
        call = begin(client, n_iter=2)
        backend.allow(STEPS)
        await asyncio.wait_for(entered.wait(), 20)
        call.cancel()
        await asyncio.sleep(1)
        jobs = (await client.get("http://limner.test/v1/jobs")).json()["data"]
        assert [job["status"] for job in jobs] == ["cancelled", "finished"]
