"""Routes past FastAPI's parameters answer as others do, and say the same of themselves."""

from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from limner.api.direct import DirectRoute


async def plain(http: HttpRequest) -> Response:
    """Says what FastAPI has prepared."""
    return JSONResponse({"prepared": "fastapi_inner_astack" in http.scope, "path": http.scope["route"].path})


async def named(http: HttpRequest, name: str) -> Response:
    """Takes a name from the path."""
    return JSONResponse({"prepared": "fastapi_inner_astack" in http.scope, "name": name})


def app_with(route: type[Any] | None) -> FastAPI:
    router = APIRouter(tags=["Drawing"]) if route is None else APIRouter(tags=["Drawing"], route_class=route)
    router.add_api_route("/plain", plain, methods=["POST"], openapi_extra={"requestBody": {"content": {}}})
    router.add_api_route("/named/{name}", named)
    app = FastAPI()
    app.router.routes.extend(router.routes)
    return app


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("POST", "/plain", {"prepared": False, "path": "/plain"}),
        ("GET", "/named/a", {"prepared": True, "name": "a"}),
        ("GET", "/plain", {"detail": "Method Not Allowed"}),
    ],
)
async def test_only_what_takes_the_exchange_alone_is_called_at_once(
    method: str, path: str, answer: dict[str, object]
) -> None:
    transport = httpx2.ASGITransport(app=app_with(DirectRoute))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.request(method, path)).json() == answer


def test_the_document_is_the_same() -> None:
    assert app_with(DirectRoute).openapi() == app_with(None).openapi()
