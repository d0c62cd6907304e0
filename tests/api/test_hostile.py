"""Requests that mean harm, or come from clients that break off."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from limner.api.app import create_app
from limner.api.middleware import Exchange
from limner.config import Settings
from tests.api.test_edits import png
from tests.fakes import FakeBackend, opener

URL = "/v1/images/generations"
EDITS = "/v1/images/edits"


@pytest.mark.parametrize("param", ["n", "lora", "no_such_parameter", "size", "extra_body"])
async def test_deep_nesting_is_a_short_400(client: httpx2.AsyncClient, param: str) -> None:
    body = b'{"prompt":"a","%s":%s1%s}' % (param.encode(), b'[{"a":' * 450, b"}]" * 450)
    reply = await client.post(URL, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert len(reply.content) < 3000


@pytest.mark.parametrize("depth", [101, 300, 1000])
@pytest.mark.parametrize(
    "url",
    [
        URL,
        EDITS,
        "/v1/jobs",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1beta/models/sketch:generateContent",
        "/sdapi/v1/txt2img",
        "/v2/image/flux/generate",
        "/api/v1/chat/completions",
    ],
)
async def test_json_is_nested_no_deeper_than_whoever_reads_it_follows(
    client: httpx2.AsyncClient, url: str, depth: int
) -> None:
    body = b'{"operation":"generate","prompt":"a","deep":%s%s}' % (b"[" * (depth - 1), b"]" * (depth - 1))
    headers = {"content-type": "application/json", "Idempotency-Key": "deep"}
    reply = await client.post(url, content=body, headers=headers)
    assert reply.status_code in (400, 422), reply.text
    assert "nested more than 100 deep" in reply.text


async def test_what_is_nested_as_deep_as_may_be_is_read_to_its_end(client: httpx2.AsyncClient) -> None:
    body = b'{"deep":%s%s,"operation":"generate","prompt":"a"}' % (b"[" * 99, b"]" * 99)
    headers = {"content-type": "application/json", "Idempotency-Key": "deep"}
    for url in (URL, "/v1/jobs"):
        reply = await client.post(url, content=body, headers=headers)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "deep")


async def test_a_body_of_brackets_is_refused_before_it_is_parsed(client: httpx2.AsyncClient) -> None:
    inside = b'{"prompt":"a","image":[' + b"[]," * 300_000 + b"[]]}"
    began = time.monotonic()
    reply = await client.post(EDITS, content=inside, headers={"content-type": "application/json"})
    assert reply.status_code == 413
    assert time.monotonic() - began < 1


async def test_json_without_pictures_may_be_a_megabyte(client: httpx2.AsyncClient) -> None:
    reply = await client.post(URL, json={"prompt": "a" * (1 << 20)})
    assert reply.status_code == 413


async def test_what_is_echoed_is_short(client: httpx2.AsyncClient) -> None:
    long = "9" * 200_000
    for body in ({"seed": long}, {"size": long}, {"model": long}, {"a" * 200_000: 1}, {"extra_body": long}):
        reply = await client.post(URL, json={"prompt": "a", **body})
        assert 400 <= reply.status_code < 500
        assert len(reply.content) < 3000, body.keys()


@pytest.mark.parametrize("charset", ["punycode", "undefined", "utf-7", "idna"])
async def test_strange_charsets_are_refused(client: httpx2.AsyncClient, charset: str) -> None:
    kind = f"multipart/form-data; charset={charset}; boundary=x"
    body = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n+2AA- x\r\n--x--\r\n'
    reply = await client.post(EDITS, content=body, headers={"content-type": kind})
    assert reply.status_code == 415


async def test_a_charset_is_read_as_the_reader_of_forms_reads_it(client: httpx2.AsyncClient) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="+2AA-"\r\n\r\n%d\r\n'
    headers = {"content-type": 'multipart/form-data; x="charset=utf-8"; boundary=x; charset=utf-7'}
    reply = await client.post(EDITS, content=part % 1 + part % 2 + b"--x--\r\n", headers=headers)
    assert reply.status_code == 415


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {}], ids=["form", "blob"])
async def test_no_page_can_make_pictures_across_sites(
    client: httpx2.AsyncClient, backend: FakeBackend, headers: dict[str, str]
) -> None:
    reply = await client.post(URL, content=b'{"prompt":"a"}', headers=headers)
    assert reply.status_code == 415
    assert backend.requests == []


async def test_an_unused_file_field_counts_as_absent(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    parts = {"image": ("x.png", png(), "image/png"), "mask": ("", b"", "application/octet-stream")}
    reply = await client.post(EDITS, data={"prompt": "x"}, files=parts)
    assert reply.status_code == 200, reply.text
    assert backend.requests[-1].mask is None


async def test_parameters_that_cannot_act_are_named(client: httpx2.AsyncClient) -> None:
    body = (await client.post(URL, json={"prompt": "x", "output_compression": 50})).json()
    assert [w["param"] for w in body["limner"]["warnings"]] == ["output_compression"]
    text = (await client.post(URL, json={"prompt": "x", "stream": True, "response_format": "url"})).text
    last = orjson.loads(text.strip().splitlines()[-1].removeprefix("data: "))
    assert [w["param"] for w in last["limner"]["warnings"]] == ["response_format"]


async def test_a_failed_jobs_reply_names_the_job(client: httpx2.AsyncClient, backend: FakeBackend) -> None:
    backend.delay_s = 5
    reply = await client.post(URL, json={"prompt": "x", "timeout": 0.05})
    assert reply.status_code == 408
    assert reply.headers["x-limner-job"].startswith("job_")


@pytest.fixture
async def hanging(settings: Settings) -> AsyncIterator[tuple[FastAPI, str]]:
    """An app with one seat that may fetch from loopback, and the URL of a server there that never answers."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    try:
        server = await asyncio.start_server(hang, "127.0.0.1", 80)  # the only ports that are fetched are 80 and 443
    except OSError:
        pytest.skip("port 80 is taken or needs rights")
    chosen = settings.model_copy(update={"queue_limit": 1, "fetch_allow": ("127.0.0.0/8",), "fetch_timeout_s": 20})
    app = create_app(chosen, opener(FakeBackend()))
    async with server, app.router.lifespan_context(app):
        yield app, "http://127.0.0.1/x.png"


