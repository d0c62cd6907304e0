"""The OpenAPI document itself: complete, consistent, and true about who may ask."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from limner.api.app import DIALECTS, create_app
from limner.api.documents import ERRORS
from limner.config import load_settings
from limner.errors import LimnerError
from tests.fakes import FakeBackend, opener
from tests.test_docs import all_errors

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """To a server that is open to nobody without a key."""
    app = create_app(load_settings(None, {"data": tmp_path, "open": "no"}), opener(FakeBackend(), "sketch"))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test") as http,
    ):
        yield http


@pytest.fixture
async def document(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def inside(value: Any, key: str) -> Iterator[Any]:
    """Every value under ``key``, however deep."""
    if isinstance(value, dict):
        yield from ([value[key]] if key in value else ())
        for part in value.values():
            yield from inside(part, key)
    if isinstance(value, list):
        for part in value:
            yield from inside(part, key)


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    """But for those that are hidden on purpose: they are others under another name."""
    routes = [route for router in DIALECTS for route in router.routes if isinstance(route, APIRoute)]
    visible = [route for route in routes if route.include_in_schema]
    shown = {(method.lower(), route.path) for route in visible for method in route.methods or ()}
    wanted = {(method, re.sub(r":\w+}", "}", path)) for method, path in shown if method in METHODS}
    assert wanted <= {(method, path) for method, path, _ in operations(document)}


def test_every_operation_says_what_it_answers(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        statuses = operation["responses"]
        assert any(status.startswith("2") for status in statuses), (method, path)
        assert "500" in statuses, (method, path)
        for status, answer in statuses.items():
            if status not in ("204", "304"):
                schemas = [content.get("schema") for content in answer["content"].values()]
                assert all(schemas), (method, path, status)


def test_every_refusal_has_its_dialects_form(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and "health" not in path:
                schema = answer["content"]["application/json"]["schema"]
                assert re.fullmatch(r"#/components/schemas/\w*Error", schema["$ref"]), (method, path, status)


def test_every_named_schema_exists_and_is_used(document: dict[str, Any]) -> None:
    named = {reference.rpartition("/")[2] for reference in inside(document, "$ref")}
    assert named == set(document["components"]["schemas"])


def test_no_parameter_is_told_twice(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        names = [(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", ())]
        assert len(names) == len(set(names)), (method, path)


def test_every_error_that_a_client_can_see_has_its_status() -> None:
    upstream_or_unseen = {405, 416, 499, 502, 504}  # of other methods, of ranges, and none of a route that is here
    assert {error.status for error in all_errors(LimnerError)} - upstream_or_unseen == set(ERRORS) - {416}


async def test_what_needs_a_key_says_so_and_nothing_else_does(
    client: httpx2.AsyncClient, document: dict[str, Any]
) -> None:
    for method, path, operation in operations(document):
        reply = await client.request(method, re.sub(r"{\w+}", "x", path))
        assert ("security" in operation) == (reply.status_code == 401), (method, path)
        assert ("401" in operation["responses"]) == (reply.status_code == 401), (method, path)
        if reply.status_code == 401:
            assert reply.headers["www-authenticate"]
            assert "invalid_api_key" in reply.text.lower()


async def test_another_method_is_told_which_there_are(client: httpx2.AsyncClient) -> None:
    reply = await client.options("/health")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
