"""The door: where a key may stand, what is public, and what its scopes let through."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from limner.accounts import OPEN, Keyring, NewKey
from limner.accounts.keys import new_secret
from limner.api.doorkeeper import NEEDED, PUBLIC, Doorkeeper, caller_of, scope_for
from limner.errors import NotReady
from limner.store import KeyRow, Store, open_store

UNKNOWN = new_secret("unknown0")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says who asks; a request that reads no further than the door never comes here."""
    http = HttpRequest(scope, receive)
    told = {"caller": caller_of(http).name, "query": str(http.url.query), "body": (await http.body()).decode()}
    await Response(orjson.dumps(told), media_type="application/json")(scope, receive, send)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store("sqlite://") as opened:
        yield opened


@pytest.fixture
def keyring(store: Store) -> Keyring:
    return Keyring(store, bytes(32))  # which asks for keys unless told otherwise


@pytest.fixture
async def client(keyring: Keyring) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=Doorkeeper(echo, lambda: keyring))
    async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as http:
        yield http


@pytest.fixture
async def key(keyring: Keyring) -> str:
    return (await keyring.create(NewKey("alice")))[0]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


WAYS: list[tuple[str, Callable[[str], dict[str, str]]]] = [
    ("Bearer", lambda key: {"Authorization": f"Bearer {key}"}),
    ("bearer, spaces", lambda key: {"Authorization": f"  bearer   {key} "}),
    ("Key", lambda key: {"Authorization": f"Key {key}"}),
    ("Basic password", lambda key: basic("user", key)),
    ("Basic user", lambda key: basic(key, "")),
    ("Basic user and password", lambda key: basic(key, "x")),
    ("X-API-Key", lambda key: {"X-API-Key": key}),
    ("x-goog-api-key", lambda key: {"x-goog-api-key": key}),
    ("twice the same", lambda key: {"Authorization": f"Bearer {key}", "X-API-Key": key}),
    ("behind a proxy's login", lambda key: {**basic("proxy", "secret"), "X-API-Key": key}),
]


@pytest.mark.parametrize("way", [way for _, way in WAYS], ids=[name for name, _ in WAYS])
async def test_a_key_may_come_in_many_ways(
    client: httpx2.AsyncClient, key: str, way: Callable[[str], dict[str, str]]
) -> None:
    reply = await client.post("/v1/images/generations", headers=way(key), content=b"picture, please")
    assert reply.json() == {"caller": "alice", "query": "", "body": "picture, please"}
    refused = await client.post("/v1/images/generations", headers=way(UNKNOWN), content=b"picture, please")
    assert refused.status_code == 401


async def test_googles_clients_put_it_into_the_query_where_nobody_else_sees_it(
    client: httpx2.AsyncClient, key: str
) -> None:
    reply = await client.get(f"/v1beta/models?a=1&key={key}&b=%20")
    assert reply.json() == {"caller": "alice", "query": "a=1&b=%20", "body": ""}
    assert (await client.get(f"/v1beta/models?k%65y={key}")).json()["query"] == ""
    assert (await client.get(f"/v1/models/sketch:predict?key={key}")).json()["query"] == ""
    assert (await client.get(f"/v1/models?key={key}")).status_code == 401
    assert (await client.get("/v1beta/models?key=")).status_code == 401
    assert (await client.get("/v1beta/models")).status_code == 401


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "an API key is needed: send it as 'Authorization: Bearer lim_...'"),
        ({"Authorization": ""}, "the Authorization header is malformed"),
        ({"Authorization": "Bearer"}, "the Authorization header is malformed"),
        ({"Authorization": "Bearer "}, "the Authorization header is malformed"),
        ({"Authorization": "Digest username=x"}, "the Authorization header is malformed"),
        ({"Authorization": UNKNOWN}, "the Authorization header is malformed"),
        ({"Authorization": "Basic !!"}, "the Authorization header is malformed"),
        ({"Authorization": "Basic " + base64.b64encode(b"no colon").decode()}, "the Authorization header is malformed"),
        ({"Authorization": "Bearer unused"}, "no API key of this server: one looks like lim_"),
        ({"Authorization": f"Bearer {UNKNOWN} {UNKNOWN}"}, "no API key of this server"),
        (basic("a", "b"), "no API key of this server"),
        ({"X-API-Key": ""}, "no API key of this server"),
        ({"X-API-Key": "sk-1234"}, "no API key of this server"),
        ({"X-API-Key": UNKNOWN}, "the API key lim_unknown0_... is not known here"),
        ({"Authorization": f"Bearer {UNKNOWN}", "X-API-Key": new_secret("unknown1")}, "brings 2 different API keys"),
    ],
)
async def test_what_is_wrong_is_said_and_the_secret_is_not(
    client: httpx2.AsyncClient, headers: dict[str, str], said: str
) -> None:
    reply = await client.post("/v1/images/generations", headers=headers)
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    error = reply.json()["error"]
    assert said in error["message"]
    assert (error["code"], error["type"], reply.json()["detail"]) == (
        "invalid_api_key",
        "authentication_error",
        error["message"],
    )
    assert UNKNOWN[13:] not in reply.text
    assert "sk-1234" not in reply.text