async def test_the_timeout_covers_fetching(hanging: tuple[FastAPI, str]) -> None:
    app, url = hanging
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client:
        reply = await client.post(EDITS, json={"prompt": "x", "image": url, "timeout": 0.2})
    assert reply.status_code == 408
    assert reply.json()["error"]["param"] == "timeout"


async def test_a_client_that_leaves_while_its_url_hangs_gives_its_seat_back(hanging: tuple[FastAPI, str]) -> None:
    app, url = hanging
    body = orjson.dumps({"prompt": "x", "image": url})
    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
    exchange = asyncio.create_task(app(scope(EDITS), messages.get, nothing))
    await asyncio.sleep(0.2)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as client:
        assert (await client.post(URL, json={"prompt": "x"})).status_code == 429
        messages.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(exchange, 2)
        assert (await client.post(URL, json={"prompt": "x"})).status_code == 200


def scope(path: str) -> Scope:
    headers = [(b"content-type", b"application/json"), (b"host", b"limner.test")]
    return {
        "type": "http", "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": headers, "scheme": "http", "server": ("limner.test", 80), "root_path": "",
    }  # fmt: skip


async def nothing(message: Message) -> None:
    pass


async def test_a_body_that_stops_coming_is_a_408() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass

    sent: list[Any] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"half", "more_body": True})
    exchange = Exchange(app, max_body_bytes=100, max_bodies_bytes=100, stall_s=0.05)
    await asyncio.wait_for(exchange(scope(URL), messages.get, keep), 2)
    assert sent[0]["status"] == 408


async def test_a_client_that_reads_slowly_and_steadily_gets_the_whole_reply() -> None:
    big = bytes(1 << 20)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": big, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    read = bytearray()

    async def slow(message: Message) -> None:
        body = message.get("body", b"")
        await asyncio.sleep(len(body) / len(big))  # all of it takes twice as long as a client may read nothing
        read.extend(body)

    exchange = Exchange(app, max_body_bytes=100, max_bodies_bytes=100, stall_s=0.5)
    await asyncio.wait_for(exchange(scope(URL), asyncio.Queue().get, slow), 10)
    assert bytes(read) == big + b"end"


async def test_a_client_that_reads_nothing_is_given_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    async def never(message: Message) -> None:
        await asyncio.sleep(60 if "body" in message else 0)

    exchange = Exchange(app, max_body_bytes=100, max_bodies_bytes=100, stall_s=0.05)
    await asyncio.wait_for(exchange(scope(URL), asyncio.Queue().get, never), 2)


async def test_a_client_that_leaves_while_sending_is_no_error(
    client: httpx2.AsyncClient, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b'{"pro', "more_body": True})
    messages.put_nowait({"type": "http.disconnect"})
    with caplog.at_level(logging.INFO):
        await app(scope(URL), messages.get, nothing)
    assert [record.levelname for record in caplog.records if "499" in record.getMessage()] == ["INFO"]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_cancelled_exchange_is_a_503() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(10)

    sent: list[Any] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    task: asyncio.Task[None] = asyncio.create_task(
        Exchange(app, max_body_bytes=9, max_bodies_bytes=9)(scope(URL), asyncio.Queue().get, keep)
    )
    await asyncio.sleep(0.01)
    task.cancel()
    await task
    assert sent[0]["status"] == 503