async def test_two_keys_are_refused_even_if_one_fits(client: httpx2.AsyncClient, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "X-API-Key": UNKNOWN}
    assert (await client.get("/v1/models", headers=headers)).status_code == 401


async def test_a1111s_clients_are_asked_for_basic(client: httpx2.AsyncClient) -> None:
    reply = await client.get("/sdapi/v1/samplers")
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == 'Basic realm="limner", charset="UTF-8"'


PUBLIC_PATHS = [
    *sorted(PUBLIC),
    "/health/live",
    "/health/ready",
    "/v1/files/img_1?w=64&expires=1&signature=x",
]


@pytest.mark.parametrize("path", PUBLIC_PATHS)
async def test_health_documentation_and_signed_links_need_no_key(client: httpx2.AsyncClient, path: str) -> None:
    for method in ("GET", "HEAD"):
        assert (await client.request(method, path)).status_code == 200
    # Who comes without a key is nobody, whom handlers let do nothing else.
    assert (await client.get(path)).json()["caller"] == "nobody"
    assert (await client.post(path)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files/img_1"),
        ("GET", "/v1/files/img_1?expires=1"),
        ("POST", "/v1/files/img_1/rerun?signature=x"),
        ("DELETE", "/v1/files/img_1?signature=x"),
        ("GET", "/v1/jobs?signature=x"),
        ("GET", "/healthy"),
        ("GET", "/metrics"),
        ("GET", "/docs/../v1/models"),
        ("GET", "//"),
        ("GET", "/no/such/path"),
    ],
)
async def test_everything_else_does(keyring: Keyring, method: str, path: str) -> None:
    status, _ = await knock(keyring, path, [], method=method)
    assert status == 401


async def test_a_preflight_needs_no_key(client: httpx2.AsyncClient) -> None:
    assert (await client.options("/v1/images/generations")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/jobs/job_1", "read"),
        ("HEAD", "/v1/models", "read"),
        ("GET", "/v1/usage", "read"),
        ("GET", "/sdapi/v1/samplers", "read"),
        ("POST", "/v1/images/generations", "generate"),
        ("POST", "/v1beta/models/x:generateContent", "generate"),
        ("POST", "/sdapi/v1/txt2img", "generate"),
        ("DELETE", "/v1/jobs/job_1", "generate"),
        ("PUT", "/something/new", "generate"),
        ("GET", "/metrics", "admin"),
        ("GET", "*", "read"),
    ],
)
async def test_every_route_has_a_scope_and_no_other_scope_opens_it(
    keyring: Keyring, method: str, path: str, scope: str
) -> None:
    assert scope_for(method, path) == scope
    for held in ("generate", "read", "admin"):
        secret, _ = await keyring.create(NewKey(held, scopes=frozenset((held,))))
        status, body = await knock(keyring, path, [(b"authorization", b"Bearer " + secret.encode())], method=method)
        assert status == (200 if held == scope else 403)
        if status == 403:
            assert f"lacks the scope '{scope}' (it has: {held})" in orjson.loads(body)["error"]["message"]


async def test_an_open_server_asks_nobody_and_takes_any_text_for_a_key(
    client: httpx2.AsyncClient, keyring: Keyring
) -> None:
    keyring.demand = "never"
    everything: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer unused"},
        {"Authorization": "Basic !!"},
        basic("a", "b"),
        {"X-API-Key": "sk-1234"},
    ]
    for headers in everything:
        assert (await client.get("/metrics", headers=headers)).json()["caller"] == OPEN.name
    assert (await client.get("/v1beta/models?key=unused")).json() == {"caller": "open", "query": "", "body": ""}


async def test_a_key_of_limner_is_never_ignored(client: httpx2.AsyncClient, keyring: Keyring, key: str) -> None:
    """Otherwise a key that is revoked on an open server could do more than before."""
    keyring.demand = "never"
    assert (await client.get("/v1/jobs", headers={"X-API-Key": key})).json()["caller"] == "alice"
    assert (await client.get("/metrics", headers={"X-API-Key": key})).status_code == 403
    assert (await client.get("/v1/jobs", headers={"X-API-Key": UNKNOWN})).status_code == 401


async def test_before_the_start_health_answers_and_the_rest_waits() -> None:
    def starting() -> Keyring:
        raise NotReady("the server is starting", retry_after_s=2)

    transport = httpx2.ASGITransport(app=Doorkeeper(echo, starting))
    async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as http:
        assert (await http.get("/health")).status_code == 200
        reply = await http.get("/v1/models", headers={"X-API-Key": UNKNOWN})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert "www-authenticate" not in reply.headers


async def test_the_body_is_not_read_at_the_door(keyring: Keyring) -> None:
    async def receive() -> Message:
        raise AssertionError("the door read the body")

    status, _ = await knock(keyring, "/v1/images/generations", [], method="POST", receive=receive)
    assert status == 401


def test_without_a_doorkeeper_everybody_is_let_in() -> None:
    assert caller_of(HttpRequest({"type": "http", "headers": []})) is OPEN


async def knock(
    keyring: Keyring,
    path: str,
    headers: list[tuple[bytes, bytes]],
    *,
    method: str = "GET",
    query: bytes = b"",
    receive: Receive | None = None,
) -> tuple[int, bytes]:
    """Status and body of one request, its parts as they came from the wire."""
    path, _, given = path.partition("?")
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": given.encode() or query,
        "headers": headers,
    }
    sent: list[Message] = []

    async def empty() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await Doorkeeper(_says_yes, lambda: keyring)(scope, receive or empty, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


async def _says_yes(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"yes")(scope, receive, send)


class NoKeys:
    """A store that knows no key."""

    async def key_by_prefix(self, prefix: str) -> KeyRow | None:
        return None


@given(
    path=st.sampled_from(["/v1/models", "/v1beta/models", "/sdapi/v1/txt2img", "/files/x", "", "*"]) | st.text(),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"x-api-key", b"x-goog-api-key"]),
            st.binary()
            | st.builds(
                bytes.__add__,
                st.sampled_from([b"Bearer ", b"Basic ", b"basic", b"Key ", b"KEY\t", b"lim_", UNKNOWN[:30].encode()]),
                st.binary() | st.binary().map(base64.b64encode) | st.just(UNKNOWN.encode()),
            ),
        ),
        max_size=4,
    ),
    query=st.binary() | st.binary().map(lambda value: b"key=" + value),
    required=st.booleans(),
)
def test_no_bytes_get_in_or_break_the_door(
    path: str, headers: list[tuple[bytes, bytes]], query: bytes, required: bool
) -> None:
    store: Any = NoKeys()
    keyring = Keyring(store, bytes(32))
    keyring.demand = "always" if required else "never"
    status, body = asyncio.run(knock(keyring, path.replace("?", ""), headers, method="POST", query=query))
    assert status == 401 if required else status in (200, 401)
    if status == 401:
        assert orjson.loads(body)["error"]["code"] == "invalid_api_key"


def test_the_table_of_scopes_leaves_no_path_and_no_method_out() -> None:
    assert NEEDED[-1][:2] == ("", None)


def test_public_paths_and_scopes_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    assert [path for path in PUBLIC if f"{path}`" not in rows["none, no key either"]] == []
    assert {f"`{scope}`" for _, _, scope in NEEDED} <= set(rows)
    assert "`/metrics`" in rows["`admin`"]


FORM = {"content-type": "multipart/form-data; boundary=x"}
EVIL = {"origin": "https://evil.test"}
CROSS = {**EVIL, "sec-fetch-site": "cross-site"}


@pytest.fixture
async def opened(keyring: Keyring) -> AsyncIterator[httpx2.AsyncClient]:
    """At the door of a server that asks for no key, seen at another host than the one that requests name."""
    keyring.demand = "never"
    door = Doorkeeper(echo, lambda: keyring, public_url="http://pics.test:81/limner")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=door), base_url="http://limner.test") as http:
        yield http


@pytest.mark.parametrize(
    "headers",
    [
        CROSS, EVIL, CROSS | FORM, EVIL | FORM, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
        EVIL | {"content-type": "text/plain"}, CROSS | basic("u", "p"), {"origin": "http://[limner.test"},
        {"origin": "http://limner.test.evil.test"},
    ],
)  # fmt: skip
async def test_no_page_of_another_site_sends_forms(opened: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/v1/images/edits", "/sdapi/v1/interrupt"):
        refused = await opened.post(path, headers=headers)
        assert refused.status_code == 403
        told = refused.json()["error"]["message"]
        assert headers.get("origin", "another site") in told
        assert "public_url" in told


@pytest.mark.parametrize(
    "headers",
    [
        {}, FORM, {"origin": "http://limner.test"}, {"origin": "http://limner.test:3000"},
        {"origin": "http://pics.test"}, {"origin": "http://pics.test:81", "sec-fetch-site": "cross-site"},
        EVIL | {"sec-fetch-site": "same-origin"}, EVIL | {"sec-fetch-site": "same-site"},
        EVIL | {"sec-fetch-site": "none"}, CROSS | {"content-type": "application/json"},
        CROSS | FORM | {"authorization": "Bearer x"}, CROSS | FORM | {"x-api-key": "x"},
    ],
)  # fmt: skip
async def test_everybody_else_does(opened: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    assert (await opened.post("/v1/images/edits", headers=headers)).status_code == 200


async def test_looking_is_open_to_every_page(opened: httpx2.AsyncClient) -> None:
    assert (await opened.get("/v1/models", headers=CROSS)).status_code == 200


async def test_a_key_that_the_browser_adds_itself_opens_to_no_other_page(client: httpx2.AsyncClient, key: str) -> None:
    assert (await client.post("/v1/images/edits", headers=CROSS | basic("user", key))).status_code == 403
    assert (await client.post("/v1/images/edits", headers=CROSS | {"X-API-Key": key})).status_code == 200


@pytest.mark.parametrize("headers", [{"origin": "null"}, {"sec-fetch-site": "cross-site"}])
async def test_a_page_without_an_origin_is_nobodys(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    assert (await client.post("/v1/images/edits", headers=headers)).status_code == 403
